/**
 * Keys whose concurrent values, of the largest size that may be configured, are together more than a frame of the last
 * release held (2 MiB): they are read, repaired, delivered, moved and forgotten as all others are.
 */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { KvError } from "../../node/core/errors.ts";
import { dataKey, hintsRange, partitionRange } from "../../node/core/keyspace.ts";
import type { MemberId } from "../../node/core/ring/document.ts";
import type { Base } from "../../node/services/coordinator.ts";
import { answered, answerOf } from "./answers.ts";
import { addressOf, type ClusterOptions, SimulatedCluster } from "./cluster.ts";
import { recordIn } from "./disk-records.ts";
import { nodeOf, part, pass } from "./quiet-cluster.ts";

const MIB = 1 << 20;
const LAST_RELEASE = { frameBytesMax: 2 * MIB };
const bytesOf = (text: string) => new TextEncoder().encode(text);
const BIG = bytesOf("big");

async function startCluster(options: Partial<ClusterOptions> = {}): Promise<SimulatedCluster> {
  const cluster = new SimulatedCluster({
    ...{ seed: 8, nodes: 3, zones: 1, replicationFactor: 3, readQuorum: 2, writeQuorum: 2 },
    ...{ mode: "strict", durability: "disk", partitions: 4, hintBytesMax: 1 },
    ...options,
  });
  await cluster.startAll();
  await pass(cluster, 3_000);
  return cluster;
}

const put = (
  cluster: SimulatedCluster,
  name: string,
  w: number,
  value: Uint8Array,
  key = BIG,
  base: Base = "sibling",
) =>
  answerOf(
    cluster,
    nodeOf(cluster, name).coordinator.put({ key, value, contentType: "", base }, { writeQuorum: w, timeoutMs: 5_000 }),
  );

const read = (cluster: SimulatedCluster, name: string, key = BIG) =>
  answerOf(cluster, nodeOf(cluster, name).coordinator.get(key, { readQuorum: 2, timeoutMs: 5_000 }));

/** Three values, of which one member and two others took one and two while they could not hear each other. */
async function writeApart(cluster: SimulatedCluster): Promise<void> {
  part(cluster, ["n1"], ["n2", "n3"]);
  await pass(cluster, 15_000);
  for (const [index, [name, w]] of (
    [
      ["n1", 1],
      ["n2", 2],
      ["n2", 2],
    ] as const
  ).entries()) {
    const answer = await put(cluster, name, w, new Uint8Array(MIB - 1_000).fill(index));
    assert(!(answer instanceof KvError), String(answer));
  }
}

function held({ nodes, ring }: SimulatedCluster, key = BIG) {
  const at = dataKey(ring.partitionOf(key), key);
  return nodes.map(({ disk }) => recordIn(disk.peek(at))?.siblings.length);
}

const isActive = (cluster: SimulatedCluster, name: MemberId) =>
  nodeOf(cluster, name)
    .status.cluster()
    .members.find((member) => member.name === name)?.state === "active";

