/** The nodes' own objects without behaviour: ServiceAccount, and the ConfigMap with the first members or the seeds. */
import type { Cluster } from "../../api/kvcluster.ts";
import { MEMBERS_FILE } from "../founding.ts";
import { membersName } from "../names.ts";
import type { KubeObject } from "../objects.ts";
import { owned } from "./owned.ts";

/** An account without any right: nodes do not talk to Kubernetes. */
export function serviceAccount(cluster: Cluster): KubeObject {
  return owned(
    cluster,
    { apiVersion: "v1", kind: "ServiceAccount", name: cluster.metadata.name },
    { automountServiceAccountToken: false },
  );
}

/** @param text What `founding.ts` decided that it says. */
export function membersConfig(cluster: Cluster, text: string): KubeObject {
  return owned(
    cluster,
    { apiVersion: "v1", kind: "ConfigMap", name: membersName(cluster.metadata.name) },
    { data: { [MEMBERS_FILE]: text } },
  );
}
