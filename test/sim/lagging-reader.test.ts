/** What a strict read showed stays shown through a change, also if who read does not know of the change (its disk takes no writes). */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { KvError } from "../../node/core/errors.ts";
import { NO_CHANGE } from "../../node/core/ring/change.ts";
import { answered, answerOf } from "./answers.ts";
import { nodeOf, part, pass, startQuietCluster } from "./quiet-cluster.ts";

const KEY = new TextEncoder().encode("key");

describe("a strict read through a node that has not heard of the change", () => {
  it("is refused where it would show what a later strict read does not show", async () => {
    const cluster = await startQuietCluster({
      ...{ seed: 5, nodes: 6, partitions: 1, readQuorum: 2, writeQuorum: 2, repairIntervalMs: 3_600_000 },
    });
    const { simulator, network } = cluster;
    assert.deepEqual(
      cluster.ring.homes(0).map(({ name }) => name),
      ["n2", "n5", "n4"],
    );
    // The disk of n6 takes no writes from here on, so that it cannot adopt a ring; it goes on coordinating reads.
    cluster.byName("n6").disk.setFaults({ writeErrors: [1, 1] });
    const asked = { ...NO_CHANGE, weights: { n4: 0, n5: 0 } };
    await answered(simulator, nodeOf(cluster, "n2").changes.begin(asked, { dryRun: false }), 10_000);
    const isComplete = (name: string) => nodeOf(cluster, name).progress().completeFor !== undefined;
    const gaining = ["n1", "n3"];
    assert(await simulator.runWhile(() => !gaining.every(isComplete), 120_000), "those that gain are complete");
    assert.equal(nodeOf(cluster, "n2").status.cluster().transition?.phase, "prepare");
    // A write that comes to two of the present homes and to nobody else: it is not acknowledged.
    for (const name of ["n1", "n3", "n4"]) network.cut("n2", name);
    part(cluster, ["n6"], ["n4"]);
    const put = { key: KEY, value: KEY, contentType: "text/plain", base: "sibling" } as const;
    let written: unknown;
    const note = (end: unknown) => {
      written = end;
    };
    nodeOf(cluster, "n2").coordinator.put(put, {}).then(note, note);
    await pass(cluster, 20);
    const early = await answerOf(cluster, nodeOf(cluster, "n6").coordinator.get(KEY, {}));
    cluster.crash(cluster.byName("n2"), "process");
    network.heal();
    part(cluster, ["n5"], ["n1", "n3"]);
    cluster.start(cluster.byName("n2"));
    const isOver = () => nodeOf(cluster, "n1").status.cluster().transition?.phase !== "prepare";
    assert(await simulator.runWhile(() => !isOver(), 120_000), "it goes on");
    part(cluster, ["n1", "n3"], ["n2"]);
    await pass(cluster, 5_000);
    const late = await answerOf(cluster, nodeOf(cluster, "n1").coordinator.get(KEY, {}));
    assert(!(late instanceof KvError), `it is answered: ${late}`);
    assert.equal(
      late.siblings.length,
      0,
      "the story is told right: nobody acknowledged the write, and who has it is not asked",
    );
    assert(written === undefined || written instanceof KvError, "the write was not acknowledged");
    assert(early instanceof KvError, "the value would have been shown, and then not any more");
    if (cluster.bug !== undefined) throw cluster.bug;
  }, 300_000);
});