describe("a key with three concurrent values of the largest size that may be configured", () => {
  it("is held by all homes and readable through each after the cut on both sides of which it was written", async () => {
    const cluster = await startCluster();
    await writeApart(cluster);
    cluster.network.heal();
    await pass(cluster, 30_000);
    assert.deepEqual(held(cluster), [3, 3, 3]);
    for (const { name } of cluster.nodes) {
      const answer = await read(cluster, name);
      assert(!(answer instanceof KvError), `${name}: ${answer}`);
      assert.equal(answer.siblings.length, 3);
    }
    if (cluster.bug !== undefined) throw cluster.bug;
  });

  it("takes no further one, and says what to do; that done, it takes values again", async () => {
    const cluster = await startCluster();
    await writeApart(cluster);
    cluster.network.heal();
    await pass(cluster, 30_000);
    const refused = await put(cluster, "n3", 2, new Uint8Array(1));
    assert(refused instanceof KvError && refused.code === "CONFLICT", String(refused));
    assert.match(
      refused.message,
      /bytes of them, at most \d+ are allowed\. Read the key and write once with the context/,
    );
    const found = await read(cluster, "n3");
    assert(!(found instanceof KvError));
    // By all homes: one that had not heard of it would still hold the three.
    const settled = await put(cluster, "n3", 3, new Uint8Array(MIB - 1_000), BIG, { context: found.context ?? "" });
    assert(!(settled instanceof KvError), String(settled));
    const added = await put(cluster, "n2", 2, new Uint8Array(MIB - 1_000));
    assert(!(added instanceof KvError), String(added));
    await pass(cluster, 10_000);
    assert.deepEqual(held(cluster), [2, 2, 2]);
  });

  it("keeps no member from being filled again that lost its disk", async () => {
    const cluster = await startCluster();
    await writeApart(cluster);
    cluster.network.heal();
    await pass(cluster, 30_000);
    cluster.loseDisk(cluster.byName("n3"));
    cluster.start(cluster.byName("n3"));
    await pass(cluster, 60_000);
    assert(isActive(cluster, "n3"));
    assert.deepEqual(held(cluster), [3, 3, 3]);
  });

  it("goes with a hint to the home that missed it, and the hint is gone then", async () => {
    const cluster = await startCluster({ hintBytesMax: 1 << 30, repairIntervalMs: 3_600_000 });
    await writeApart(cluster);
    cluster.network.heal();
    await pass(cluster, 30_000);
    cluster.crash(cluster.byName("n3"), "process");
    await pass(cluster, 15_000);
    const found = await read(cluster, "n1");
    assert(!(found instanceof KvError));
    for (const base of [{ context: found.context ?? "" }, "sibling"] as const)
      assert(!((await put(cluster, "n1", 2, new Uint8Array(MIB - 1_000), BIG, base)) instanceof KvError));
    const hints = () =>
      cluster.nodes.reduce((sum, { disk }) => sum + disk.entries({ ...hintsRange(), limit: 9 }).length, 0);
    assert(hints() > 0);
    cluster.start(cluster.byName("n3"));
    await pass(cluster, 30_000);
    assert.deepEqual([hints(), held(cluster)], [0, [2, 2, 2]]);
  });

  it("moves to a new member in a change that ends", async () => {
    const cluster = await startCluster();
    await writeApart(cluster);
    cluster.network.heal();
    await pass(cluster, 30_000);
    const { name, zone } = cluster.addMachine("z0");
    await pass(cluster, 5_000);
    const join = [{ name, address: addressOf(name), zone, weight: 100 }];
    const asked = { join, leave: ["n1"], replace: [], weights: {}, zones: {}, quorum: {}, force: false };
    const beginning = nodeOf(cluster, "n2").changes.begin(asked, { dryRun: false });
    await answered(cluster.simulator, beginning, 10_000);
    await pass(cluster, 120_000);
    assert.equal(nodeOf(cluster, "n2").status.cluster().transition, null);
    assert.deepEqual(held(cluster), [undefined, 3, 3, 3]);
  });

  it("is forgotten once it is deleted", async () => {
    const cluster = await startCluster({ tombstoneAgeMs: 5_000 });
    await writeApart(cluster);
    cluster.network.heal();
    await pass(cluster, 30_000);
    const deleting = nodeOf(cluster, "n1").coordinator.delete({ key: BIG }, {});
    await answered(cluster.simulator, deleting, 10_000);
    await pass(cluster, 60_000);
    assert.deepEqual(held(cluster), [undefined, undefined, undefined]);
  });

  it("is in a backup of its partition", async () => {
    const cluster = await startCluster();
    await writeApart(cluster);
    cluster.network.heal();
    await pass(cluster, 30_000);
    const { exporter } = nodeOf(cluster, "n3");
    const partition = cluster.ring.partitionOf(BIG);
    const records = await answered(cluster.simulator, exporter.records(partition, undefined, 100), 10_000);
    assert.deepEqual(
      records.entries.map(({ record }) => recordIn(record)?.siblings.length),
      [3],
    );
    const pairs = await answered(cluster.simulator, exporter.page(partition, undefined, 100), 10_000);
    assert.deepEqual(
      pairs.entries.map(({ siblings }) => siblings.length),
      [3],
    );
  });
});

