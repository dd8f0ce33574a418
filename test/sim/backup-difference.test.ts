/** What a backup is told of a cluster: after it did what it was told, it holds what the homes hold, whatever happened between. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { briefOf, briefSums, differingLeaves, leafOf } from "../../node/core/merkle/brief.ts";
import { fingerprintOf } from "../../node/core/merkle/fingerprint.ts";
import { placeOf } from "../../node/core/ring/hash.ts";
import { decodeRecord } from "../../node/core/version/record-codec.ts";
import { answered as answeredWithin } from "./answers.ts";
import { SimulatedCluster } from "./cluster.ts";
import { nodeOf, part, pass, startQuietCluster } from "./quiet-cluster.ts";

const FLOOR_MS = 5_000;
const PARTITIONS = 2;
const KEYS = 120;
/** Nothing is mended but by what the test does. */
const QUIET = { nodes: 3, partitions: PARTITIONS, readQuorum: 2, writeQuorum: 2, repairIntervalMs: 3_600_000 };
const bytes = (text: string) => new TextEncoder().encode(text);

/** What a backup keeps: records by their briefs. */
class Backup {
  readonly #parts = Array.from({ length: PARTITIONS }, () => new Map<bigint, { key: string; place: number }>());
  readonly #cluster: SimulatedCluster;

  constructor(cluster: SimulatedCluster) {
    this.#cluster = cluster;
  }

