/** What the disruption budget lets a drain take away: who serves is kept while anything is missing, who is broken moves. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { readClaim } from "../../operator/core/facts.ts";
import { at, type KubeObject } from "../../operator/core/objects.ts";
import { type FakeCluster, NAME, settled } from "./fake-cluster.ts";

type Fields = Record<string, unknown>;

const boundTo = (key: string): Fields => ({
  nodeAffinity: {
    required: { nodeSelectorTerms: [{ matchExpressions: [{ key, operator: "In", values: ["a"] }] }] },
  },
});

function budgetOf(cluster: FakeCluster): unknown[] {
  const spec = at(cluster.kube.find("PodDisruptionBudget", NAME), "spec");
  return [at(spec, "maxUnavailable"), at(spec, "unhealthyPodEvictionPolicy")];
}

/** A pod no longer starts, and the operator has seen it. */
async function broken(cluster: FakeCluster): Promise<void> {
  cluster.crash(`${NAME}-1`, true);
  cluster.tick();
  await cluster.reconcile();
}

describe("a drain of a machine whose pod does not serve", () => {
  it("is let go on where volumes follow their pods: the pod loses nothing, and the others are kept", async () => {
    const cluster = await settled();
    for (const volume of cluster.kube.all("PersistentVolume"))
      cluster.kube.set({ ...volume, spec: boundTo("topology.kubernetes.io/zone") });
    await cluster.reconcile();
    assert.deepEqual(budgetOf(cluster), [1, "AlwaysAllow"]);
    await broken(cluster);
    assert.deepEqual(budgetOf(cluster), [0, "AlwaysAllow"]);
  });

  it("waits while anything is missing where volumes live on their machines: one may be the only copy", async () => {
    const cluster = await settled();
    assert.deepEqual(budgetOf(cluster), [1, "AlwaysAllow"]);
    await broken(cluster);
    assert.deepEqual(budgetOf(cluster), [0, "IfHealthyBudget"]);
    cluster.crash(`${NAME}-1`, false);
    await cluster.until("whole again", () => cluster.isSettled());
    assert.deepEqual(budgetOf(cluster), [1, "AlwaysAllow"]);
  });
});

describe("a volume", () => {
  const isLocal = (spec: Fields) => {
    const metadata = { name: `data-${NAME}-0`, namespace: "default" };
    const claim: KubeObject = { apiVersion: "v1", kind: "PersistentVolumeClaim", metadata };
    const volume = { apiVersion: "v1", kind: "PersistentVolume", metadata: { name: "v" }, spec };
    return readClaim(claim, NAME, volume)?.isLocal;
  };

  it("follows its pod where it is bound to nothing, or to a zone or a region, whoever's label that is", () => {
    assert.equal(isLocal({}), false);
    for (const key of ["topology.kubernetes.io/region", "topology.ebs.csi.aws.com/zone"])
      assert.equal(isLocal(boundTo(key)), false);
  });

  it("lives on its machine where it is bound to less, by any label, or is a part of a machine", () => {
    for (const key of ["kubernetes.io/hostname", "topology.topolvm.io/node", "example.org/rack"])
      assert.equal(isLocal(boundTo(key)), true);
    assert.equal(isLocal({ hostPath: { path: "/disk" } }), true);
    assert.equal(isLocal({ local: { path: "/disk" } }), true);
    const fields = [{ matchFields: [{ key: "metadata.name", operator: "In", values: ["a"] }] }];
    assert.equal(isLocal({ nodeAffinity: { required: { nodeSelectorTerms: fields } } }), true);
  });
});