describe("a member of a release that takes smaller frames", () => {
  /** n3 missed the large record, and small ones in every partition; it is back. */
  async function startMixed() {
    let old: string | undefined = "n3";
    const cluster = await startCluster({
      transportLimitsOf: (member) => (member === old ? LAST_RELEASE : {}),
      tombstoneAgeMs: 5_000,
    });
    part(cluster, ["n1", "n2"], ["n3"]);
    part(cluster, ["n1"], ["n2"]);
    await pass(cluster, 15_000);
    for (const name of ["n1", "n1", "n2"]) {
      const answer = await put(cluster, name, 1, new Uint8Array(MIB - 1_000));
      assert(!(answer instanceof KvError), String(answer));
    }
    cluster.network.heal("n1", "n2");
    cluster.network.heal("n2", "n1");
    await pass(cluster, 15_000);
    for (let at = 0; at < 40; at++) await put(cluster, "n1", 2, bytesOf("small"), bytesOf(`small ${at}`));
    cluster.network.heal();
    await pass(cluster, 60_000);
    return { cluster, upgrade: () => (old = undefined) };
  }

  const smallOf = ({ nodes }: SimulatedCluster) =>
    nodes.map(({ disk }) =>
      [0, 1, 2, 3].reduce((sum, at) => sum + disk.entries({ ...partitionRange(at), limit: 1_000 }).length, 0),
    );

  it("lacks nothing but the record that no frame to it can hold, which is counted, and gets that once it is upgraded", async () => {
    const { cluster, upgrade } = await startMixed();
    assert.deepEqual(
      [held(cluster), smallOf(cluster)],
      [
        [3, 3, undefined],
        [41, 41, 40],
      ],
    );
    assert((cluster.counters.get("annulus.repair.records_too_large") ?? 0) > 0);
    const brokenOff = () => cluster.counters.get("annulus.repair.failures") ?? 0;
    const before = brokenOff();
    await pass(cluster, 20_000);
    assert.equal(brokenOff(), before, "no visit of anti-entropy breaks off");
    for (const name of ["n1", "n2"]) assert(!((await read(cluster, name)) instanceof KvError));
    cluster.crash(cluster.byName("n3"), "process");
    upgrade();
    cluster.start(cluster.byName("n3"));
    await pass(cluster, 30_000);
    assert.deepEqual(
      [held(cluster), smallOf(cluster)],
      [
        [3, 3, 3],
        [41, 41, 41],
      ],
    );
  });

  it("answers a read of the record with an error, in time, and has it as all others do once a client settles it", async () => {
    const { cluster } = await startMixed();
    const unread = await read(cluster, "n3");
    assert(unread instanceof KvError && unread.code === "QUORUM_UNAVAILABLE", String(unread));
    const found = await read(cluster, "n1");
    assert(!(found instanceof KvError));
    const settled = await put(cluster, "n1", 2, bytesOf("small again"), BIG, { context: found.context ?? "" });
    assert(!(settled instanceof KvError), String(settled));
    await pass(cluster, 30_000);
    assert.deepEqual(held(cluster), [1, 1, 1]);
  });

  it("keeps no deletion of another partition from being forgotten", async () => {
    const { cluster } = await startMixed();
    for (let at = 0; at < 40; at++) {
      const deleting = nodeOf(cluster, "n1").coordinator.delete({ key: bytesOf(`small ${at}`) }, {});
      await answered(cluster.simulator, deleting, 10_000);
    }
    await pass(cluster, 90_000);
    const others = [0, 1, 2, 3].filter((partition) => partition !== cluster.ring.partitionOf(BIG));
    const left = cluster.nodes.map(({ disk }) =>
      others.map((at) => disk.entries({ ...partitionRange(at), limit: 1_000 }).length),
    );
    assert.deepEqual(left, [
      [0, 0, 0],
      [0, 0, 0],
      [0, 0, 0],
    ]);
  });
});