  /** @returns How many records came, and how many were dropped. */
  async update(through: string): Promise<{ added: number; dropped: number }> {
    const { backupDifference } = nodeOf(this.#cluster, through);
    let [added, dropped] = [0, 0];
    for (const [partition, held] of this.#parts.entries()) {
      const { bits, sums, unlike } = await answered(this.#cluster, backupDifference.tree(partition));
      const mine = briefSums(
        bits,
        [...held].map(([brief, { place }]) => ({ brief, place })),
      );
      const leaves = [...new Set([...differingLeaves(mine, sums), ...unlike])];
      for (const leaf of leaves) {
        const briefs = [...held].flatMap(([brief, { place }]) => (leafOf(place, bits) === leaf ? [brief] : []));
        const batches = backupDifference.records(partition, bits, [{ leaf, briefs }]);
        let batch = await answered(this.#cluster, batches.next());
        for (; batch.done !== true; batch = await answered(this.#cluster, batches.next())) {
          for (const { key, record } of batch.value) {
            const brief = briefOf(fingerprintOf(key, record, decodeRecord(record)));
            held.set(brief, { key: Buffer.from(key).toString(), place: placeOf(key) });
            added += 1;
          }
        }
        for (const brief of batch.value.gone) assert.ok(held.delete(brief));
        dropped += batch.value.gone.length;
      }
    }
    return { added, dropped };
  }

  keys(): string[] {
    return this.#parts.flatMap((held) => [...held.values()].map(({ key }) => key)).sort();
  }

  /** Compares what it holds with what a whole read of the cluster gives, record by record. */
  async requireWhole(): Promise<void> {
    for (const [partition, held] of this.#parts.entries()) {
      const { exporter } = nodeOf(this.#cluster, "n2");
      const { entries, done } = await answered(this.#cluster, exporter.records(partition, undefined, 1_000));
      assert.ok(done);
      const briefs = entries.map(({ key, record }) => briefOf(fingerprintOf(key, record, decodeRecord(record))));
      assert.deepEqual(new Set(held.keys()), new Set(briefs));
    }
  }
}

const answered = <T>({ simulator }: SimulatedCluster, asking: Promise<T>): Promise<T> =>
  answeredWithin(simulator, asking, 60_000);

async function start(): Promise<SimulatedCluster> {
  const cluster = new SimulatedCluster({
    ...{ seed: 8, nodes: 4, zones: 1, replicationFactor: 3, readQuorum: 2, writeQuorum: 2 },
    ...{ mode: "strict", durability: "disk", partitions: PARTITIONS, tombstoneAgeMs: FLOOR_MS },
  });
  await cluster.startAll();
  await pass(cluster, 3_000);
  for (let index = 0; index < KEYS; index += 1) await put(cluster, `key ${index}`, "first");
  return cluster;
}

async function put(cluster: SimulatedCluster, key: string, value: string, through = "n1"): Promise<void> {
  const command = { key: bytes(key), value: bytes(value), contentType: "text/plain", base: "overwrite" } as const;
  await answered(cluster, nodeOf(cluster, through).coordinator.put(command, {}));
}

describe("the difference between a backup and a cluster", () => {
  it("is everything at first, then what changed, by whichever node it is asked of", async () => {
    const cluster = await start();
    const backup = new Backup(cluster);
    assert.deepEqual(await backup.update("n1"), { added: KEYS, dropped: 0 });
    await backup.requireWhole();
    for (const { name } of cluster.nodes) assert.deepEqual(await backup.update(name), { added: 0, dropped: 0 });
    await put(cluster, "key 7", "second");
    await put(cluster, "new", "first");
    await answered(cluster, nodeOf(cluster, "n1").coordinator.delete({ key: bytes("key 8") }, {}));
    // The old record of each key that has a new one, its tombstone among them.
    assert.deepEqual(await backup.update("n3"), { added: 3, dropped: 2 });
    await backup.requireWhole();
    assert.equal(backup.keys().filter((key) => key === "key 8").length, 1);
  });

  it("drops a tombstone that was collected, and nothing of what is alive", async () => {
    const cluster = await start();
    const backup = new Backup(cluster);
    await backup.update("n1");
    await answered(cluster, nodeOf(cluster, "n1").coordinator.delete({ key: bytes("key 8") }, {}));
    await pass(cluster, 3 * FLOOR_MS);
    // The backup saw it alive, and no tombstone since: it must not stay alive there.
    assert.deepEqual(await backup.update("n2"), { added: 0, dropped: 1 });
    await backup.requireWhole();
    assert.equal(backup.keys().length, KEYS - 1);
    assert.ok(!backup.keys().includes("key 8"));
  });

  it("has what W homes acknowledged, although each home missed some of it", async () => {
    const cluster = await startQuietCluster({ ...QUIET, seed: 3 });
    for (let index = 0; index < KEYS; index += 1) await put(cluster, `key ${index}`, "first");
    const backups = ["n1", "n2", "n3"].map((through) => ({ through, backup: new Backup(cluster) }));
    for (const { through, backup } of backups) await backup.update(through);
    for (const [turn, away] of ["n1", "n2", "n3"].entries()) {
      const others = ["n1", "n2", "n3"].filter((name) => name !== away);
      part(cluster, [away], others);
      // Who is away is known then, and nobody waits for it.
      await pass(cluster, 15_000);
      for (let index = 0; index < 5; index += 1) await put(cluster, `key ${turn * 10 + index}`, "second", others[0]);
      cluster.network.heal();
      await pass(cluster, 5_000);
    }
    for (const { through, backup } of backups) {
      assert.deepEqual(await backup.update(through), { added: 15, dropped: 15 });
      await backup.requireWhole();
    }
  });

  it("does not go by a home that lost its disk until it is full again", async () => {
    const cluster = await startQuietCluster({ ...QUIET, seed: 3 });
    for (let index = 0; index < KEYS; index += 1) await put(cluster, `key ${index}`, "first");
    const backup = new Backup(cluster);
    await backup.update("n2");
    cluster.loseDisk(cluster.byName("n1"));
    cluster.crash(cluster.byName("n3"), "process");
    cluster.start(cluster.byName("n1"));
    await pass(cluster, 20_000);
    // Two could be asked, and one of them is empty.
    await assert.rejects(backup.update("n2"), { code: "QUORUM_UNAVAILABLE" });
    assert.equal(backup.keys().length, KEYS);
  });

  it("is not told while too few homes can be asked", async () => {
    const cluster = await start();
    const backup = new Backup(cluster);
    part(cluster, ["n1"], ["n2", "n3", "n4"]);
    await assert.rejects(backup.update("n1"), { code: "QUORUM_UNAVAILABLE" });
    await assert.rejects(answered(cluster, nodeOf(cluster, "n1").backupDifference.tree(PARTITIONS)), {
      code: "INVALID_REQUEST",
    });
  });
});
