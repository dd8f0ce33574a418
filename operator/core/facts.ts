/** Kubernetes objects as they come, read into the facts that decisions use. */
import { LOST, REPLACE_ANNOTATION } from "../api/kvcluster.ts";
import { readQuantity } from "../api/quantity.ts";
import { readInstant } from "./instant.ts";
import { CLAIM, NODE_CONTAINER, ordinalOf, REVISION_LABEL } from "./names.ts";
import { at, type KubeObject, listAt, numberAt, textAt } from "./objects.ts";
import type { ClaimFacts, MachineFacts, PeerTls, PodFacts, StatefulSetFacts } from "./world.ts";

/** What volumes call a machine by. */
export const HOSTNAME_LABEL = "kubernetes.io/hostname";
/** Settings by which nodes ask for tokens, and by which their admin port speaks TLS. */
const ACCESS_SETTING = "ANNULUS_ACCESS_FILE";
const ADMIN_TLS_SETTING = "ANNULUS_ADMIN_TLS_CERTIFICATE_FILE";

/** Reads a StatefulSet. */
export function readStatefulSet(object: KubeObject): StatefulSetFacts {
  return {
    uid: object.metadata.uid ?? "",
    replicas: numberAt(object, "spec", "replicas") ?? 1,
    isObserved: (numberAt(object, "status", "observedGeneration") ?? -1) === object.metadata.generation,
    updateRevision: textAt(object, "status", "updateRevision"),
    image: textAt(nodeOf(listAt(object, "spec", "template", "spec", "containers")), "image"),
    asksForToken: settingOf(at(object, "spec", "template"), ACCESS_SETTING) !== undefined,
    isAdminSecure: settingOf(at(object, "spec", "template"), ADMIN_TLS_SETTING) !== undefined,
    claimSize: textAt(object, "spec", "volumeClaimTemplates", 0, "spec", "resources", "requests", "storage"),
  };
}

/** Reads a pod, or undefined for one whose name is not of the cluster's form, or that has ended and will be replaced. */
export function readPod(object: KubeObject, clusterName: string): PodFacts | undefined {
  const { name, uid, resourceVersion, labels, annotations, deletionTimestamp, creationTimestamp } = object.metadata;
  const ordinal = ordinalOf(clusterName, name);
  if (ordinal === undefined) return undefined;
  const conditions = listAt(object, "status", "conditions");
  const isTrue = (type: string) => conditions.some((one) => at(one, "type") === type && at(one, "status") === "True");
  return {
    name,
    uid: uid ?? "",
    owner: object.metadata.ownerReferences?.find(({ controller }) => controller === true)?.uid,
    resourceVersion: resourceVersion ?? "",
    ordinal,
    ip: textAt(object, "status", "podIP"),
    machine: textAt(object, "spec", "nodeName"),
    revision: labels?.[REVISION_LABEL],
    isReady: isTrue("Ready"),
    isDeleting: deletionTimestamp !== undefined,
    createdAtMs: readInstant(creationTimestamp) ?? 0,
    startedAtMs: readInstant(
      textAt(nodeOf(listAt(object, "status", "containerStatuses")), "state", "running", "startedAt"),
    ),
    trouble: troubleOf(object),
    peerTls: peerTlsOf(object),
    isAdminSecure: settingOf(object, ADMIN_TLS_SETTING) !== undefined,
    asksForToken: settingOf(object, ACCESS_SETTING) !== undefined,
    replaceAsked: annotations?.[REPLACE_ANNOTATION] === "true" || annotations?.[REPLACE_ANNOTATION] === LOST,
    isSaidLost: annotations?.[REPLACE_ANNOTATION] === LOST,
    isStarting: isStarting(object),
    requestedCores: coresOf(listAt(object, "spec", "containers"), "resources", "requests", "cpu"),
  };
}

/** How long after its start a pod may say for the first time that it is not ready, in ms: as the HorizontalPodAutoscaler has it. */
const FIRST_UNREADY_MS = 30_000;

/** Whether it has never been ready: not, unless it says since when, long after its start, it is not. */
function isStarting(pod: KubeObject): boolean {
  const ready = listAt(pod, "status", "conditions").find((one) => at(one, "type") === "Ready");
  if (at(ready, "status") === "True") return false;
  const startedMs = readInstant(textAt(pod, "status", "startTime"));
  const sinceMs = readInstant(textAt(ready, "lastTransitionTime"));
  return startedMs === undefined || sinceMs === undefined || sinceMs <= startedMs + FIRST_UNREADY_MS;
}

/** What the metrics API says that all containers of a pod together use, in cores; undefined where it does not tell of one. */
export function readCpuUse(object: KubeObject): number | undefined {
  return coresOf(listAt(object, "containers"), "usage", "cpu");
}

/** The sum over containers of a quantity, or undefined where one has none. */
function coresOf(containers: readonly unknown[], ...path: string[]): number | undefined {
  const cores = containers.map((container) => readQuantity(textAt(container, ...path)));
  if (cores.length === 0 || cores.includes(undefined)) return undefined;
  return cores.reduce<number>((sum, one) => sum + (one ?? 0), 0);
}

/** The node's among containers, or their statuses: admission webhooks put others before it. */
function nodeOf(containers: readonly unknown[]): unknown {
  return containers.find((one) => at(one, "name") === NODE_CONTAINER);
}

/** A setting that a pod's node was, or a template's would be, started with; or undefined. */
function settingOf(pod: unknown, name: string): string | undefined {
  const variable = listAt(nodeOf(listAt(pod, "spec", "containers")), "env").find((one) => at(one, "name") === name);
  return textAt(variable, "value");
}

