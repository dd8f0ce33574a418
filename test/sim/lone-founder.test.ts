/** A cluster that began with one member and grew: its first member loses its disk, and must not begin the cluster anew. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { KvError } from "../../node/core/errors.ts";
import { NO_CHANGE } from "../../node/core/ring/change.ts";
import { answered, answerOf } from "./answers.ts";
import { addressOf, type ClusterOptions, SimulatedCluster } from "./cluster.ts";
import { nodeOf, pass } from "./quiet-cluster.ts";
import { settingsOf } from "./settings.ts";

const bytesOf = (text: string) => new TextEncoder().encode(text);

describe("the only first member of a cluster that has grown, with an empty disk", () => {
  it("does not make a second first ring, nor answer for what others hold, nor stay outside for good", async () => {
    const options: ClusterOptions = {
      ...{ seed: 4, nodes: 1, zones: 1, replicationFactor: 1, readQuorum: 1, writeQuorum: 1, partitions: 16 },
      ...{ mode: "strict", durability: "disk" },
    };
    const cluster = new SimulatedCluster(options);
    const { document } = cluster.ring;
    // Started as ever, as the only first member; its seeds are the members that it has by now.
    cluster.settingsOf = (machine) => ({
      ...settingsOf(machine, document, options),
      seeds: cluster.nodes.filter((other) => other !== machine).map(({ name }) => addressOf(name)),
    });
    await cluster.startAll();
    await pass(cluster, 15_000);
    const { simulator } = cluster;
    const joining = [cluster.addMachine("z0"), cluster.addMachine("z0")];
    await pass(cluster, 5_000);
    const join = joining.map(({ name }) => ({ name, address: addressOf(name), zone: "z0", weight: 100 }));
    await answered(simulator, nodeOf(cluster, "n1").changes.begin({ ...NO_CHANGE, join }, { dryRun: false }), 10_000);
    assert(
      await simulator.runWhile(
        () => nodeOf(cluster, "n2").status.cluster().transition !== null || nodeOf(cluster, "n2").bounds().epoch < 3,
        120_000,
      ),
      "they join",
    );
    await pass(cluster, 10_000);
    const { preferenceLists, epoch } = nodeOf(cluster, "n2").status.ring();
    const keys = Array.from({ length: 60 }, (_, at) => bytesOf(`key ${at}`));
    const elsewhere = keys.filter((key) => preferenceLists[cluster.ring.partitionOf(key)]?.[0] !== "n1");
    for (const key of elsewhere) {
      const put = { key, value: key, contentType: "text/plain", base: "sibling" } as const;
      await answered(simulator, nodeOf(cluster, "n2").coordinator.put(put, {}), 10_000);
    }
    const n1 = cluster.byName("n1");
    cluster.loseDisk(n1);
    await pass(cluster, 5_000);
    cluster.start(n1);
    assert(await simulator.runWhile(() => n1.node === undefined, 10_000), "n1 starts");
    const told: string[] = [`it begins at epoch ${n1.node?.bounds().epoch}, the others are at ${epoch}`];
    let missed = 0;
    for (const key of elsewhere.slice(0, 5)) {
      const read = await answerOf(cluster, nodeOf(cluster, "n1").coordinator.get(key, {}));
      if (!(read instanceof KvError) && read.siblings.length === 0) missed += 1;
    }
    told.push(`${missed} of 5 keys that others hold are said not to exist`);
    await pass(cluster, 120_000);
    told.push(`after two minutes: ${JSON.stringify(n1.node?.status.readiness())}`);
    if (cluster.bug !== undefined) told.push(String(cluster.bug));
    assert(missed === 0 && cluster.bug === undefined && n1.node?.status.readiness().ready === true, told.join("; "));
  }, 300_000);
});
