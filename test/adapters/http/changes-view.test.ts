/** What the node's service of changes says, as the admin port shows it. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { type ChangeService, createChangesView, viewTransition } from "../../../node/adapters/http/changes-view.ts";
import { NO_CHANGE } from "../../../node/core/ring/change.ts";
import { reportPlan } from "../../../node/core/ring/plan-report.ts";
import { cancelledDocument, nextDocument } from "../../../node/core/ring/transition.ts";
import { allDone, ask, createWorld, joiner } from "../../core/ring/change-world.ts";

const ID = "0000000000000001";

function service(): ChangeService & { readonly calls: string[] } {
  const world = createWorld();
  const before = world.document;
  const calls: string[] = [];
  return {
    calls,
    async begin({ join }, { dryRun }) {
      calls.push(`begin ${join.length} ${dryRun}`);
      world.document = ask(world, { join });
      return { before, after: world.document, partitionSizesBytes: new Array<number>(8).fill(100) };
    },
    async cancel(id) {
      calls.push(`cancel ${id}`);
      world.document = cancelledDocument(world.document);
    },
    async state(id) {
      const { document } = world;
      const facts = allDone(world)("a");
      const moves = { epoch: 2, completeFor: facts?.completeFor, movedPartitions: 0, totalBytes: 7, movedBytes: 3 };
      const members = new Map([["a", moves]]);
      return { id, state: document.transition?.phase ?? "cancelled", document, members, waitsFor: "nobody" };
    },
  };
}

const asked = { ...NO_CHANGE, join: [joiner("a")] };

describe("changes as the admin port shows them", () => {
  it("are plans of the documents, with an id once they have begun", async () => {
    const behind = service();
    const view = createChangesView(behind);
    const { id, plan } = await view.begin(asked, { dryRun: true });
    assert.equal(id, undefined);
    const world = createWorld();
    assert.deepEqual(plan, reportPlan(world.document, ask(world, asked), new Array<number>(8).fill(100)));
    assert.ok(plan.movedBytes > 0);
    const begun = createChangesView(service());
    assert.equal((await begun.begin(asked, { dryRun: false })).id, ID);
    assert.deepEqual(behind.calls, ["begin 1 true"]);
  });

  it("are figures while they run, and null in the cluster's view once they have ended", async () => {
    const behind = service();
    const view = createChangesView(behind);
    const { plan } = await view.begin(asked, { dryRun: false });
    const moved = {
      movedBytes: 3,
      totalBytes: 7,
      movedPartitions: plan.movedPartitions,
      totalPartitions: plan.movedPartitions,
    };
    const progress = await view.progress(ID);
    assert.deepEqual(progress, {
      ...{ id: ID, state: "prepare", waitsFor: "nobody", kind: "join a", startedAtMs: 1_001, epoch: 2, ...moved },
      members: [{ name: "a", epoch: 2, complete: true, ...moved }],
    });
    const transition = { id: ID, phase: "prepare", kind: "join a", startedAtMs: 1_001, ...moved };
    assert.deepEqual(await viewTransition(behind, ID), transition);
    await view.cancel(ID);
    assert.equal(await viewTransition(behind, ID), null);
    assert.equal((await view.progress(ID)).state, "cancelled");
    assert.equal(
      nextDocument((await behind.state(ID)).document, () => undefined),
      undefined,
    );
  });
});
