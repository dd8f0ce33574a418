/** A change goes on although the member whose turn it is to drive it is up and cannot: its disk takes no writes, so it hears of no ring. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { NO_CHANGE } from "../../node/core/ring/change.ts";
import { answered } from "./answers.ts";
import { nodeOf, pass, startQuietCluster } from "./quiet-cluster.ts";

describe("a change of the ring, while the disk of the first voter takes no writes", () => {
  it("is driven by another member", async () => {
    const cluster = await startQuietCluster({
      ...{ seed: 5, nodes: 5, partitions: 1, readQuorum: 2, writeQuorum: 2, repairIntervalMs: 3_600_000 },
    });
    // n1 is home to nothing here and gets nothing: it is only the first by name.
    assert.deepEqual(
      cluster.ring.homes(0).map(({ name }) => name),
      ["n2", "n5", "n4"],
    );
    cluster.byName("n1").disk.setFaults({ writeErrors: [1, 1] });
    const begun = nodeOf(cluster, "n3").changes.begin({ ...NO_CHANGE, weights: { n2: 0 } }, { dryRun: false });
    const { after } = await answered(cluster.simulator, begun, 10_000);
    assert.deepEqual(
      after.transition?.homes[0]?.map((at) => after.members[at]?.name),
      ["n3", "n5", "n4"],
    );
    await pass(cluster, 600_000);
    const phases = ["n2", "n3", "n4", "n5"].map(
      (name) => nodeOf(cluster, name).status.cluster().transition?.phase ?? "ended",
    );
    const { state, waitsFor, members } = await answered(
      cluster.simulator,
      nodeOf(cluster, "n3").changes.state(after.transition?.id ?? ""),
      10_000,
    );
    const facts = [...members].map(
      ([name, { epoch, completeFor }]) => `${name} epoch ${epoch}${completeFor === undefined ? "" : ", complete"}`,
    );
    assert.deepEqual(
      phases,
      ["ended", "ended", "ended", "ended"],
      `after ten minutes: ${state}, waits for ${waitsFor ?? "nothing"}; ${facts.join("; ")}`,
    );
    if (cluster.bug !== undefined) throw cluster.bug;
  }, 300_000);
});
