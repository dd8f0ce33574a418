/** Deleted keys are forgotten when nobody keeps anything older, and not before; and then they stay forgotten. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { KvError } from "../../node/core/errors.ts";
import { hintsRange, horizonKey, horizonRange, metaKey, partitionRange } from "../../node/core/keyspace.ts";
import { encodeToken } from "../../node/core/version/context-codec.ts";
import { compareSources } from "../../node/core/version/vector.ts";
import { answerOf } from "./answers.ts";
import { SimulatedCluster, type SimulatedNode } from "./cluster.ts";
import { horizonIn } from "./collected.ts";
import type { SimulatedDisk } from "./disk.ts";

const KEYS = 10;
const FLOOR_MS = 5_000;
/** A snapshot, the floor, and a round or two for the others to hear of it. */
const SOON_MS = 3 * FLOOR_MS;
const bytesOf = (text: string) => new TextEncoder().encode(text);

async function startCluster(nodes = 3): Promise<SimulatedCluster> {
  const cluster = new SimulatedCluster({
    seed: 5,
    nodes,
    zones: nodes,
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

/** @param from The keys before it stay. */
async function deleteAll(cluster: SimulatedCluster, from = 0): Promise<void> {
  for (let key = from; key < KEYS; key++) {
    const answer = await answerOf(cluster, coordinatorOf(cluster).delete({ key: bytesOf(`key ${key}`) }, {}));
    assert(!(answer instanceof KvError), String(answer));
  }
}

/** The actor that stamped something on a disk, by the dots of its own records. */
function actorIn(disk: SimulatedDisk): string {
  const stored = disk.peek(metaKey("identity")) ?? assert.fail("a node has its identity on its disk");
  const text = new TextDecoder().decode(stored);
  return /"actor":"([0-9a-f]{32})"/.exec(text)?.[1] ?? assert.fail(`an identity names its actor: ${text}`);
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
    // What stays was stamped before what goes, and so the horizons cover it.
    await deleteAll(cluster, KEYS / 2);
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
    assert.deepEqual(records(cluster), [KEYS / 2, KEYS / 2, KEYS / 2]);
  });

  it("do not come back with a hint that its keeper delivers long after the deletion", async () => {
    const cluster = await startCluster(4);
    const key = bytesOf("key 1");
    const homes = cluster.ring.homes(cluster.ring.partitionOf(key)).map(({ name }) => name);
    const [first, , last] = homes.map((name) => cluster.byName(name)) as [SimulatedNode, SimulatedNode, SimulatedNode];
    const keeper = cluster.nodes.find(({ name }) => !homes.includes(name)) ?? assert.fail("one member is no home");
    // The write misses one home, whose hint the coordinator keeps; that one dies, and the home is mended without it.
    for (const { name } of cluster.nodes) if (name !== last.name) cluster.network.cut(name, last.name);
    const put = { key, value: bytesOf("value"), contentType: "text/plain", base: "overwrite" } as const;
    const coordinator = keeper.node?.coordinator ?? assert.fail("the keeper serves");
    assert(!((await answerOf(cluster, coordinator.put(put, {}))) instanceof KvError));
    await pass(cluster, 1_500);
    assert.equal(keeper.disk.entries({ ...hintsRange(), limit: 10 }).length, 1);
    cluster.crash(keeper, "process");
    cluster.network.heal();
    await pass(cluster, 15_000);
    const deletion = first.node?.coordinator.delete({ key }, {}) ?? assert.fail("a home serves");
    assert(!((await answerOf(cluster, deletion)) instanceof KvError));
    await pass(cluster, 2 * SOON_MS);
    cluster.start(keeper);
    await pass(cluster, 2 * SOON_MS);
    const read = await answerOf(cluster, coordinatorOf(cluster).get(key, { readQuorum: 3 }));
    assert(!(read instanceof KvError) && read.siblings.length === 0, "the key is deleted");
    assert.deepEqual(records(cluster), [0, 0, 0, 0]);
  });

  it("make no home refuse writes that a lying client claimed to have seen before they were made", async () => {
    const cluster = await startCluster();
    await writeAll(cluster);
    for (let key = 0; key < KEYS; key++) {
      const bytes = bytesOf(`key ${key}`);
      const vector = cluster.nodes
        .map(({ disk }) => ({ actor: actorIn(disk), incarnation: 1, counter: 2 ** 40 }))
        .sort(compareSources);
      // Each home stamps, and refuses what claims to know its own dots: so each is left out once.
      for (const { actor } of vector) {
        const context = encodeToken({ vector: vector.filter((entry) => entry.actor !== actor), dots: [] }, bytes);
        await answerOf(cluster, coordinatorOf(cluster).delete({ key: bytes, context }, {}));
      }
    }
    await pass(cluster, SOON_MS);
    await writeAll(cluster);
    await pass(cluster, SOON_MS);
    assert.deepEqual(records(cluster), [KEYS, KEYS, KEYS]);
  });
});
