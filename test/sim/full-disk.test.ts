/**
 * A member whose disk is full, and what could free it: removals, which must not fail with the writes that a full disk refuses;
 * and damage that cannot be set aside, because there is no room to keep it.
 */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { KvError } from "../../node/core/errors.ts";
import { dataKey, hintQuarantineKey, hintsRange } from "../../node/core/keyspace.ts";
import { answerOf } from "./answers.ts";
import { SimulatedCluster } from "./cluster.ts";

const HINTS = 100;
const INCARNATIONS = "annulus.identity.incarnations";
const ALL_KEYS = Array.from({ length: 4_000 }, (_, i) => new TextEncoder().encode(`key ${i}`));

const pass = ({ simulator }: SimulatedCluster, ms: number) => simulator.runUntil(simulator.nowMs + ms);
const isOf = ({ ring }: SimulatedCluster, name: string, key: Uint8Array) => ring.isHome(name, ring.partitionOf(key));
const isFull = ({ disk }: ReturnType<SimulatedCluster["byName"]>) => disk.setCapacityBytes(disk.usedBytes());
const hintsOf = ({ disk }: ReturnType<SimulatedCluster["byName"]>) => disk.entries({ ...hintsRange(), limit: 10_000 });

function put(cluster: SimulatedCluster, key: Uint8Array): Promise<unknown> {
  const coordinator = cluster.byName("n1").node?.coordinator ?? assert.fail("it serves");
  return answerOf(
    cluster,
    coordinator.put({ key, value: new Uint8Array(100), contentType: "", base: "overwrite" }, {}),
  );
}

async function startCluster(nodes: number): Promise<SimulatedCluster> {
  const cluster = new SimulatedCluster({
    ...{ seed: 3, nodes, zones: 1, replicationFactor: 3, readQuorum: 2, writeQuorum: 2 },
    ...{
      mode: "sloppy",
      durability: "disk",
      repairIntervalMs: 3_600_000,
      recordCacheBytes: 1,
      scrubIntervalMs: 10_000,
    },
  });
  await cluster.startAll();
  await pass(cluster, 3_000);
  return cluster;
}

/** Four members of which n3 is away and n4 keeps hints for it. */
async function startWithHints(): Promise<SimulatedCluster> {
  const cluster = await startCluster(4);
  cluster.crash(cluster.byName("n3"), "process");
  await pass(cluster, 15_000);
  for (const key of ALL_KEYS.filter((key) => !isOf(cluster, "n4", key)).slice(0, HINTS)) {
    assert(!((await put(cluster, key)) instanceof KvError));
  }
  await pass(cluster, 1_000);
  assert.equal(hintsOf(cluster.byName("n4")).length, HINTS);
  return cluster;
}

/** Clients begin to write what a member is a home of, one write every `everyMs`. Ends that, and gives when all had their answers. */
function beginWriting(cluster: SimulatedCluster, name: string, everyMs: number): () => Promise<unknown> {
  const coordinator = cluster.byName("n1").node?.coordinator ?? assert.fail("it serves");
  const keys = ALL_KEYS.filter((key) => isOf(cluster, name, key));
  const writes: Promise<unknown>[] = [];
  let isOver = false;
  const next = (): void => {
    if (isOver) return;
    const key = keys[writes.length % keys.length] ?? assert.fail("it is a home of something");
    writes.push(
      Promise.allSettled([
        coordinator.put({ key, value: new Uint8Array(100), contentType: "", base: "overwrite" }, {}),
      ]),
    );
    cluster.simulator.after(everyMs, next);
  };
  next();
  return () => {
    isOver = true;
    return Promise.all(writes);
  };
}

describe("a member with a full disk", () => {
  it("gets rid of the hints that it delivered while clients go on writing", async () => {
    const cluster = await startWithHints();
    const n4 = cluster.byName("n4");
    isFull(n4);
    cluster.start(cluster.byName("n3"));
    const end = beginWriting(cluster, "n4", 0.25);
    await pass(cluster, 8_000);
    assert.equal(hintsOf(n4).length, 0);
    const ended = end();
    await pass(cluster, 10_000);
    await ended;
  });

  it("takes writes again soon after it has room", async () => {
    const cluster = await startCluster(3);
    const n2 = cluster.byName("n2");
    isFull(n2);
    const [key = assert.fail("there is one")] = ALL_KEYS;
    await put(cluster, key);
    await pass(cluster, 50);
    n2.disk.setCapacityBytes(undefined);
    await pass(cluster, 100);
    await put(cluster, key);
    await pass(cluster, 1_000);
    assert(n2.disk.peek(dataKey(cluster.ring.partitionOf(key), key)) !== undefined);
  });

  it("begins one new incarnation for a damaged record, not one with each look at it", async () => {
    const cluster = await startCluster(3);
    const [key = assert.fail("there is one")] = ALL_KEYS;
    assert(!((await put(cluster, key)) instanceof KvError));
    await pass(cluster, 10_000);
    const n3 = cluster.byName("n3");
    isFull(n3);
    assert(n3.disk.flipBit(dataKey(cluster.ring.partitionOf(key), key)));
    const before = cluster.counters.get(INCARNATIONS) ?? 0;
    await pass(cluster, 120_000);
    assert.equal((cluster.counters.get(INCARNATIONS) ?? 0) - before, 1);
  });

  it("delivers the other hints while it cannot set a damaged one aside, and then has the room for it", async () => {
    const cluster = await startWithHints();
    const n4 = cluster.byName("n4");
    // It starts anew, so that it knows no hint from memory.
    cluster.crash(n4, "process");
    const damaged = hintsOf(n4)[0]?.key ?? assert.fail("there is one");
    assert(n4.disk.flipBit(damaged));
    isFull(n4);
    const before = cluster.counters.get(INCARNATIONS) ?? 0;
    cluster.start(n4);
    cluster.start(cluster.byName("n3"));
    await pass(cluster, 120_000);
    assert.equal(hintsOf(n4).length, 0);
    assert(n4.disk.peek(hintQuarantineKey(damaged)) !== undefined);
    assert.equal((cluster.counters.get(INCARNATIONS) ?? 0) - before, 1);
  });
});
