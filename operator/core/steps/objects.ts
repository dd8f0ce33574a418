/**
 * The owned objects: made when they are missing, applied when they differ, taken over when they bear the right name.
 *
 * Members whose certificates do not come keep their pods as they are, for a pod of the new template would not start. All else
 * goes on: what is lost meanwhile is replaced, and nobody is evicted while it is missing.
 */
import { startsWithTokens, tokensDue } from "../access.ts";
import { certificatesDue, peerTlsOf } from "../certificates.ts";
import { isFounded, wantedMembers } from "../founding.ts";
import { issuedDue, usesIssuer, whyAwaited } from "../issued.ts";
import { OWNED_KINDS, SECRETS } from "../kinds.ts";
import { authorityName, ownLabels } from "../names.ts";
import type { KubeObject } from "../objects.ts";
import { membersConfig, serviceAccount } from "../resources/members.ts";
import { clientService, networkPolicy, peersService } from "../resources/network.ts";
import { autoscaler, disruptionBudget, serviceMonitor } from "../resources/policies.ts";
import { statefulSet } from "../resources/stateful-set.ts";
import { hintsWaiting, ringOf, unsettled } from "../ring-view.ts";
import type { Action, Hold, StepResult, World } from "../world.ts";
import { proofOf } from "./proof.ts";
import { podsCertified, podsWanted } from "./replicas.ts";

/** Applies all of them; holds the run only while the first pods have no machine yet, or no certificates. */
export function placeObjects(world: World): StepResult {
  const { cluster, policy } = world;
  const foreign = foreignObjects(world);
  if (foreign.length > 0) return besideForeign(world, foreign);
  const members = wantedMembers(world);
  const issued = issuedOf(world);
  const awaited = neededOf(world, issued);
  const replicas = podsCertified(world, issued?.awaited ?? []);
  const objects: (KubeObject | undefined)[] = [
    serviceAccount(cluster),
    peersService(cluster),
    clientService(cluster),
    networkPolicy(cluster, policy),
    members.kind === "text" ? membersConfig(cluster, members.text) : undefined,
    awaited.length > 0
      ? undefined
      : statefulSet(cluster, policy, {
          replicas,
          claimSize: world.statefulSet?.claimSize,
          peerTls: peerTlsOf(world),
          asksForToken: startsWithTokens(world),
        }),
    autoscaler(cluster),
    serviceMonitor(cluster),
  ];
  const apply = (object: KubeObject | undefined) => (object === undefined ? [] : [applying(world, object, replicas)]);
  const actions: Action[] = [
    budget(world),
    // Then these: a pod that is started without its certificate, or the file of tokens, does not run.
    ...secretsDue(world, issued),
    ...objects.flatMap(apply),
    ...unwantedObjects(world),
  ];
  if (awaited.length > 0 && (world.statefulSet === undefined || !isFounded(world)))
    return { actions, hold: awaitedHold(world, awaited) };
  if (members.kind === "wait") return { actions, hold: { reason: "Founding", message: members.why } };
  return { actions };
}

/** Holds what is left to do beside an object that is somebody else's. A step of its own, behind the recovery of what is lost. */
export function sayTakenName(world: World): StepResult {
  const foreign = foreignObjects(world);
  return foreign.length === 0 ? {} : { hold: takenHold(foreign) };
}

/**
 * First of all: whoever may be evicted rests on nothing that is made, and on everything that is missing. And at the side, for a
 * policy that refuses it must not keep certificates from being renewed.
 */
function budget(world: World): Action {
  return { kind: "apply", object: disruptionBudget(world.cluster, isWhole(world), world.claims), isAside: true };
}

/**
 * Nothing is made beside it. A cluster that runs stays as it is: what bounds evictions is kept true, and certificates and tokens
 * are kept up where none of the Secrets is the other's.
 */
function besideForeign(world: World, foreign: readonly string[]): StepResult {
  const { cluster, statefulSet } = world;
  const isTaken = (kind: string) => foreign.includes(`${kind}/${cluster.metadata.name}`);
  if (!isFounded(world) || statefulSet === undefined || isTaken("StatefulSet")) return { hold: takenHold(foreign) };
  const areSecretsOurs = !foreign.some((key) => key.startsWith(`${SECRETS.kind}/`));
  return {
    actions: [
      ...(isTaken("PodDisruptionBudget") ? [] : [budget(world)]),
      ...(areSecretsOurs ? secretsDue(world, issuedOf(world)) : []),
    ],
  };
}

/** What is to be made or stored of certificates and tokens. */
function secretsDue(world: World, issued: Due | undefined): readonly Action[] {
  return [...(issued?.actions ?? certificatesDue(world, podsToCertify(world))), ...tokensDue(world)];
}

function takenHold([first]: readonly string[]): Hold {
  return { reason: "NameTaken", message: `${first} exists and belongs to somebody else: delete or rename it` };
}

/** Holds what would restart members by a template that waits for their certificates. A step of its own, for ring changes do not wait. */
export function awaitCertificates(world: World): StepResult {
  const awaited = neededOf(world, issuedOf(world));
  return awaited.length === 0 ? {} : { hold: awaitedHold(world, awaited) };
}

