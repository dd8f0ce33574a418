/** What cannot be had now, and perhaps never, of the ring: it is told, and holds nothing else up. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { textAt } from "../../operator/core/objects.ts";
import { type FakeCluster, settled } from "./fake-cluster.ts";

const refuseAll = (cluster: FakeCluster) => {
  cluster.nodes.change = async () => ({ kind: "refused", why: "not today" });
};

const isRolled = ({ pods }: FakeCluster) =>
  pods.every((pod) => textAt(pod, "spec", "image") === "annulus:other" && pod.metadata.deletionTimestamp === undefined);

describe("a roll", () => {
  it("goes on while a scale-in is held for good, and both are told", async () => {
    const cluster = await settled({ replicas: 4, weights: { byNode: { "sessions-1": 0 } } });
    cluster.edit({ replicas: 3 });
    await cluster.until("held", () => cluster.condition("Progressing").reason === "ScaleInHeld");
    cluster.edit({ image: "annulus:other" });
    await cluster.until("begun", () => cluster.story.length > 0);
    assert.equal(cluster.condition("Progressing").reason, "Rolling");
    assert.match(
      cluster.condition("Progressing").message,
      /Sessions-3 restarted.* Fewer than N = 3 members would hold/,
    );
    assert.equal(textAt(cluster.cluster, "status", "summary"), "Available, ScaleInHeld, Rolling");
    await cluster.until("rolled", () => isRolled(cluster) && cluster.condition("Progressing").reason === "ScaleInHeld");
    assert.equal(cluster.story.length, 4);
  });

  it("goes on while the nodes refuse a change, for the release may be why", async () => {
    const cluster = await settled();
    refuseAll(cluster);
    cluster.edit({ replicas: 4 });
    await cluster.until("refused", () => cluster.condition("Degraded").reason === "ChangeRefused");
    cluster.edit({ image: "annulus:other" });
    await cluster.until("begun", () => cluster.story.length > 0);
    assert.equal(cluster.condition("Degraded").reason, "ChangeRefused");
    await cluster.until("rolled", () => isRolled(cluster));
  });

  it("goes on beside a pod whose member left and cannot join again: it has nothing to serve", async () => {
    const cluster = await settled({ replicas: 4 });
    cluster.edit({ replicas: 3 });
    await cluster.until("settled", () => cluster.isSettled());
    refuseAll(cluster);
    cluster.edit({ replicas: 4 });
    await cluster.until("refused", () => cluster.condition("Degraded").reason === "ChangeRefused");
    cluster.edit({ image: "annulus:other" });
    await cluster.until("rolled", () => isRolled(cluster));
  });

  it("restarts what hangs in an old revision, though a scale-in waits for it", async () => {
    const cluster = await settled({ replicas: 4 });
    cluster.nodes.unreachable.add("sessions-1");
    cluster.edit({ replicas: 3 });
    await cluster.until("held", () => cluster.condition("Progressing").reason === "ScaleInHeld");
    cluster.edit({ image: "annulus:other" });
    await cluster.until("restarted", () => cluster.story.includes("delete Pod sessions-1"));
  });

  it("waits for pods that find no machine, and says so: one would take the place of a member that is restarted", async () => {
    const cluster = await settled();
    const set = cluster.kube.set.bind(cluster.kube);
    const isBinding = (object: Parameters<typeof set>[0]) =>
      object.metadata.name === "sessions-3" && textAt(object, "spec", "nodeName") !== undefined;
    cluster.kube.set = (object, options) => (isBinding(object) ? object : set(object, options));
    cluster.edit({ replicas: 4, image: "annulus:other" });
    for (let second = 0; second < 120; second += 1) {
      await cluster.reconcile();
      cluster.tick();
    }
    assert.deepEqual(cluster.story, []);
    assert.equal(cluster.condition("Progressing").reason, "WaitingForPods");
    assert.match(cluster.condition("Progressing").message, /must answer to join\. Sessions-3 does not serve yet/);
    cluster.kube.set = set;
    await cluster.until("settled", () => isRolled(cluster) && cluster.isSettled());
  });
});
