/** What bounds and watches the pods: disruption budget, autoscaler, ServiceMonitor. */
import { API_VERSION, type Autoscaling, type Cluster, KIND } from "../../api/kvcluster.ts";
import { AUTHORITY_FILE } from "../certificates.ts";
import { peersDomain, selectorLabels, tlsName } from "../names.ts";
import type { KubeObject } from "../objects.ts";
import type { ClaimFacts } from "../world.ts";
import { owned } from "./owned.ts";

/**
 * @param isWhole Whether every partition has all its homes: only then may a pod that serves be evicted, one at a time.
 * @param claims Their volumes say what becomes of a pod that does not serve. It gives nothing to anybody, and would hold a
 *   drain up for ever: where its volume follows it, it may always move. One whose volume lives on the machine leaves what
 *   may be the only copy behind, on a machine that is about to be switched off: not while anything is missing.
 */
export function disruptionBudget(cluster: Cluster, isWhole: boolean, claims: readonly ClaimFacts[]): KubeObject {
  const mayMove = isWhole || !claims.some(({ isLocal }) => isLocal);
  return owned(
    cluster,
    { apiVersion: "policy/v1", kind: "PodDisruptionBudget", name: cluster.metadata.name },
    {
      spec: {
        maxUnavailable: isWhole ? 1 : 0,
        selector: { matchLabels: selectorLabels(cluster) },
        unhealthyPodEvictionPolicy: mayMove ? "AlwaysAllow" : "IfHealthyBudget",
      },
    },
  );
}

/** Slow on purpose: a member that joins or leaves moves data for minutes. */
const BEHAVIOR = {
  scaleUp: {
    stabilizationWindowSeconds: 60,
    selectPolicy: "Max",
    policies: [{ type: "Pods", value: 2, periodSeconds: 60 }],
  },
  scaleDown: {
    stabilizationWindowSeconds: 600,
    selectPolicy: "Max",
    policies: [{ type: "Pods", value: 1, periodSeconds: 600 }],
  },
};

/** How an autoscaler is to behave, as in a HorizontalPodAutoscaler. */
export function behaviorOf({ behavior }: Autoscaling): Record<string, unknown> {
  return behavior === undefined || Object.keys(behavior).length === 0 ? BEHAVIOR : behavior;
}

/** The autoscaler on the cluster's scale subresource, or undefined when a person scales. It writes `spec.replicas`, the operator never does. */
export function autoscaler(cluster: Cluster): KubeObject | undefined {
  const { autoscaling } = cluster.spec;
  if (autoscaling === undefined || autoscaling.mode !== "automatic") return undefined;
  const { minReplicas, maxReplicas, targetCPUUtilizationPercentage } = autoscaling;
  const target = { type: "Utilization", averageUtilization: targetCPUUtilizationPercentage };
  return owned(
    cluster,
    { apiVersion: "autoscaling/v2", kind: "HorizontalPodAutoscaler", name: cluster.metadata.name },
    {
      spec: {
        scaleTargetRef: { apiVersion: API_VERSION, kind: KIND, name: cluster.metadata.name },
        minReplicas,
        maxReplicas,
        metrics: [{ type: "Resource", resource: { name: "cpu", target } }],
        behavior: behaviorOf(autoscaling),
      },
    },
  );
}

/** For the Prometheus operator: the admin port of every pod, through the headless Service. */
export function serviceMonitor(cluster: Cluster): KubeObject | undefined {
  if (!cluster.spec.monitoring.serviceMonitor) return undefined;
  return owned(
    cluster,
    { apiVersion: "monitoring.coreos.com/v1", kind: "ServiceMonitor", name: cluster.metadata.name },
    {
      spec: {
        selector: { matchLabels: selectorLabels(cluster) },
        endpoints: [{ port: "admin", path: "/metrics", interval: "15s", ...scrapedBy(cluster) }],
        targetLabels: Object.keys(selectorLabels(cluster)),
        namespaceSelector: { matchNames: [cluster.metadata.namespace] },
      },
    },
  );
}

function scrapedBy(cluster: Cluster): Record<string, unknown> {
  if (!cluster.spec.tls.admin) return {};
  const ca = { secret: { name: tlsName(cluster.metadata.name), key: AUTHORITY_FILE } };
  return { scheme: "https", tlsConfig: { ca, serverName: peersDomain(cluster) } };
}
