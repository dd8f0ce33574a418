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
    checkBounds(cluster, [KEY]);
  });

  it("report hints over their budget, and hints that wait when all is quiet", async () => {
    const cluster = createCluster();
    await put(cluster, hintAt("key 1"), hint);
    checkBounds(cluster, [KEY]);
    assert.throws(() => checkIdle(cluster), /delivered all its hints/);
    for (const name of ["key 2", "key 3", "key 4", "key 5"]) await put(cluster, hintAt(name), hint);
    assert.throws(() => checkBounds(cluster, [KEY]), /budget of 200 bytes/);
  });

  it("let more hints than that come back with a loss of power, and none be added to them", async () => {
    const cluster = createCluster();
    checkBounds(cluster, [KEY]);
    const machine = cluster.byName("n1");
    for (const name of ["key 1", "key 2", "key 3"]) await put(cluster, hintAt(name), hint);
    machine.bootId = "another boot";
    checkBounds(cluster, [KEY]);
    await put(cluster, hintAt("key 4"), hint);
    assert.throws(() => checkBounds(cluster, [KEY]), /budget of \d+ bytes/);
  });

  it("report a dot under an incarnation that its member has not reached, or of nobody", async () => {
    const cluster = createCluster();
    await put(cluster, at(cluster), holding(dot(1, 3)));
    assert.throws(() => checkBounds(cluster, [KEY]), /that member's incarnation is 2/);
    cluster.incarnations.clear();
    assert.throws(() => checkBounds(cluster, [KEY]), /incarnation is undefined/);
  });

  it("report more values at once than all members together may let through", async () => {
    const cluster = createCluster();
    await put(cluster, at(cluster), holding(...Array.from({ length: 7 }, (_, i) => dot(i + 1))));
    assert.throws(() => checkBounds(cluster, [KEY]), /7 values at once/);
  });

  it("report a node that counts hints, or somebody down, when all is quiet", () => {
    for (const gauge of ["annulus.hints.bytes", "annulus.members.down", "annulus.rebuild.partitions_missing"]) {
      const cluster = createCluster();
      checkIdle(cluster);
      cluster.gauges.set(`n2 ${gauge}`, () => 1);
      assert.throws(() => checkIdle(cluster), new RegExp(`${gauge} of n2 is 0`));
    }
  });
});
