/**
 * With durability=os a home may have a deletion in its unsynced log only. Its word that it has it is evidence for collecting all the
 * same, and must not go with its power: it would hold the older value when the others have forgotten the deletion.
 */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { KvError } from "../../node/core/errors.ts";
import { dataKey, horizonKey } from "../../node/core/keyspace.ts";
import { answerOf } from "./answers.ts";
import { SimulatedCluster, type SimulatedNode } from "./cluster.ts";

const KEY = new TextEncoder().encode("key");
const FLOOR_MS = 5_000;

const pass = ({ simulator }: SimulatedCluster, ms: number) => simulator.runUntil(simulator.nowMs + ms);
const coordinatorOf = ({ node }: SimulatedNode) => node?.coordinator ?? assert.fail("it serves");

/** A value that is on the last home's disk for good, deleted, and collected at the first home: the others have not heard of it. */
async function untilCollected() {
  const cluster = new SimulatedCluster({
    ...{ seed: 3, nodes: 3, zones: 3, replicationFactor: 3, readQuorum: 2, writeQuorum: 2 },
    ...{ mode: "strict", durability: "os", partitions: 1, tombstoneAgeMs: FLOOR_MS, repairIntervalMs: 20_000 },
  });
  await cluster.startAll();
  await pass(cluster, 3_000);
  const partition = cluster.ring.partitionOf(KEY);
  const homes = cluster.ring.homes(partition).map(({ name }) => cluster.byName(name));
  const [first, , last] = homes as [SimulatedNode, SimulatedNode, SimulatedNode];
  const put = { key: KEY, value: KEY, contentType: "text/plain", base: "overwrite" } as const;
  const written = await answerOf(cluster, coordinatorOf(first).put(put, {}));
  assert(!(written instanceof KvError), String(written));
  await pass(cluster, 1_000);
  // Opening the store anew writes its log into a table: the value is on the disk for good.
  cluster.crash(last, "process");
  cluster.start(last);
  await pass(cluster, 3 * FLOOR_MS);
  const deleted = await answerOf(cluster, coordinatorOf(first).delete({ key: KEY }, {}));
  assert(!(deleted instanceof KvError), String(deleted));
  const isHeld = () => first.disk.peek(dataKey(partition, KEY)) !== undefined;
  assert(await cluster.simulator.runWhile(isHeld, 60_000), "the first home collects the deletion");
  assert.equal(last.disk.peek(horizonKey(partition)), undefined, "the last home has not heard of the horizon");
  return { cluster, last };
}

/** How many values of the key a strict read through each node shows. */
async function shown(cluster: SimulatedCluster): Promise<readonly number[]> {
  const counts: number[] = [];
  for (const node of cluster.nodes) {
    const read = await answerOf(cluster, coordinatorOf(node).get(KEY, {}));
    assert(!(read instanceof KvError), String(read));
    counts.push(read.siblings.filter(({ value }) => value !== undefined).length);
  }
  return counts;
}

describe("a deleted key that was collected on the word of a home which then loses its power", () => {
  it("is not shown by a strict read", async () => {
    const { cluster, last } = await untilCollected();
    cluster.crash(last, "machine");
    cluster.start(last);
    await cluster.simulator.runWhile(() => last.node === undefined, 10_000);
    for (let look = 0; look < 10; look++) {
      await pass(cluster, 100);
      assert.deepEqual(await shown(cluster), [0, 0, 0]);
    }
  });

  it("does not come back for good when all machines lose their power together", async () => {
    const { cluster } = await untilCollected();
    for (const machine of cluster.nodes) cluster.crash(machine, "machine");
    await cluster.startAll();
    await pass(cluster, 120_000);
    assert.deepEqual(await shown(cluster), [0, 0, 0]);
  });
});
