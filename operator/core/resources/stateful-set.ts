/** The StatefulSet: one for each cluster. */
import type { Cluster } from "../../api/kvcluster.ts";
import { CLAIM, peersName, selectorLabels } from "../names.ts";
import type { KubeObject } from "../objects.ts";
import type { Policy } from "../world.ts";
import { owned } from "./owned.ts";
import { type PodStart, podTemplate } from "./pod-template.ts";

/**
 * @param options `replicas`: how many pods now (never simply the spec's). `claimSize`: the size that the claim template
 *   has, for it can never change; undefined when there is none yet. `peerTls`, `asksForToken`: how its members are to be started.
 */
export function statefulSet(
  cluster: Cluster,
  policy: Policy,
  options: PodStart & { readonly replicas: number; readonly claimSize: string | undefined },
): KubeObject {
  const { name } = cluster.metadata;
  const { size, className } = cluster.spec.storage;
  return owned(
    cluster,
    { apiVersion: "apps/v1", kind: "StatefulSet", name },
    {
      spec: {
        replicas: options.replicas,
        serviceName: peersName(name),
        selector: { matchLabels: selectorLabels(cluster) },
        // Members must be able to start at once: each alone could not reach a quorum.
        podManagementPolicy: "Parallel",
        // The operator rolls: a StatefulSet knows nothing of zones, hints and repair.
        updateStrategy: { type: "OnDelete" },
        revisionHistoryLimit: 5,
        // Claims never go by its doing: the operator removes them with proof that their member has left, or has the KVCluster own
        // them (steps/claims.ts).
        persistentVolumeClaimRetentionPolicy: { whenScaled: "Retain", whenDeleted: "Retain" },
        template: podTemplate(cluster, policy, options),
        volumeClaimTemplates: [
          {
            metadata: { name: CLAIM, labels: selectorLabels(cluster) },
            spec: {
              accessModes: ["ReadWriteOnce"],
              ...(className === undefined ? {} : { storageClassName: className }),
              resources: { requests: { storage: options.claimSize ?? size } },
            },
          },
        ],
      },
    },
  );
}
