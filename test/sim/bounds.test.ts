/** The checkers of disks and gauges can fail: each is shown a disk that breaks its rule. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { encodeHint } from "../../node/core/hint.ts";
import { dataKey, hintKey } from "../../node/core/keyspace.ts";
import type { Dot, KvRecord } from "../../node/core/version/record.ts";
import { encodeRecord } from "../../node/core/version/record-codec.ts";
import { checkBounds, checkIdle } from "./bounds.ts";
import { SimulatedCluster } from "./cluster.ts";

const KEY = new TextEncoder().encode("key 0");
const ACTOR = "a".repeat(32);
const LOAD = { keys: [KEY], clients: 2, largestBytes: () => 100 };
const dot = (counter: number, incarnation = 1): Dot => ({ actor: ACTOR, incarnation, counter });

function holding(...dots: readonly Dot[]): Uint8Array {
  const last = dots.at(-1) as Dot;
  const siblings = dots.map((at) => ({
    dot: at,
    value: new Uint8Array(4),
    contentType: "",
    writtenAtMs: 0,
    expiresAtMs: undefined,
  }));
  const record: KvRecord = { context: { vector: [last], dots: [] }, eventsSeen: [], siblings, events: [] };
  return encodeRecord(record);
}

function createCluster(): SimulatedCluster {
  const quorums = { replicationFactor: 3, readQuorum: 2, writeQuorum: 2 };
  const bounds = { hintBytesMax: 200, siblingsMax: 2 };
  const cluster = new SimulatedCluster({
    ...quorums,
    ...bounds,
    seed: 1,
    nodes: 3,
    zones: 3,
    mode: "strict",
    durability: "disk",
  });
  cluster.incarnations.set(ACTOR, () => 2);
  return cluster;
}

/** Puts something onto the first node's disk. */
async function put(cluster: SimulatedCluster, key: Uint8Array, value: Uint8Array): Promise<void> {
  const engine = cluster.byName("n1").disk.open();
  const written = engine.batch([{ kind: "put", key, value }], { sync: true });
  await cluster.simulator.runUntil(cluster.simulator.nowMs + 10);
  await written;
  cluster.byName("n1").disk.crash("process");
}

describe("the bounds", () => {
  const at = (cluster: SimulatedCluster) => dataKey(cluster.ring.partitionOf(KEY), KEY);
  const hintAt = (name: string) => hintKey({ partition: 1, target: "n2", key: new TextEncoder().encode(name) });
  const hint = encodeHint({ counted: true, stampedHere: false, storedAtMs: 0, record: holding(dot(1)) });

  it("hold where nothing is wrong", async () => {
    const cluster = createCluster();
    await put(cluster, at(cluster), holding(dot(1), dot(2, 2)));
    checkBounds(cluster, LOAD);
  });

  it("report hints over their budget, and hints that wait when all is quiet", async () => {
    const cluster = createCluster();
    await put(cluster, hintAt("key 1"), hint);
    checkBounds(cluster, LOAD);
    assert.throws(() => checkIdle(cluster), /delivered all its hints/);
    for (const name of ["key 2", "key 3", "key 4", "key 5"]) await put(cluster, hintAt(name), hint);
    assert.throws(() => checkBounds(cluster, LOAD), /budget of 200 bytes/);
  });

  it("let more hints than that come back with a loss of power, and none be added to them", async () => {
    const cluster = createCluster();
    checkBounds(cluster, LOAD);
    const machine = cluster.byName("n1");
    for (const name of ["key 1", "key 2", "key 3"]) await put(cluster, hintAt(name), hint);
    machine.bootId = "another boot";
    checkBounds(cluster, LOAD);
    await put(cluster, hintAt("key 4"), hint);
    assert.throws(() => checkBounds(cluster, LOAD), /budget of \d+ bytes/);
  });

  it("report a dot under an incarnation that its member has not reached, or of nobody", async () => {
    const cluster = createCluster();
    await put(cluster, at(cluster), holding(dot(1, 3)));
    assert.throws(() => checkBounds(cluster, LOAD), /that member's incarnation is 2/);
    cluster.incarnations.clear();
    assert.throws(() => checkBounds(cluster, LOAD), /incarnation is undefined/);
  });

  it.each(["annulus.transport.outgoing_bytes", "annulus.commit.queued_bytes"])(
    "report more bytes under way than clients and keys may have: %s",
    async (gauge) => {
      const cluster = createCluster();
      await cluster.startAll();
      // Two clients with two operations each, three homes, one key as a record and as a hint: 14 records of 100 bytes.
      cluster.gauges.set(`n1 ${gauge}`, () => 1_400);
      checkBounds(cluster, LOAD);
      cluster.gauges.set(`n1 ${gauge}`, () => 1_401);
      assert.throws(() => checkBounds(cluster, LOAD), new RegExp(`${gauge} of n1 is at most 1400`));
    },
  );

  it("report more requests under way than clients and peers may have", async () => {
    const cluster = createCluster();
    await cluster.startAll();
    cluster.gauges.set("n1 annulus.transport.in_flight_requests", () => 49);
    assert.throws(() => checkBounds(cluster, LOAD), /in_flight_requests of n1 is at most 48/);
  });

  it("report a node that has a request in work, counts hints, or holds somebody for down when all is quiet", () => {
    for (const gauge of [
      "annulus.coordinator.writes_in_flight",
      "annulus.hints.bytes",
      "annulus.members.down",
      "annulus.rebuild.partitions_missing",
    ]) {
      const cluster = createCluster();
      checkIdle(cluster);
      cluster.gauges.set(`n2 ${gauge}`, () => 1);
      assert.throws(() => checkIdle(cluster), new RegExp(`${gauge} of n2 is 0`));
    }
  });
});
