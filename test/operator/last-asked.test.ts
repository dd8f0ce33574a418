/** What is restarted, and which volumes go, rests on what all members say: they are asked once more, right before. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { NodeSilentError } from "../../operator/ports.ts";
import { type FakeCluster, settled } from "./fake-cluster.ts";

/** So many questions are answered; from then on sessions-0 is silent. Returns what makes it speak again. */
function silentAfter(cluster: FakeCluster, questions: number): () => void {
  const ask = cluster.nodes.ask.bind(cluster.nodes);
  let asked = 0;
  cluster.nodes.ask = async (target) => {
    asked += 1;
    if (asked > questions && target.pod === "sessions-0") throw new NodeSilentError("it is gone since");
    return ask(target);
  };
  return () => {
    cluster.nodes.ask = ask;
  };
}

const isOutdated = (cluster: FakeCluster) => {
  cluster.tick();
  return cluster.reconcile();
};

describe("a roll", () => {
  it("restarts nobody where a member went silent after it was looked at, and goes on when that is back", async () => {
    const cluster = await settled();
    cluster.edit({ config: { ANNULUS_TIMEOUT_MS: "500" } });
    await cluster.reconcile();
    cluster.tick();
    const speakAgain = silentAfter(cluster, 3);
    await assert.rejects(isOutdated(cluster), { failure: "unavailable" });
    assert.deepEqual(cluster.story, []);
    speakAgain();
    await cluster.until("rolled", () => cluster.story.length === 3 && cluster.isSettled());
  });

  it("restarts no broken pod of an old revision where another went silent since", async () => {
    const cluster = await settled();
    // It is started, and no longer ready.
    cluster.nodes.unreachable.add("sessions-1");
    cluster.edit({ config: { ANNULUS_TIMEOUT_MS: "500" } });
    await cluster.reconcile();
    cluster.tick();
    const speakAgain = silentAfter(cluster, 3);
    await assert.rejects(isOutdated(cluster), { failure: "unavailable" });
    assert.deepEqual(cluster.story, []);
    speakAgain();
    await isOutdated(cluster);
    assert.deepEqual(cluster.story, ["delete Pod sessions-1"]);
  });
});
