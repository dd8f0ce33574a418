/**
 * A stand-in whose disk takes no writes. After the first hint that failed it counts its hints anew, and cannot: what waits
 * for that count without a bound is held in memory, and once a link has as many requests in service as it takes, nothing
 * else that comes over it is read: the member is up to all others, and answers nothing.
 */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { KvError } from "../../node/core/errors.ts";
import { answerOf } from "./answers.ts";
import { SimulatedCluster } from "./cluster.ts";
import type { DiskFaults } from "./disk-faults.ts";

/** More than a link takes into service at once. */
const WRITES = 1_100;

const pass = ({ simulator }: SimulatedCluster, ms: number) => simulator.runUntil(simulator.nowMs + ms);

/** Four members of which n3 is away, and n4 has been sent more hints than a link takes, with a disk that takes no write. */
async function startWorld(writes = WRITES, disks: Partial<DiskFaults> = { writeErrors: [1, 1] }, atOnce = 1) {
  const cluster = new SimulatedCluster({
    ...{ seed: 3, nodes: 4, zones: 1, replicationFactor: 3, readQuorum: 2, writeQuorum: 2 },
    ...{ mode: "sloppy", durability: "os", repairIntervalMs: 3_600_000 },
  });
  await cluster.startAll();
  await pass(cluster, 3_000);
  const isOf = (name: string, key: Uint8Array) => cluster.ring.isHome(name, cluster.ring.partitionOf(key));
  const all = Array.from({ length: 8_000 }, (_, i) => new TextEncoder().encode(`key ${i}`));
  const coordinator = cluster.byName("n1").node?.coordinator ?? assert.fail("it serves");
  const put = (key: Uint8Array) =>
    answerOf(cluster, coordinator.put({ key, value: new Uint8Array(100), contentType: "", base: "overwrite" }, {}));
  // Of this key only n4 can be the second home that a strict read hears.
  const ofBoth = all.find((key) => isOf("n4", key) && isOf("n3", key)) ?? assert.fail("some key is of both");
  assert(!((await put(ofBoth)) instanceof Error));
  cluster.crash(cluster.byName("n3"), "process");
  await pass(cluster, 15_000);
  const { disk } = cluster.byName("n4");
  disk.setFaults(disks);
  const keys = all.filter((key) => !isOf("n4", key)).slice(0, writes);
  for (let from = 0; from < keys.length; from += atOnce) {
    await Promise.all(keys.slice(from, from + atOnce).map(put));
    await pass(cluster, 5);
  }
  const read = () => answerOf(cluster, coordinator.get(ofBoth, { mode: "strict", readQuorum: 2 }));
  return { cluster, disk, keys, put, read, stored: () => cluster.counters.get("annulus.hints.stored") ?? 0 };
}

describe("a stand-in whose disk takes no writes", () => {
  it("refuses hints at once, keeps none of them waiting, and goes on answering reads", async () => {
    const { cluster, disk, read, stored } = await startWorld();
    const answer = await read();
    assert(!(answer instanceof Error), `a read found no quorum: ${answer}`);
    assert((cluster.counters.get("annulus.hints.refused_uncounted") ?? 0) >= WRITES - 1);
    // Nobody asks anything any more, and every coordinator's time is over: what is stored from here on had been waiting.
    await pass(cluster, 10_000);
    const before = stored();
    disk.setFaults({ writeErrors: [0, 1] });
    await pass(cluster, 10_000);
    assert.equal(stored() - before, 0, "hints had been waiting in memory");
  });

  it("is asked for hints that count when another home is away as well, and the write is told to have fallen short", async () => {
    const { cluster, put, keys } = await startWorld(1);
    cluster.crash(cluster.byName("n2"), "process");
    await pass(cluster, 15_000);
    const short = () => cluster.counters.get("annulus.write.hints_short") ?? 0;
    const before = short();
    const answer = await put(keys[0] as Uint8Array);
    assert(answer instanceof KvError && answer.code === "QUORUM_LOST" && answer.outcome === "unknown", String(answer));
    assert.equal(short(), before + 1);
  });
});

describe("a stand-in whose disk hangs", () => {
  it("goes on answering what memory can answer, and refuses the hints that it has no more places for", async () => {
    const { cluster, read } = await startWorld(WRITES, { latencyMs: [3_600_000, 3_600_000] }, 20);
    const answer = await read();
    assert(!(answer instanceof Error), `a read found no quorum: ${answer}`);
    assert((cluster.counters.get("annulus.transport.writes_refused") ?? 0) >= 1);
  });
});
