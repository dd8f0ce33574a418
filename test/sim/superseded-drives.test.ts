/** A directory whose place another took goes on running: it takes part in nothing, also when its peers do not remember it any more. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { NO_CHANGE } from "../../node/core/ring/change.ts";
import { answerOf } from "./answers.ts";
import { nodeOf, pass, startQuietCluster } from "./quiet-cluster.ts";

describe("a directory in whose place the ring lists another, and whose process runs on", () => {
  it("does not have itself listed again once its peers were started anew", async () => {
    const cluster = await startQuietCluster({
      ...{ seed: 5, nodes: 5, partitions: 1, readQuorum: 2, writeQuorum: 2, repairIntervalMs: 3_600_000 },
    });
    const n1 = cluster.byName("n1");
    const listed = () =>
      nodeOf(cluster, "n3")
        .status.ring()
        .members.find(({ name }) => name === "n1")?.actor;
    const first = listed();
    const ghost = cluster.abandon(n1);
    cluster.start(n1);
    assert(await cluster.simulator.runWhile(() => listed() === first, 120_000), "its successor is listed");
    const successor = listed();
    await pass(cluster, 5_000);
    assert.equal(ghost.node?.status.readiness().ready, false, "it knows that it was superseded");
    // The successor is stopped for a while, and the others are started anew: they remember the ring of now, and none of before.
    cluster.crash(n1, "process");
    for (const name of ["n2", "n3", "n4", "n5"]) {
      cluster.crash(cluster.byName(name), "process");
      cluster.start(cluster.byName(name));
    }
    await pass(cluster, 10_000);
    cluster.start(n1);
    await pass(cluster, 20_000);
    await answerOf(
      cluster,
      nodeOf(cluster, "n3").changes.begin({ ...NO_CHANGE, weights: { n3: 50 } }, { dryRun: false }),
    );
    await pass(cluster, 60_000);
    const [says, ghostSays] = [n1, ghost].map(({ node }) => JSON.stringify(node?.status.readiness()));
    const now = listed() === first ? "the first directory again" : "its successor";
    assert.equal(
      listed(),
      successor,
      `the ring lists ${now}; the successor says ${says}, the first one says ${ghostSays}`,
    );
    if (cluster.bug !== undefined) throw cluster.bug;
  }, 300_000);
});
