/** What is restarted, and which volumes go, rests on what all members say: they are asked once more, right before. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { NodeSilentError } from "../../operator/ports.ts";
import { type FakeCluster, replicasOf, settled } from "./fake-cluster.ts";

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

describe("a volume of a member that has left", () => {
  const LEFT = "data-sessions-3";

  /** Three members, and the volume of a fourth that left, which is to go now. */
  async function withLeftVolume(): Promise<FakeCluster> {
    const cluster = await settled({ replicas: 4 });
    cluster.edit({ replicas: 3 });
    await cluster.until("left", () => cluster.isSettled());
    cluster.story.length = 0;
    assert.ok(cluster.kube.find("PersistentVolumeClaim", LEFT));
    cluster.edit({ storage: { whenScaled: "Delete" } });
    return cluster;
  }

  it("stays where a member is silent, or the ring another, when all are asked once more", async () => {
    const cluster = await withLeftVolume();
    const speakAgain = silentAfter(cluster, 3);
    await assert.rejects(cluster.reconcile(), { failure: "unavailable" });
    assert.deepEqual(cluster.story, []);
    speakAgain();
    await cluster.until("it goes", () => cluster.story.includes(`delete PersistentVolumeClaim ${LEFT}`), 5);
  });

  it("stays where its pod is to be again, or is there already", async () => {
    const cluster = await withLeftVolume();
    const { kube } = cluster;
    const set = kube.find("StatefulSet", "sessions");
    assert.ok(set);
    const read = kube.read.bind(kube);
    let reads = 0;
    // The first look reads it as it was; then another operator raises it.
    kube.read = async (resource, place) => {
      if (resource.kind !== "StatefulSet") return read(resource, place);
      reads += 1;
      return reads === 1 ? set : { ...set, spec: { ...(set.spec as object), replicas: 4 } };
    };
    await assert.rejects(cluster.reconcile(), { failure: "conflict" });
    kube.read = async (resource, place) =>
      place.name === "sessions-3"
        ? { apiVersion: "v1", kind: "Pod", metadata: { name: "sessions-3" } }
        : read(resource, place);
    await assert.rejects(cluster.reconcile(), { failure: "conflict" });
    assert.deepEqual(cluster.story, []);
  });
});

describe("a StatefulSet that another operator has changed since it was looked at", () => {
  it("keeps its number of pods: who was held up since then knows nothing of members that joined", async () => {
    const cluster = await settled();
    cluster.edit({ config: { ANNULUS_TIMEOUT_MS: "500" } });
    const { kube } = cluster;
    const apply = kube.apply.bind(kube);
    let isRaised = false;
    kube.apply = async (resource, object, options) => {
      const found = kube.find("StatefulSet", "sessions");
      if (object.kind === "StatefulSet" && found !== undefined && !isRaised) {
        kube.set({ ...found, spec: { ...(found.spec as object), replicas: 5 } }, { newGeneration: true });
        isRaised = true;
      }
      return apply(resource, object, options);
    };
    await assert.rejects(cluster.reconcile(), { failure: "conflict" });
    assert.equal(replicasOf(cluster), 5);
    await cluster.until("rolled", () => isRaised && cluster.isSettled());
  });
});
