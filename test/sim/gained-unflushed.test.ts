/**
 * With durability=os what a change brings lies in the gaining member's unsynced log. Its word that it is complete opens the gate for
 * reads all the same, and must not go with its power.
 */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { KvError } from "../../node/core/errors.ts";
import { NO_CHANGE } from "../../node/core/ring/change.ts";
import { answered, answerOf } from "./answers.ts";
import { addressOf, SimulatedCluster } from "./cluster.ts";
import { nodeOf, part, pass } from "./quiet-cluster.ts";

const KEY = new TextEncoder().encode("key");

describe("a member that gets a partition, was complete for it, and loses its power", () => {
  it("does not answer for what it lost: W homes acknowledged that, and none of their disks was harmed", async () => {
    const cluster = new SimulatedCluster({
      ...{ seed: 2, nodes: 3, zones: 1, replicationFactor: 3, readQuorum: 2, writeQuorum: 2, partitions: 1 },
      ...{ mode: "strict", durability: "os", repairIntervalMs: 3_600_000, hintBytesMax: 1 },
    });
    await cluster.startAll();
    await pass(cluster, 20_000);
    const { simulator } = cluster;
    const joining = cluster.addMachine("z0");
    await pass(cluster, 5_000);
    // n1 and n2 acknowledge, and have it on their disks for good: they are started anew, which writes the log into a table.
    part(cluster, ["n3"], ["n1", "n2"]);
    await pass(cluster, 20_000);
    const put = { key: KEY, value: KEY, contentType: "text/plain", base: "sibling" } as const;
    await answered(simulator, nodeOf(cluster, "n1").coordinator.put(put, {}), 10_000);
    cluster.crash(cluster.byName("n3"), "process");
    for (const name of ["n1", "n2"]) {
      cluster.crash(cluster.byName(name), "process");
      cluster.start(cluster.byName(name));
    }
    cluster.network.heal();
    await pass(cluster, 20_000);

    const join = [{ name: joining.name, address: addressOf(joining.name), zone: "z0", weight: 100 }];
    const begun = nodeOf(cluster, "n1").changes.begin({ ...NO_CHANGE, join, leave: ["n2"] }, { dryRun: false });
    await answered(simulator, begun, 10_000);
    // It hears the others for a while, before it is heard: whom it has met is on its disk then, and nothing else is to be synced.
    assert(
      await simulator.runWhile(() => joining.node?.status.cluster().transition?.phase !== "prepare", 20_000),
      "it prepares",
    );
    for (const name of ["n1", "n2"]) cluster.network.cut(joining.name, name);
    await pass(cluster, 5_000);
    for (const name of ["n1", "n2"]) cluster.network.heal(joining.name, name);
    const phase = () => nodeOf(cluster, "n1").status.cluster().transition?.phase;
    assert(await simulator.runWhile(() => phase() !== "switch", 120_000), "it switches");
    // It said that it is complete, and has not heard yet what came of it.
    assert.equal(joining.node?.status.cluster().transition?.phase, "prepare");
    const both = ["n3", joining.name];
    part(cluster, ["n2"], both);
    cluster.crash(joining, "machine");
    // n3, which had missed the write, comes back and hears that it switched; then n1 and n2 are away for a while.
    cluster.start(cluster.byName("n3"));
    const knows = (name: string) =>
      (cluster.byName(name).node?.bounds().epoch ?? 0) >= nodeOf(cluster, "n1").bounds().epoch;
    assert(await simulator.runWhile(() => !knows("n3"), 20_000), "n3 knows");
    part(cluster, ["n1"], both);
    cluster.start(joining);
    await pass(cluster, 10_000);
    for (const name of ["n3", joining.name]) {
      const read = await answerOf(cluster, nodeOf(cluster, name).coordinator.get(KEY, {}));
      if (read instanceof KvError) continue;
      assert.equal(read.siblings.length, 1, `a strict read at R=2 through ${name} misses what W=2 acknowledged`);
    }
    if (cluster.bug !== undefined) throw cluster.bug;
  }, 300_000);
});