function awaitedHold(world: World, pods: readonly string[]): Hold {
  return { reason: "CertificatesAwaited", message: whyAwaited(world, pods.join(", ")) };
}

type Due = ReturnType<typeof issuedDue>;

function issuedOf(world: World): Due | undefined {
  return usesIssuer(world) ? issuedDue(world, podsToCertify(world)) : undefined;
}

function podsToCertify(world: World): number {
  return Math.max(podsWanted(world), world.cluster.spec.replicas);
}

/** Pods without a certificate that would be started so, or restarted. One that is to join waits for its own by itself. */
function neededOf(world: World, issued: Due | undefined): readonly string[] {
  return issued?.awaited.filter((pod) => isNeeded(world, pod)) ?? [];
}

function isNeeded(world: World, pod: string): boolean {
  const stands = world.pods.some(({ name }) => name === pod);
  if (!isFounded(world)) return world.statefulSet === undefined || stands;
  const ring = ringOf(world);
  return ring === undefined ? stands : ring.present.some(({ name }) => name === pod);
}

/**
 * Where it takes pods away, the ring that allows it must be the same right before. The first members are named once:
 * another operator may have seen another size, and a node may already have read what that one wrote.
 */
function applying(world: World, object: KubeObject, replicas: number): Action {
  if (object.kind === "ConfigMap" && !isFounded(world) && !world.objects.has(`ConfigMap/${object.metadata.name}`))
    return { kind: "apply", object, isFirst: true };
  // What it says is the user's, or its definition need not be there.
  if (isOptional(object.kind)) return { kind: "apply", object, isAside: true };
  const isSmaller = object.kind === "StatefulSet" && replicas < (world.statefulSet?.replicas ?? 0);
  const ring = isSmaller ? ringOf(world) : undefined;
  return ring === undefined ? { kind: "apply", object } : { kind: "apply", object, proof: proofOf(ring) };
}

/** Whether a pod may be evicted: not while anything is missing, unknown or moving. Before there is a ring, any may. */
function isWhole(world: World): boolean {
  if (!isFounded(world)) return true;
  const ring = ringOf(world);
  return ring !== undefined && unsettled(world, ring) === undefined && hintsWaiting(ring) === undefined;
}

const OPTIONAL_KINDS = ["HorizontalPodAutoscaler", "ServiceMonitor"] as const;

function isOptional(kind: string): boolean {
  return OPTIONAL_KINDS.some((optional) => optional === kind);
}

function isAskedFor({ cluster }: World, kind: string): boolean {
  return (kind === "ServiceMonitor" ? serviceMonitor(cluster) : autoscaler(cluster)) !== undefined;
}

/** Optional objects of ours that the spec no longer asks for; a person may have made one of that name. */
function unwantedObjects(world: World): Action[] {
  const { name } = world.cluster.metadata;
  return OPTIONAL_KINDS.flatMap((objectKind) => {
    const found = world.objects.get(`${objectKind}/${name}`);
    const uid = found?.metadata.uid;
    if (found === undefined || uid === undefined || isAskedFor(world, objectKind) || !isOwned(world, found)) return [];
    return [{ kind: "remove", apiVersion: found.apiVersion, objectKind, name, uid, why: "the spec asks for none" }];
  });
}

/**
 * Objects of names that are needed and that are not ours. What the operator once made and nobody owns any more
 * (`kubectl delete --cascade=orphan`) is taken over.
 */
function foreignObjects(world: World): readonly string[] {
  return [...world.objects].flatMap(([key, object]) => {
    if (isOwned(world, object) || !isNamed(world, object)) return [];
    const { ownerReferences, labels } = object.metadata;
    const isOthers = ownerReferences?.some(({ controller }) => controller === true) ?? false;
    const isStray = NAMED_KINDS.has(object.kind) && !isMadeHere(world, labels);
    return isOthers || isStray ? [key] : [];
  });
}

/** Whether the cluster has use for the name. Where an issuer makes its certificates, the authority's may be that of the issuer. */
function isNamed(world: World, { kind, metadata }: KubeObject): boolean {
  if (isOptional(kind)) return isAskedFor(world, kind);
  return kind !== SECRETS.kind || metadata.name !== authorityName(world.cluster.metadata.name) || !usesIssuer(world);
}

/**
 * Kinds whose objects of a cluster's name may be those of an application of the same name: to apply ours would break it. Of a
 * Secret it would besides trust, or show to nodes, what somebody else has put there, and take it along when the cluster goes.
 */
const NAMED_KINDS: ReadonlySet<string> = new Set(
  [...OWNED_KINDS, SECRETS].map(({ kind }) => kind).filter((kind) => !isOptional(kind)),
);

function isMadeHere({ cluster }: World, labels: KubeObject["metadata"]["labels"]): boolean {
  return Object.entries(ownLabels(cluster)).every(([name, value]) => labels?.[name] === value);
}

function isOwned({ cluster }: World, { metadata }: KubeObject): boolean {
  return metadata.ownerReferences?.some(({ uid }) => uid === cluster.metadata.uid) ?? false;
}
