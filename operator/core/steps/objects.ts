/** The owned objects: made when they are missing, applied when they differ, taken over when they bear the right name. */
import { startsWithTokens, tokensDue } from "../access.ts";
import { certificatesDue, peerTlsOf } from "../certificates.ts";
import { isFounded, wantedMembers } from "../founding.ts";
import { issuedDue, usesIssuer } from "../issued.ts";
import type { KubeObject } from "../objects.ts";
import { membersConfig, serviceAccount } from "../resources/members.ts";
import { clientService, networkPolicy, peersService } from "../resources/network.ts";
import { autoscaler, disruptionBudget, serviceMonitor } from "../resources/policies.ts";
import { statefulSet } from "../resources/stateful-set.ts";
import { hintsWaiting, ringOf, unsettled } from "../ring-view.ts";
import type { Action, StepResult, World } from "../world.ts";
import { podsWanted } from "./replicas.ts";

/** Applies all of them; holds the run only while the first pods have no machine yet. */
export function placeObjects(world: World): StepResult {
  const { cluster, policy } = world;
  const foreign = foreignObject(world);
  if (foreign !== undefined)
    return {
      hold: { reason: "NameTaken", message: `${foreign} exists and belongs to somebody else: delete or rename it` },
    };
  const members = wantedMembers(world);
  const replicas = podsWanted(world);
  const objects: (KubeObject | undefined)[] = [
    serviceAccount(cluster),
    peersService(cluster),
    clientService(cluster),
    networkPolicy(cluster, policy),
    disruptionBudget(cluster, isWhole(world)),
    members.kind === "text" ? membersConfig(cluster, members.text) : undefined,
    statefulSet(cluster, policy, {
      replicas,
      claimSize: world.statefulSet?.claimSize,
      peerTls: peerTlsOf(world),
      asksForToken: startsWithTokens(world),
    }),
    autoscaler(cluster),
    serviceMonitor(cluster),
  ];
  // First: a pod that is started without its certificate, or the file of tokens, does not run.
  const count = Math.max(replicas, cluster.spec.replicas);
  const issued = usesIssuer(world) ? issuedDue(world, count) : undefined;
  const actions: Action[] = [...(issued?.actions ?? certificatesDue(world, count)), ...tokensDue(world)];
  const awaited = issued?.awaited.filter((pod) => isNeeded(world, pod)) ?? [];
  if (awaited.length > 0)
    return { actions, hold: { reason: "CertificatesAwaited", message: whyAwaited(world, awaited) } };
  for (const object of objects) if (object !== undefined) actions.push(applying(world, object, replicas));
  actions.push(...unwantedObjects(world));
  if (members.kind === "wait") return { actions, hold: { reason: "Founding", message: members.why } };
  return { actions };
}

/** Whether a pod would be started without a certificate, or restarted; one that is to join can wait for its own. */
function isNeeded({ statefulSet, pods }: World, pod: string): boolean {
  return statefulSet === undefined || pods.some(({ name }) => name === pod);
}

function whyAwaited({ cluster }: World, pods: readonly string[]): string {
  const { kind, name } = cluster.spec.tls.issuer ?? {};
  return `cert-manager has made no certificate with its authority (ca.crt) for ${pods.join(", ")}: look at ${kind} ${name}`;
}

/**
 * Where it takes pods away, the ring that allows it must be the same right before. The first members are named once:
 * another operator may have seen another size, and a node may already have read what that one wrote.
 */
function applying(world: World, object: KubeObject, replicas: number): Action {
  if (object.kind === "ConfigMap" && !isFounded(world) && !world.objects.has(`ConfigMap/${object.metadata.name}`))
    return { kind: "apply", object, isFirst: true };
  // What it says is the user's, or its definition need not be there.
  if (object.kind === "HorizontalPodAutoscaler" || object.kind === "ServiceMonitor")
    return { kind: "apply", object, isAside: true };
  const isSmaller = object.kind === "StatefulSet" && replicas < (world.statefulSet?.replicas ?? 0);
  const ring = isSmaller ? ringOf(world) : undefined;
  if (ring === undefined) return { kind: "apply", object };
  const members = ring.present.map(({ name }) => name);
  return { kind: "apply", object, proof: { epoch: ring.document.epoch, members } };
}

/** Whether a pod may be evicted: not while anything is missing, unknown or moving. Before there is a ring, any may. */
function isWhole(world: World): boolean {
  if (!isFounded(world)) return true;
  const ring = ringOf(world);
  return ring !== undefined && unsettled(world, ring) === undefined && hintsWaiting(ring) === undefined;
}

/** Optional objects that the spec no longer asks for. */
function unwantedObjects(world: World): Action[] {
  const { name } = world.cluster.metadata;
  const optional = [
    { objectKind: "HorizontalPodAutoscaler" as const, isWanted: autoscaler(world.cluster) !== undefined },
    { objectKind: "ServiceMonitor" as const, isWanted: serviceMonitor(world.cluster) !== undefined },
  ];
  return optional.flatMap(({ objectKind, isWanted }) => {
    const found = world.objects.get(`${objectKind}/${name}`);
    const uid = found?.metadata.uid;
    if (isWanted || found === undefined || uid === undefined) return [];
    return [{ kind: "remove", apiVersion: found.apiVersion, objectKind, name, uid, why: "the spec asks for none" }];
  });
}

/** An object of a name that is needed and that another controller owns. One without an owner is taken over. */
function foreignObject(world: World): string | undefined {
  for (const [key, { metadata }] of world.objects) {
    const owner = metadata.ownerReferences?.find(({ controller }) => controller === true);
    if (owner !== undefined && owner.uid !== world.cluster.metadata.uid) return key;
  }
  return undefined;
}
