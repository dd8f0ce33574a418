/** Zones of machines in a fake cluster, as their labels say. */
import assert from "node:assert/strict";
import { textAt } from "../../operator/core/objects.ts";
import type { FakeCluster } from "./fake-cluster.ts";

/** The machine of a pod gets another zone's label, or none. */
export function relabel(cluster: FakeCluster, pod: string, zone: string | undefined): void {
  const node = cluster.kube.find("Node", textAt(cluster.kube.find("Pod", pod), "spec", "nodeName") ?? "", "");
  assert.ok(node);
  const { "topology.kubernetes.io/zone": _, ...others } = node.metadata.labels ?? {};
  const labels = zone === undefined ? others : { ...others, "topology.kubernetes.io/zone": zone };
  cluster.kube.set({ ...node, metadata: { ...node.metadata, labels } });
}
