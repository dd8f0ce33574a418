/**
 * Volumes: they grow with the spec, go with the KVCluster where the policy says so, and, with proof that their member has left,
 * before it.
 */
import { API_VERSION, KIND, storageBytes } from "../../api/kvcluster.ts";
import { ringOf, unsettled } from "../ring-view.ts";
import type { Action, ClaimFacts, StepResult, World } from "../world.ts";
import { proofOf } from "./proof.ts";

/**
 * Asks for the growth of volumes that are smaller than the spec, which not every storage class allows; and makes those that
 * are to go with the KVCluster its own, or no longer so. A StatefulSet's policy would do that too, but takes them along also
 * where somebody deletes the StatefulSet alone.
 */
export function keepClaims(world: World): StepResult {
  const actions = world.claims.flatMap((claim): Action[] => {
    const size = claim.isBound && !claim.isDeleting ? sizeToApply(world, claim) : undefined;
    return size === undefined ? [] : [{ kind: "apply", isAside: true, object: kept(world, claim, size) }];
  });
  return { actions };
}

/** Undefined when it is as wanted. Who owns it comes first, at the size that it has: growth may be refused for good. */
function sizeToApply(world: World, claim: ClaimFacts): string | undefined {
  const { requested, requestedBytes } = claim;
  if (requested === undefined || requestedBytes === undefined) return undefined;
  if (isToBeOwned(world, claim) !== isOwned(world, claim)) return requested;
  const { spec } = world.cluster;
  return requestedBytes < storageBytes(spec) ? spec.storage.size : undefined;
}

/** Only one whose directory this very ring lists, or listed: data that was found under a member's name is not the cluster's to take. */
function isToBeOwned(world: World, claim: ClaimFacts): boolean {
  if (world.cluster.spec.storage.whenDeleted !== "Delete") return false;
  return isOwned(world, claim) || ringOf(world)?.members.get(claim.pod)?.actor !== undefined;
}

function isOwned({ cluster }: World, { owners }: ClaimFacts): boolean {
  return owners.includes(cluster.metadata.uid);
}

/** All that the operator sets of a claim, each time: what an apply leaves out that was in the one before is taken away. */
function kept(world: World, claim: ClaimFacts, storage: string) {
  const { name, namespace, uid } = world.cluster.metadata;
  const owner = { apiVersion: API_VERSION, kind: KIND, name, uid };
  return {
    apiVersion: "v1",
    kind: "PersistentVolumeClaim",
    metadata: {
      name: claim.name,
      namespace,
      uid: claim.uid,
      ...(isToBeOwned(world, claim) ? { ownerReferences: [owner] } : {}),
    },
    spec: { resources: { requests: { storage } } },
  };
}

/**
 * Removes the volumes of members that left, if the policy says so.
 *
 * The ring must list the member as `left`, in the same run and by the word of all members, who are asked once more right
 * before. A name that it does not list is not enough here: a volume that nobody knows of is kept.
 */
export function removeClaims(world: World): StepResult {
  const { cluster, statefulSet } = world;
  if (cluster.spec.storage.whenScaled !== "Delete" || statefulSet === undefined) return {};
  const ring = ringOf(world);
  if (ring === undefined || unsettled(world, ring) !== undefined) return {};
  const actions: Action[] = [];
  for (const claim of world.claims) {
    const member = ring.members.get(claim.pod);
    const isFree = member?.state === "left" && member.owned === 0 && !claim.isDeleting;
    const isUsed = world.pods.some(({ name }) => name === claim.pod) || claim.ordinal < statefulSet.replicas;
    if (!isFree || isUsed || claim.ordinal < cluster.spec.replicas) continue;
    const why = `member ${claim.pod} has left (epoch ${ring.document.epoch})`;
    const { name, uid, pod, ordinal } = claim;
    const proofs = { ring: proofOf(ring), vacant: { pod, ordinal } };
    actions.push({ kind: "remove", apiVersion: "v1", objectKind: "PersistentVolumeClaim", name, uid, ...proofs, why });
  }
  return { actions };
}
