/**
 * Volumes: they grow with the spec, go with the KVCluster where the policy says so, and, with proof that their member has left,
 * before it.
 */
import { API_VERSION, KIND, storageBytes } from "../../api/kvcluster.ts";
import { type RingView, ringOf, unsettled } from "../ring-view.ts";
import type { Action, ClaimFacts, StepResult, World } from "../world.ts";
import { proofOf } from "./proof.ts";

/**
 * Asks for the growth of volumes that are smaller than the spec, which not every storage class allows; and makes those that
 * are to go with the KVCluster its own, or no longer so. A StatefulSet's policy would do that too, but takes them along also
 * where somebody deletes the StatefulSet alone.
 */
export function keepClaims(world: World): StepResult {
  const ring = ringOf(world);
  const actions = world.claims.flatMap((claim): Action[] => {
    const { isBound, isDeleting, requested, requestedBytes } = claim;
    if (!isBound || isDeleting || requested === undefined || requestedBytes === undefined) return [];
    const isOwned = claim.owners.includes(world.cluster.metadata.uid);
    const isToBeOwned = goesAlong(world) && (isOwned || isListed(ring, claim));
    // Who owns it comes first, at the size that it has: growth may be refused for good.
    const storage = isToBeOwned === isOwned ? sizeToGrowTo(world, requestedBytes) : requested;
    return storage === undefined
      ? []
      : [{ kind: "apply", isAside: true, object: kept(world, claim, { storage, isToBeOwned }) }];
  });
  return { actions };
}

function goesAlong({ cluster }: World): boolean {
  return cluster.spec.storage.whenDeleted === "Delete";
}

/** Whether this very ring lists its directory, or listed it: data that was found under a member's name is not the cluster's to take. */
function isListed(ring: RingView | undefined, { pod }: ClaimFacts): boolean {
  return ring?.members.get(pod)?.actor !== undefined;
}

/** Undefined when it is large enough. */
function sizeToGrowTo({ cluster: { spec } }: World, bytes: number): string | undefined {
  return bytes < storageBytes(spec) ? spec.storage.size : undefined;
}

/**
 * All that the operator sets of a claim, each time: what an apply leaves out that was in the one before is taken away. Of the version
 * that was looked at: to the API server another uid alone is a manifest that is wrong, not a claim that was made anew meanwhile.
 */
function kept(
  { cluster }: World,
  claim: ClaimFacts,
  { storage, isToBeOwned }: { readonly storage: string; readonly isToBeOwned: boolean },
) {
  const { name, namespace, uid } = cluster.metadata;
  const { resourceVersion } = claim;
  const ownerReferences = [{ apiVersion: API_VERSION, kind: KIND, name, uid }];
  return {
    apiVersion: "v1",
    kind: "PersistentVolumeClaim",
    metadata: {
      name: claim.name,
      namespace,
      uid: claim.uid,
      resourceVersion,
      ...(isToBeOwned ? { ownerReferences } : {}),
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
