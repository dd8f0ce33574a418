/** A size that is recommended where a person scales: the one that an autoscaler would ask for, and nothing comes of it by itself. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { at, numberAt, textAt } from "../../operator/core/objects.ts";
import { KubeError } from "../../operator/ports.ts";
import { type FakeCluster, NAME, settled } from "./fake-cluster.ts";
import { PRESETS } from "./manifests.ts";
import { pass } from "./pass.ts";

const QUICK = { scaleUp: { stabilizationWindowSeconds: 0 }, scaleDown: { stabilizationWindowSeconds: 0 } };
const RECOMMEND = { mode: "recommend", cooldownSeconds: 0, targetCPUUtilizationPercentage: 50, behavior: QUICK };

/** Each member that is there uses so much of the 100m that it requests. */
function use(cluster: FakeCluster, milliCores: number): void {
  for (const { metadata } of cluster.pods) {
    const { name, namespace = "default", labels = {} } = metadata;
    cluster.kube.set({
      apiVersion: "metrics.k8s.io/v1beta1",
      kind: "PodMetrics",
      metadata: { name, namespace, labels },
      containers: [{ name: "node", usage: { cpu: `${milliCores * 1_000_000}n` } }],
    });
  }
}

/** What is told, but for since when. */
function told(cluster: FakeCluster) {
  const status = at(cluster.cluster, "status", "recommendation");
  return {
    replicas: numberAt(status, "replicas"),
    reason: textAt(status, "reason"),
    held: textAt(status, "held"),
    movedBytes: numberAt(status, "movedBytes"),
  };
}

const sinceOf = (cluster: FakeCluster) => textAt(cluster.cluster, "status", "recommendation", "since");

const recommending = (autoscaling: Record<string, unknown> = {}, spec: Record<string, unknown> = {}) =>
  settled({ autoscaling: { ...RECOMMEND, ...autoscaling }, ...spec });

