/** A member that was declared destroyed and knows it acknowledges nothing: what it keeps is set aside with it. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { KvError } from "../../node/core/errors.ts";
import { NO_CHANGE } from "../../node/core/ring/change.ts";
import { answered, answerOf } from "./answers.ts";
import { SimulatedCluster } from "./cluster.ts";
import { nodeOf, part, pass } from "./quiet-cluster.ts";

const bytesOf = (text: string) => new TextEncoder().encode(text);

describe("a member that was declared destroyed by a change which was taken back", () => {
  it("acknowledges nothing as a stand-in", async () => {
    const cluster = new SimulatedCluster({
      ...{ seed: 11, nodes: 5, zones: 1, replicationFactor: 3, readQuorum: 2, writeQuorum: 2, partitions: 16 },
      ...{ mode: "sloppy", durability: "disk" },
    });
    await cluster.startAll();
    await pass(cluster, 20_000);
    const { simulator } = cluster;
    part(cluster, ["n2"], ["n1", "n3", "n4", "n5"]);
    await pass(cluster, 20_000);
    const begun = nodeOf(cluster, "n3").changes.begin({ ...NO_CHANGE, replace: ["n2"] }, { dryRun: false });
    const { after } = await answered(simulator, begun, 10_000);
    await answered(simulator, nodeOf(cluster, "n3").changes.cancel(after.transition?.id ?? ""), 10_000);
    cluster.network.heal();
    const epoch = () => nodeOf(cluster, "n3").bounds().epoch;
    assert(await simulator.runWhile(() => nodeOf(cluster, "n2").bounds().epoch < epoch(), 60_000), "n2 knows");
    await pass(cluster, 10_000);
    assert.equal(
      nodeOf(cluster, "n2")
        .status.ring()
        .members.find(({ name }) => name === "n2")?.isDestroyed,
      true,
    );
    const acknowledged: Uint8Array[] = [];
    for (let at = 0; at < 20; at++) {
      const put = {
        key: bytesOf(`key ${at}`),
        value: bytesOf("value"),
        contentType: "text/plain",
        base: "sibling",
      } as const;
      const answer = await answerOf(cluster, nodeOf(cluster, "n2").coordinator.put(put, { writeQuorum: 1 }));
      if (!(answer instanceof KvError)) acknowledged.push(put.key);
    }
    await pass(cluster, 120_000);
    let missed = 0;
    for (const key of acknowledged) {
      const read = await answered(simulator, nodeOf(cluster, "n3").coordinator.get(key, {}), 10_000);
      if (read.siblings.length === 0) missed += 1;
    }
    assert.equal(
      missed,
      0,
      `${acknowledged.length} writes were acknowledged through n2, and ${missed} of them are seen by nobody after two minutes`,
    );
    if (cluster.bug !== undefined) throw cluster.bug;
  }, 300_000);
});
