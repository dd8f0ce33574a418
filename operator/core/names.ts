/** Names, labels and ports of all that belongs to one cluster: deterministic, so that nothing is ever made twice. */
import type { Backup } from "../api/kvbackup.ts";
import type { Cluster } from "../api/kvcluster.ts";

export const DATA_PORT = 7400;
export const ADMIN_PORT = 7401;
export const PEER_PORT = 7402;

/** Field manager, and the value of `managed-by`. */
export const MANAGER = "annulus-operator";
export const INSTANCE_LABEL = "app.kubernetes.io/instance";
export const NAME_LABEL = "app.kubernetes.io/name";
/** StatefulSets put it on their pods: the revision of the template that a pod was made from. */
export const REVISION_LABEL = "controller-revision-hash";
/** The container of a pod that the node runs in. */
export const NODE_CONTAINER = "node";
/** The claim template's name; Kubernetes calls a pod's claim `data-<pod>`. */
export const CLAIM = "data";

/** What finds the pods. Part of a StatefulSet's selector, which can never change. */
export function selectorLabels(cluster: Cluster): Record<string, string> {
  return { [NAME_LABEL]: "annulus", [INSTANCE_LABEL]: cluster.metadata.name };
}

/** The labels of every owned object. */
export function ownLabels(cluster: Cluster): Record<string, string> {
  return {
    ...selectorLabels(cluster),
    "app.kubernetes.io/managed-by": MANAGER,
    "app.kubernetes.io/part-of": "annulus",
  };
}

/** The selector as one text, for the scale subresource. */
export function selectorText(cluster: Cluster): string {
  return labelText(selectorLabels(cluster));
}

/** Labels as a selector. */
export function labelText(labels: Readonly<Record<string, string>>): string {
  const terms = Object.entries(labels).sort();
  return terms.map(([key, value]) => `${key}=${value}`).join(",");
}

/** The value of `name` on all that belongs to a KVBackup: never that of members, to whom Services would send clients. */
export const BACKUP_NAME = "annulus-backup";

/** What finds the pods of a KVBackup's runs. */
export function runLabels(backup: Backup): Record<string, string> {
  return { [NAME_LABEL]: BACKUP_NAME, [INSTANCE_LABEL]: backup.metadata.name };
}

/** The labels of every object that a KVBackup owns. */
export function backupLabels(backup: Backup): Record<string, string> {
  return {
    ...runLabels(backup),
    "app.kubernetes.io/managed-by": MANAGER,
    "app.kubernetes.io/part-of": "annulus",
  };
}

/** The Job or CronJob of a KVBackup, and its NetworkPolicy. */
export function runName(backupName: string): string {
  return `${backupName}-backup`;
}

/** The pod of an ordinal, which is also its member's name. */
export function podName(clusterName: string, ordinal: number): string {
  return `${clusterName}-${ordinal}`;
}

/** The ordinal in a pod's name, or undefined for a name of another form. */
export function ordinalOf(clusterName: string, pod: string): number | undefined {
  if (!pod.startsWith(`${clusterName}-`)) return undefined;
  const text = pod.slice(clusterName.length + 1);
  return /^(0|[1-9]\d{0,4})$/.test(text) ? Number(text) : undefined;
}

/** The claim of a pod. */
export function claimName(pod: string): string {
  return `${CLAIM}-${pod}`;
}

/** The headless Service that gives each pod its name in DNS. */
export function peersName(clusterName: string): string {
  return `${clusterName}-peers`;
}

/** The ConfigMap with the first members, or the seeds. */
export function membersName(clusterName: string): string {
  return `${clusterName}-members`;
}

/** The Secret that the pods mount: each member's certificate and key, and the authority's certificate. */
export function tlsName(clusterName: string): string {
  return `${clusterName}-tls`;
}

/** The Certificate that cert-manager is asked for, and the Secret that it makes; no cluster has an object of such a name. */
export function certificateName(pod: string): string {
  return `${pod}-certificate`;
}

/** The Secret with the authority's key, which no pod mounts. */
export function authorityName(clusterName: string): string {
  return `${clusterName}-authority`;
}

/** The Secret with the administrator's token and the nodes' table of tokens. */
export function accessName(clusterName: string): string {
  return `${clusterName}-access`;
}

/** What follows a member's name in DNS, and in its certificate. */
export function peersDomain(cluster: Cluster): string {
  return `${peersName(cluster.metadata.name)}.${cluster.metadata.namespace}.svc`;
}

/** Where peers reach a member: its stable name in DNS, never an address. */
export function peerAddress(cluster: Cluster, pod: string): string {
  return `${pod}.${peersDomain(cluster)}:${PEER_PORT}`;
}