function peerTlsOf(pod: KubeObject): PeerTls {
  const mode = settingOf(pod, "ANNULUS_PEER_TLS");
  return mode === "allow" || mode === "require" ? mode : "off";
}

/** Reasons of a waiting container that pass by themselves. */
const PASSING = new Set(["ContainerCreating", "PodInitializing"]);

function troubleOf(object: KubeObject): string | undefined {
  const statuses = listAt(object, "status", "containerStatuses");
  const node = nodeOf(statuses);
  // Others count where they keep it from being started.
  for (const status of [node, ...statuses, ...listAt(object, "status", "initContainerStatuses")]) {
    const reason = textAt(status, "state", "waiting", "reason");
    if (reason === undefined || PASSING.has(reason)) continue;
    return status === node ? reason : `${textAt(status, "name")}: ${reason}`;
  }
  const unscheduled = listAt(object, "status", "conditions").find(
    (one) => at(one, "type") === "PodScheduled" && at(one, "status") === "False",
  );
  return unscheduled === undefined
    ? undefined
    : (textAt(unscheduled, "message") ?? "it cannot be scheduled").slice(0, 200);
}

/**
 * Reads a claim, or undefined for one of another form.
 *
 * @param volume Its volume, if it is bound and could be read: says by its host name which machine holds it (`locate`).
 */
export function readClaim(
  object: KubeObject,
  clusterName: string,
  volume: KubeObject | undefined,
): ClaimFacts | undefined {
  const { name, uid, resourceVersion, deletionTimestamp } = object.metadata;
  if (!name.startsWith(`${CLAIM}-`)) return undefined;
  const pod = name.slice(CLAIM.length + 1);
  const ordinal = ordinalOf(clusterName, pod);
  if (ordinal === undefined) return undefined;
  const requested = textAt(object, "spec", "resources", "requests", "storage");
  return {
    name,
    uid: uid ?? "",
    resourceVersion: resourceVersion ?? "",
    pod,
    ordinal,
    machine: volume === undefined ? undefined : hostOf(volume),
    isLocal: volume !== undefined && isLocal(volume),
    requested,
    requestedBytes: readQuantity(requested),
    owners: object.metadata.ownerReferences?.map((owner) => owner.uid) ?? [],
    isBound: textAt(object, "status", "phase") === "Bound",
    isDeleting: deletionTimestamp !== undefined,
    isLost: textAt(object, "status", "phase") === "Lost",
  };
}

/** The host name of the one machine that a local volume is bound to by its node affinity. */
function hostOf(volume: KubeObject): string | undefined {
  const terms = listAt(volume, "spec", "nodeAffinity", "required", "nodeSelectorTerms");
  const [term] = terms;
  if (terms.length !== 1) return undefined;
  for (const expression of listAt(term, "matchExpressions")) {
    const values = listAt(expression, "values");
    if (at(expression, "key") === HOSTNAME_LABEL && at(expression, "operator") === "In" && values.length === 1)
      return typeof values[0] === "string" ? values[0] : undefined;
  }
  return undefined;
}

/** What labels of wide places end in, whoever's they are: `topology.ebs.csi.aws.com/zone`. */
const WIDE = ["zone", "region"];

/** Whether a volume is bound to less than a zone, be it by the label of a machine, of a rack, or one that is not known. */
function isLocal(volume: KubeObject): boolean {
  const isPart = at(volume, "spec", "local") !== undefined || at(volume, "spec", "hostPath") !== undefined;
  const terms = listAt(volume, "spec", "nodeAffinity", "required", "nodeSelectorTerms");
  return isPart || terms.some((term) => listAt(term, "matchFields").length > 0 || !isWide(term));
}

function isWide(term: unknown): boolean {
  const keys = listAt(term, "matchExpressions").map((expression) => textAt(expression, "key") ?? "");
  return keys.every((key) => WIDE.includes(key.slice(key.lastIndexOf("/") + 1)));
}

/** The claim with the name of the machine that holds its volume, where one of its host name is listed. */
export function locate(claim: ClaimFacts, machines: ReadonlyMap<string, MachineFacts>): ClaimFacts {
  if (claim.machine === undefined) return claim;
  for (const { name, host } of machines.values()) if (host === claim.machine) return { ...claim, machine: name };
  return claim;
}

/** What volumes call a machine: its label, which need not be its name. */
export function hostNameOf({ metadata }: KubeObject): string {
  return metadata.labels?.[HOSTNAME_LABEL] ?? metadata.name;
}

/** Reads a Kubernetes node, called machine here: a node is one of Annulus. */
export function readMachine(object: KubeObject, topologyKey: string, nowMs: number): MachineFacts {
  const ready = listAt(object, "status", "conditions").find((one) => at(one, "type") === "Ready");
  const isReady = at(ready, "status") === "True";
  return {
    name: object.metadata.name,
    host: hostNameOf(object),
    zone: object.metadata.labels?.[topologyKey],
    isReady,
    unreadySinceMs: isReady ? undefined : unreadySince(ready, nowMs),
    heardAtMs: readInstant(textAt(ready, "lastHeartbeatTime")),
  };
}

/**
 * Where its kubelet says itself that it is not ready, it does so by the machine's own clock, which may be wrong after a
 * start: only how long it has been saying so counts then. Otherwise Kubernetes says so, when it has not heard of it.
 */
function unreadySince(ready: unknown, nowMs: number): number | undefined {
  const sinceMs = readInstant(textAt(ready, "lastTransitionTime"));
  const heardMs = readInstant(textAt(ready, "lastHeartbeatTime"));
  if (at(ready, "status") !== "False" || sinceMs === undefined || heardMs === undefined) return sinceMs;
  return nowMs - Math.max(0, heardMs - sinceMs);
}
