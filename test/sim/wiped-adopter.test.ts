/**
 * A home that adopted a change has promised to refuse what is written by the ring of before. With an empty disk it has forgotten that,
 * as it has forgotten its vote; it must not make up W together with a home that has not heard of the change.
 */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { KvError } from "../../node/core/errors.ts";
import { NO_CHANGE } from "../../node/core/ring/change.ts";
import { answered, answerOf } from "./answers.ts";
import { nodeOf, part, pass, startQuietCluster } from "./quiet-cluster.ts";

const KEY = new TextEncoder().encode("key");

describe("a home that adopted a change, and lost its disk", () => {
  it("acknowledges nothing by the ring of before that the homes of now would miss", async () => {
    const cluster = await startQuietCluster({
      ...{ seed: 5, nodes: 5, partitions: 1, readQuorum: 2, writeQuorum: 2, repairIntervalMs: 3_600_000 },
    });
    const { simulator } = cluster;
    assert.deepEqual(
      cluster.ring.homes(0).map(({ name }) => name),
      ["n2", "n5", "n4"],
    );
    // n2 is cut off. The others take the partition from it: n3, n5 and n4 are its homes now.
    part(cluster, ["n2"], ["n1", "n3", "n4", "n5"]);
    await pass(cluster, 20_000);
    const begun = nodeOf(cluster, "n4").changes.begin({ ...NO_CHANGE, weights: { n2: 0 } }, { dryRun: false });
    await answered(simulator, begun, 10_000);
    const isOver = () =>
      ["n1", "n3", "n4", "n5"].every((name) => nodeOf(cluster, name).status.cluster().transition === null);
    assert(await simulator.runWhile(() => !isOver(), 120_000), "the change ends without n2");
    // n5 loses its disk, and comes back where it reaches n2 alone. That is the one disk that is lost in all of this.
    cluster.loseDisk(cluster.byName("n5"));
    cluster.network.heal();
    part(cluster, ["n2", "n5"], ["n1", "n3", "n4"]);
    cluster.start(cluster.byName("n5"));
    await pass(cluster, 20_000);
    const put = { key: KEY, value: KEY, contentType: "text/plain", base: "sibling" } as const;
    const written = await answerOf(cluster, nodeOf(cluster, "n2").coordinator.put(put, {}));
    for (const name of ["n1", "n3", "n4"]) {
      const read = await answerOf(cluster, nodeOf(cluster, name).coordinator.get(KEY, {}));
      if (written instanceof KvError || read instanceof KvError) continue;
      const receipt = JSON.stringify(written.receipt);
      assert.equal(
        read.siblings.length,
        1,
        `acknowledged at W = 2 (${receipt}), and missed by a strict read at R = 2 through ${name}`,
      );
    }
    if (cluster.bug !== undefined) throw cluster.bug;
  }, 300_000);

  it("answers nothing by the ring of before that the homes of now have replaced", async () => {
    const cluster = await startQuietCluster({
      ...{ seed: 5, nodes: 6, partitions: 1, readQuorum: 2, writeQuorum: 3, repairIntervalMs: 3_600_000 },
    });
    const { simulator } = cluster;
    assert.deepEqual(
      cluster.ring.homes(0).map(({ name }) => name),
      ["n2", "n5", "n4"],
    );
    const now = ["n1", "n3", "n4", "n6"];
    part(cluster, ["n2"], [...now, "n5"]);
    await pass(cluster, 20_000);
    const asked = { ...NO_CHANGE, weights: { n2: 0, n5: 0 } };
    await answered(simulator, nodeOf(cluster, "n4").changes.begin(asked, { dryRun: false }), 10_000);
    const isOver = () => [...now, "n5"].every((name) => nodeOf(cluster, name).status.cluster().transition === null);
    assert(await simulator.runWhile(() => !isOver(), 120_000), "the change ends without n2");
    // n5 is home to nothing any more. Its disk is exchanged, and it comes back where it reaches n2 alone.
    cluster.loseDisk(cluster.byName("n5"));
    cluster.network.heal();
    part(cluster, ["n2", "n5"], now);
    cluster.start(cluster.byName("n5"));
    await pass(cluster, 30_000);
    const put = { key: KEY, value: KEY, contentType: "text/plain", base: "sibling" } as const;
    const { receipt } = await answered(simulator, nodeOf(cluster, "n4").coordinator.put(put, {}), 10_000);
    assert.equal(receipt.acks, 3);
    for (const name of ["n2", "n5"]) {
      const read = await answerOf(cluster, nodeOf(cluster, name).coordinator.get(KEY, {}));
      if (read instanceof KvError) continue;
      assert.equal(
        read.siblings.length,
        1,
        `acknowledged by all three homes, and missed by a strict read at R = 2 through ${name}`,
      );
    }
    if (cluster.bug !== undefined) throw cluster.bug;
  }, 300_000);
});
