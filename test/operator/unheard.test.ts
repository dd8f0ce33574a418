/** What is said of members while their nodes say nothing: who they are stays, how they are is not known. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { listAt, textAt } from "../../operator/core/objects.ts";
import { type FakeCluster, settled } from "./fake-cluster.ts";

const told = (cluster: FakeCluster) =>
  listAt(cluster.cluster, "status", "members").map((one) => `${textAt(one, "name")} ${textAt(one, "health")}`);

describe("the members in the status", () => {
  it("are unknown, not up, while no node answers, and up again when they do", async () => {
    const cluster = await settled();
    const up = ["sessions-0 up", "sessions-1 up", "sessions-2 up"];
    assert.deepEqual(told(cluster), up);
    for (const name of cluster.members) cluster.nodes.unreachable.add(name);
    await cluster.reconcile();
    assert.equal(cluster.condition("Available").status, "Unknown");
    assert.deepEqual(told(cluster), ["sessions-0 unknown", "sessions-1 unknown", "sessions-2 unknown"]);
    cluster.nodes.unreachable.clear();
    await cluster.reconcile();
    assert.deepEqual(told(cluster), up);
  });

  it("stay what they were where they answer, and only which ring is the newest is not known for a moment", async () => {
    const cluster = await settled();
    const ask = cluster.nodes.ask.bind(cluster.nodes);
    cluster.nodes.ask = async (target) => ({ ...(await ask(target)), ring: undefined });
    await cluster.reconcile();
    assert.equal(cluster.condition("Available").reason, "RingUnknown");
    assert.deepEqual(told(cluster), ["sessions-0 up", "sessions-1 up", "sessions-2 up"]);
  });
});