describe("a size that is recommended", () => {
  it("is what the CPU in use calls for, with the bytes that it would move, and nobody writes it into the spec", async () => {
    const cluster = await recommending();
    for (const name of cluster.members) cluster.nodes.disks.set(name, { usedBytes: 40, freeBytes: 60 });
    use(cluster, 80);
    await pass(cluster, 1);
    // 3 × 80 / 50 is 4.8. Each zone has all 40 bytes: two of the three share them with one more.
    const reason = "CPU is at 80 % of what is requested, the target is 50 %";
    assert.deepEqual(told(cluster), { replicas: 5, reason, held: undefined, movedBytes: 40 });
    assert.equal(numberAt(cluster.cluster, "spec", "replicas"), undefined);
    assert.equal(cluster.members.length, 3);
    assert.equal(cluster.kube.find("HorizontalPodAutoscaler", NAME), undefined);
    assert.equal(cluster.condition("Progressing").reason, "AsWanted");
  });

  it("is told by one event, and with the same words as long as it is the same size", async () => {
    const cluster = await recommending();
    use(cluster, 80);
    await pass(cluster, 2);
    const [before, since] = [told(cluster), sinceOf(cluster)];
    use(cluster, 78);
    await pass(cluster, 5);
    assert.deepEqual([told(cluster), sinceOf(cluster)], [before, since]);
    const events = cluster.kube.all("Event").filter(({ reason }) => reason === "SizeRecommended");
    assert.deepEqual(
      events.map(({ note }) => note),
      ["5 members: CPU is at 80 % of what is requested, the target is 50 %"],
    );
  });

  it("stays within the bounds, and is the present size where the use is near the target", async () => {
    const cluster = await recommending({ maxReplicas: 4 });
    use(cluster, 100);
    await pass(cluster, 1);
    assert.equal(told(cluster).replicas, 4);
    use(cluster, 54);
    await pass(cluster, 1);
    assert.equal(told(cluster).replicas, 3);
    use(cluster, 1);
    await pass(cluster, 1);
    assert.equal(told(cluster).replicas, 3);
  });

  it("says that members would not leave, where the disks of the others would be too full", async () => {
    const cluster = await recommending({}, { replicas: 5 });
    for (const name of cluster.members) cluster.nodes.disks.set(name, { usedBytes: 60, freeBytes: 40 });
    use(cluster, 10);
    await pass(cluster, 1);
    assert.equal(told(cluster).replicas, 3);
    assert.match(told(cluster).held ?? "", /^the disk of sessions-\d would be \d+ % full, more than 70 %$/);
  });

  it("waits for the windows of the behaviour: up after one minute, down after ten, where it says nothing", async () => {
    const cluster = await recommending({ behavior: undefined }, { replicas: 4 });
    use(cluster, 50);
    await pass(cluster, 601);
    use(cluster, 100);
    await pass(cluster, 59);
    assert.equal(told(cluster).replicas, 4);
    await pass(cluster, 2);
    assert.equal(told(cluster).replicas, 8);
    use(cluster, 30);
    await pass(cluster, 599);
    assert.equal(told(cluster).replicas, 8, "nobody has followed it, and less is called for only since ten minutes");
    await pass(cluster, 2);
    assert.equal(told(cluster).replicas, 3);
  });

  it("outlives the operator that made it, and one quiet look", async () => {
    const cluster = await recommending({ behavior: undefined });
    use(cluster, 80);
    await pass(cluster, 62);
    const before = [told(cluster), sinceOf(cluster)];
    assert.equal(told(cluster).replicas, 5);
    cluster.upgrade(PRESETS);
    await pass(cluster, 1);
    use(cluster, 30);
    await pass(cluster, 1);
    assert.deepEqual([told(cluster), sinceOf(cluster)], before);
  });

  it("is one of the members that there are, where the spec's size cannot be had", async () => {
    const cluster = await recommending({}, { replicas: 5 });
    for (const name of cluster.members) cluster.nodes.disks.set(name, { usedBytes: 60, freeBytes: 40 });
    cluster.edit({ replicas: 3 });
    await cluster.until("held", () => cluster.condition("Progressing").reason === "ScaleInHeld");
    use(cluster, 70);
    await pass(cluster, 1);
    assert.equal(told(cluster).replicas, 7);
  });

  it("follows the bounds also while it waits", async () => {
    const cluster = await recommending({ maxReplicas: 6 });
    use(cluster, 100);
    await pass(cluster, 1);
    assert.equal(told(cluster).replicas, 6);
    cluster.edit({ replicas: 4, autoscaling: { ...RECOMMEND, maxReplicas: 5 } });
    await cluster.until("the change runs", () => cluster.condition("Progressing").reason === "ChangeRuns");
    assert.equal(told(cluster).replicas, 5);
  });

  it("says nothing of a move once it is made", async () => {
    const cluster = await recommending();
    use(cluster, 80);
    await pass(cluster, 1);
    assert.ok(told(cluster).movedBytes !== undefined);
    cluster.edit({ replicas: 5 });
    await cluster.until("grown", () => cluster.isSettled());
    assert.deepEqual([told(cluster).replicas, told(cluster).movedBytes], [5, undefined]);
  });

  it("is not made of what members use that move data, nor in the cool-down after that", async () => {
    const cluster = await recommending({ cooldownSeconds: 60 });
    use(cluster, 50);
    await pass(cluster, 1);
    cluster.edit({ replicas: 4 });
    await cluster.until("the change runs", () => cluster.condition("Progressing").reason === "ChangeRuns");
    use(cluster, 100);
    await cluster.until("grown", () => cluster.isSettled());
    use(cluster, 100);
    await pass(cluster, 30);
    assert.equal(told(cluster).replicas, 3);
    await pass(cluster, 32);
    assert.equal(told(cluster).replicas, 8, "by then it is what clients ask for");
  });

  it("is not known after five minutes without the metrics API, which holds nothing else up", async () => {
    const cluster = await recommending();
    use(cluster, 80);
    await pass(cluster, 1);
    const list = cluster.kube.list.bind(cluster.kube);
    cluster.kube.list = async (resource, options) => {
      if (resource.kind === "PodMetrics") throw new KubeError("not-found", "no such resource");
      return list(resource, options);
    };
    await pass(cluster, 290);
    assert.equal(told(cluster).replicas, 5);
    await pass(cluster, 20);
    assert.deepEqual(told(cluster), {
      replicas: undefined,
      reason: "the metrics API does not tell: no such resource",
      held: undefined,
      movedBytes: undefined,
    });
    cluster.edit({ replicas: 4 });
    await cluster.until("grown", () => cluster.isSettled());
  });

  it("says what it waits for where it was asked for just after a change", async () => {
    const cluster = await settled();
    cluster.edit({ replicas: 4 });
    await cluster.until("grown", () => cluster.isSettled());
    cluster.edit({ autoscaling: { ...RECOMMEND, cooldownSeconds: 300 } });
    await pass(cluster, 1);
    assert.equal(told(cluster).replicas, undefined);
    assert.equal(told(cluster).reason, "the last change ended less than 300 s ago");
  });

  it("goes when it is not asked for any more", async () => {
    const cluster = await recommending();
    use(cluster, 80);
    await pass(cluster, 1);
    cluster.edit({ autoscaling: undefined });
    await pass(cluster, 1);
    assert.equal(at(cluster.cluster, "status", "recommendation"), undefined);
  });
});
