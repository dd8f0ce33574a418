/** With whom volumes go: whether they are the KVCluster's own, who makes them so, and who does not. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { at, textAt } from "../../operator/core/objects.ts";
import { KubeError } from "../../operator/ports.ts";
import { FakeCluster, settled } from "./fake-cluster.ts";

const CLAIM_KIND = "PersistentVolumeClaim";

/** The names of the claims that go with the KVCluster. */
function owned({ kube, cluster }: FakeCluster): string[] {
  const { uid } = cluster.metadata;
  const claims = kube
    .all(CLAIM_KIND)
    .filter(({ metadata }) => metadata.ownerReferences?.some((one) => one.uid === uid));
  return claims.map(({ metadata }) => metadata.name).sort();
}

const sizes = ({ kube }: FakeCluster) =>
  kube.all(CLAIM_KIND).map((claim) => textAt(claim, "spec", "resources", "requests", "storage"));

const ALL = ["data-sessions-0", "data-sessions-1", "data-sessions-2"];

describe("volumes that go with the KVCluster", () => {
  it("are its own, and nobody else's: they stay where somebody deletes the StatefulSet", async () => {
    const cluster = await settled({ storage: { whenDeleted: "Delete" } });
    await cluster.until("owned", () => owned(cluster).length === 3, 10);
    assert.deepEqual(owned(cluster), ALL);
    for (const { metadata } of cluster.kube.all(CLAIM_KIND)) assert.equal(metadata.ownerReferences?.length, 1);
    const policy = at(cluster.kube.find("StatefulSet", "sessions"), "spec", "persistentVolumeClaimRetentionPolicy");
    assert.deepEqual(policy, { whenScaled: "Retain", whenDeleted: "Retain" });
  });

  it("are so also where their member has left, and no longer once the spec keeps them", async () => {
    const cluster = await settled({ replicas: 4 });
    cluster.edit({ replicas: 3 });
    await cluster.until("left", () => cluster.isSettled());
    assert.deepEqual(owned(cluster), []);
    cluster.edit({ storage: { whenDeleted: "Delete" } });
    await cluster.until("owned", () => owned(cluster).length > 0, 10);
    assert.deepEqual(owned(cluster), [...ALL, "data-sessions-3"]);
    cluster.edit({ storage: { whenDeleted: "Retain" } });
    await cluster.until("kept", () => owned(cluster).length === 0, 10);
    assert.deepEqual(cluster.story, ["scale Pod sessions-3"]);
  });

  it("are not those that were found under a member's name before it joined: that data is another's", async () => {
    const cluster = new FakeCluster({ storage: { whenDeleted: "Delete" } });
    for (let second = 0; cluster.nodes.ring === undefined; second += 1) {
      assert(second < 300);
      await cluster.reconcile();
      assert.deepEqual(owned(cluster), []);
      cluster.tick();
    }
    await cluster.until("owned", () => owned(cluster).length === 3);
  });

  it("are not given to a KVCluster that was deleted since it was looked at: it would take them along at once", async () => {
    const cluster = await settled();
    cluster.edit({ storage: { whenDeleted: "Delete" } });
    const ask = cluster.nodes.ask.bind(cluster.nodes);
    cluster.nodes.ask = async (target, ...more) => {
      const found = cluster.kube.find("KVCluster", "sessions");
      if (found !== undefined) cluster.kube.drop(found);
      return ask(target, ...more);
    };
    await assert.rejects(cluster.reconcile());
    for (const { metadata } of cluster.kube.all(CLAIM_KIND)) assert.equal(metadata.ownerReferences, undefined);
  });

  it("are its own though their class lets them not grow, and are asked to grow all the same", async () => {
    const cluster = await settled();
    const apply = cluster.kube.apply.bind(cluster.kube);
    const asked: (string | undefined)[] = [];
    cluster.kube.apply = async (resource, object, options) => {
      const size = textAt(object, "spec", "resources", "requests", "storage");
      if (object.kind === CLAIM_KIND) asked.push(size);
      if (object.kind === CLAIM_KIND && size === "20Gi") throw new KubeError("refused", "PATCH: no growth");
      return apply(resource, object, options);
    };
    const [before] = sizes(cluster);
    cluster.edit({ storage: { size: "20Gi", whenDeleted: "Delete" } });
    await cluster.until("owned", () => owned(cluster).length === 3, 10);
    await cluster.until("asked", () => asked.includes("20Gi"), 10);
    assert.deepEqual(sizes(cluster), [before, before, before]);
    cluster.kube.apply = apply;
    await cluster.until("grown", () => sizes(cluster).every((size) => size === "20Gi"), 60);
    assert.deepEqual(owned(cluster), ALL);
  });
});
