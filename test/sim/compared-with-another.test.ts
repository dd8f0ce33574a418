/** Whom a comparison was begun with may not be whom it ended with: a home whose disk was lost meanwhile lacks what it had said it has. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { KvError } from "../../node/core/errors.ts";
import { NO_CHANGE } from "../../node/core/ring/change.ts";
import { answered, answerOf } from "./answers.ts";
import { addressOf, type ClusterOptions, SimulatedCluster } from "./cluster.ts";
import { nodeOf, part, pass } from "./quiet-cluster.ts";
import { settingsOf } from "./settings.ts";

const bytesOf = (text: string) => new TextEncoder().encode(text);

describe("a member that gets partitions, and is slow", () => {
  it("takes no home for compared whose disk was lost while another partition was made equal", async () => {
    const options: ClusterOptions = {
      ...{ seed: 3, nodes: 5, zones: 1, replicationFactor: 3, readQuorum: 2, writeQuorum: 2, partitions: 2 },
      ...{ mode: "strict", durability: "disk", repairIntervalMs: 3_600_000, hintBytesMax: 1 },
    };
    const cluster = new SimulatedCluster(options);
    const { document } = cluster.ring;
    // Background work may take so little that one large record holds it up for some seconds.
    cluster.settingsOf = (machine) => ({ ...settingsOf(machine, document, options), backgroundBytesPerSecond: 65_536 });
    await cluster.startAll();
    await pass(cluster, 20_000);
    const { simulator } = cluster;
    const rows = [0, 1].map((partition) => cluster.ring.homes(partition).map(({ name }) => name));
    assert.deepEqual(rows, [
      ["n2", "n5", "n4"],
      ["n3", "n1", "n2"],
    ]);
    const keyOf = (wanted: number) => {
      for (let at = 0; ; at++)
        if (cluster.ring.partitionOf(bytesOf(`key ${at}`)) === wanted) return bytesOf(`key ${at}`);
    };
    const [large, key] = [keyOf(0), keyOf(1)];
    const put = (of: Uint8Array, value: Uint8Array) =>
      ({ key: of, value, contentType: "text/plain", base: "sibling" }) as const;
    // n2 and n1 acknowledge the key, W = 2; n3 misses it. n2 alone has the large one, which only makes for work.
    part(cluster, ["n1", "n2"], ["n3", "n4", "n5"]);
    await pass(cluster, 20_000);
    await answered(simulator, nodeOf(cluster, "n2").coordinator.put(put(key, key), {}), 10_000);
    const bulk = put(large, new Uint8Array(1 << 20));
    await answered(simulator, nodeOf(cluster, "n2").coordinator.put(bulk, { writeQuorum: 1 }), 10_000);
    for (const name of ["n1", "n2"]) cluster.crash(cluster.byName(name), "process");
    cluster.network.heal();
    cluster.start(cluster.byName("n2"));
    await pass(cluster, 20_000);

    // n6 joins while n1 is away. It copies from n3, n4 and n5, then meets n2, with which it compares both partitions.
    cluster.addMachine("z0");
    await pass(cluster, 5_000);
    part(cluster, ["n2"], ["n3", "n4", "n5", "n6"]);
    await pass(cluster, 20_000);
    const join = [{ name: "n6", address: addressOf("n6"), zone: "z0", weight: 10_000 }];
    await answered(
      simulator,
      nodeOf(cluster, "n3").changes.begin({ ...NO_CHANGE, join, force: true }, { dryRun: false }),
      10_000,
    );
    await pass(cluster, 20_000);
    const pulled = () => cluster.counters.get("annulus.repair.records_pulled") ?? 0;
    const before = pulled();
    cluster.network.heal("n2", "n6");
    cluster.network.heal("n6", "n2");
    assert(await simulator.runWhile(() => pulled() === before, 60_000), "it has merged the large record");
    await pass(cluster, 50);
    assert.equal(pulled(), before + 1, "and waits before it goes on");
    // Meanwhile n2 loses its disk, and is back with an empty one.
    const n2 = cluster.byName("n2");
    cluster.crash(n2, "process");
    cluster.loseDisk(n2);
    cluster.network.heal();
    cluster.start(n2);
    const isOver = () => {
      const { transition } = nodeOf(cluster, "n3").status.cluster();
      return transition === null;
    };
    await simulator.runWhile(() => !isOver(), 120_000);
    const told = isOver() ? "the change has ended" : "the change waits";
    for (const name of ["n3", "n6"]) {
      const answer = await answerOf(cluster, nodeOf(cluster, name).coordinator.get(key, {}));
      if (answer instanceof KvError) continue;
      assert.equal(
        answer.siblings.length,
        1,
        `${told}; a strict read through ${name} misses what n1 still has, and W = 2 had acknowledged`,
      );
    }
    if (cluster.bug !== undefined) throw cluster.bug;
  }, 300_000);
});
