/** What a home tells of a partition page by page: to backups, to exports, and to a member that joins. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { answered as answeredWithin } from "./answers.ts";
import type { SimulatedCluster } from "./cluster.ts";
import { rot } from "./damage.ts";
import { nodeOf, part, pass, startQuietCluster } from "./quiet-cluster.ts";

/** Nothing is mended but by what the test does. */
const QUIET = { nodes: 3, partitions: 1, readQuorum: 2, writeQuorum: 2, repairIntervalMs: 3_600_000 };
const KEY = "acknowledged";
const bytes = (text: string) => new TextEncoder().encode(text);

const answered = <T>({ simulator }: SimulatedCluster, asking: Promise<T>): Promise<T> =>
  answeredWithin(simulator, asking, 60_000);

async function put(cluster: SimulatedCluster, key: string, value: string | Uint8Array): Promise<void> {
  const command = {
    ...{ key: bytes(key), value: typeof value === "string" ? bytes(value) : value },
    ...{ contentType: "text/plain", base: "sibling" as const },
  };
  await answered(cluster, nodeOf(cluster, "n1").coordinator.put(command, {}));
}

/** Keys of a whole backup of the partition, asked of n1. */
async function backedUp(cluster: SimulatedCluster): Promise<string[]> {
  const { exporter } = nodeOf(cluster, "n1");
  const keys: string[] = [];
  let after: Uint8Array | undefined;
  for (;;) {
    const { entries, done } = await answered(cluster, exporter.records(0, after, 100));
    keys.push(...entries.map(({ key }) => new TextDecoder().decode(key)));
    if (done) return keys.sort();
    after = entries.at(-1)?.key;
  }
}

describe("pages of a partition", () => {
  it("lack no write that W homes acknowledged because a disk has damaged one of the copies", async () => {
    const cluster = await startQuietCluster({ ...QUIET, seed: 5 });
    part(cluster, ["n3"], ["n1", "n2"]);
    await pass(cluster, 15_000);
    await put(cluster, KEY, "by n1 and n2");
    cluster.network.heal();
    await pass(cluster, 5_000);
    assert(rot(cluster, cluster.byName("n1"), bytes(KEY)));
    // What is left to ask: n1, whose copy is damaged, and n3, which never had one.
    part(cluster, ["n2"], ["n1", "n3"]);
    await pass(cluster, 15_000);
    await assert.rejects(backedUp(cluster), { code: "QUORUM_UNAVAILABLE" });
    cluster.network.heal();
    await pass(cluster, 5_000);
    assert.deepEqual(await backedUp(cluster), [KEY]);
  });

  it("hold no more than travels at once, whatever the sizes of what is on them", async () => {
    const cluster = await startQuietCluster({ ...QUIET, seed: 5 });
    const value = (kib: number) => new Uint8Array(kib << 10).fill(1);
    const keys = Array.from({ length: 6 }, (_, index) => `key ${index}`);
    for (const [index, key] of keys.entries()) {
      await put(cluster, key, value(400));
      if (index % 2 === 1) for (let time = 0; time < 4; time += 1) await put(cluster, key, value(350 + time));
    }
    assert.deepEqual(await backedUp(cluster), keys);
  });
});
