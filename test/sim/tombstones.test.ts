/** Deleted keys are forgotten when nobody keeps anything older, and not before; and then they stay forgotten. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { KvError } from "../../node/core/errors.ts";
import { horizonKey, horizonRange, partitionRange } from "../../node/core/keyspace.ts";
import { answerOf } from "./answers.ts";
import { SimulatedCluster } from "./cluster.ts";
import { horizonIn } from "./collected.ts";

const KEYS = 10;
const FLOOR_MS = 5_000;
/** A snapshot, the floor, and a round or two for the others to hear of it. */
const SOON_MS = 3 * FLOOR_MS;
const bytesOf = (text: string) => new TextEncoder().encode(text);

async function startCluster(): Promise<SimulatedCluster> {
  const cluster = new SimulatedCluster({
    seed: 8,
    nodes: 3,
    zones: 3,
    replicationFactor: 3,
    readQuorum: 2,
    writeQuorum: 2,
    mode: "strict",
    durability: "disk",
    partitions: 4,
    tombstoneAgeMs: FLOOR_MS,
  });
  await cluster.startAll();
  await pass(cluster, 3_000);
  return cluster;
}

const pass = ({ simulator }: SimulatedCluster, ms: number) => simulator.runUntil(simulator.nowMs + ms);

function coordinatorOf(cluster: SimulatedCluster) {
  return cluster.byName("n1").node?.coordinator ?? assert.fail("n1 serves");
}

async function writeAll(cluster: SimulatedCluster): Promise<void> {
  for (let key = 0; key < KEYS; key++) {
    const put = { key: bytesOf(`key ${key}`), value: bytesOf("value"), contentType: "text/plain" };
    const answer = await answerOf(cluster, coordinatorOf(cluster).put({ ...put, base: "overwrite" }, {}));
    assert(!(answer instanceof KvError), String(answer));
  }
}

async function deleteAll(cluster: SimulatedCluster): Promise<void> {
  for (let key = 0; key < KEYS; key++) {
    const answer = await answerOf(cluster, coordinatorOf(cluster).delete({ key: bytesOf(`key ${key}`) }, {}));
    assert(!(answer instanceof KvError), String(answer));
  }
}

/** Records of each member, over all partitions. */
function records({ nodes }: SimulatedCluster): readonly number[] {
  return nodes.map(({ disk }) =>
    [0, 1, 2, 3].reduce(
      (sum, partition) => sum + disk.entries({ ...partitionRange(partition), limit: 1_000 }).length,
      0,
    ),
  );
}

const usedBytes = ({ nodes }: SimulatedCluster) => nodes.reduce((sum, { disk }) => sum + disk.usedBytes(), 0);

describe("deleted keys", () => {
  it("are forgotten by all homes once they are older than the floor, and disks shrink", async () => {
    const cluster = await startCluster();
    await writeAll(cluster);
    const fullBytes = usedBytes(cluster);
    await deleteAll(cluster);
    await pass(cluster, FLOOR_MS - 1_000);
    assert.deepEqual(records(cluster), [KEYS, KEYS, KEYS]);
    await pass(cluster, SOON_MS);
    assert.deepEqual(records(cluster), [0, 0, 0]);
    assert(usedBytes(cluster) < fullBytes, "what is left of them is smaller than what they were");
    const read = await answerOf(cluster, coordinatorOf(cluster).get(bytesOf("key 1"), {}));
    assert(!(read instanceof KvError) && read.siblings.length === 0);
    await writeAll(cluster);
    await pass(cluster, SOON_MS);
    assert.deepEqual(records(cluster), [KEYS, KEYS, KEYS]);
  });

  it("are remembered for as long as a member is away, and what it missed is hinted", async () => {
    const cluster = await startCluster();
    await writeAll(cluster);
    await pass(cluster, 1_000);
    const n3 = cluster.byName("n3");
    cluster.crash(n3, "process");
    await pass(cluster, 15_000);
    await deleteAll(cluster);
    await pass(cluster, 2 * SOON_MS);
    assert.deepEqual(records(cluster), [KEYS, KEYS, KEYS]);
    cluster.start(n3);
    await pass(cluster, 2 * SOON_MS);
    assert.deepEqual(records(cluster), [0, 0, 0]);
  });

  it("are as forgotten on a disk that was exchanged: the horizon comes before the member is complete", async () => {
    const cluster = await startCluster();
    await writeAll(cluster);
    await deleteAll(cluster);
    await pass(cluster, SOON_MS);
    const n1 = cluster.byName("n1");
    const horizonOf = (partition: number) => horizonIn(n1.disk.peek(horizonKey(partition)));
    const before = [0, 1, 2, 3].map(horizonOf);
    cluster.loseDisk(n1);
    assert.equal(n1.disk.entries({ ...horizonRange(), limit: 10 }).length, 0);
    cluster.start(n1);
    const isRebuilding = () => n1.node?.status.cluster().members.find(({ name }) => name === "n1")?.state !== "active";
    assert(await cluster.simulator.runWhile(isRebuilding, 30_000), "n1 is full again");
    assert.deepEqual([0, 1, 2, 3].map(horizonOf), before);
    assert.deepEqual(records(cluster), [0, 0, 0]);
  });
});
