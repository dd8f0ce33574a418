/** Volumes: they grow with the spec, and go, where the policy says so, with proof that their member has left. */
import { storageBytes } from "../../api/kvcluster.ts";
import { ringOf, unsettled } from "../ring-view.ts";
import type { Action, StepResult, World } from "../world.ts";
import { proofOf } from "./proof.ts";

/** Asks for the growth of volumes that are smaller than the spec. Not every storage class allows it. */
export function growClaims(world: World): StepResult {
  const { metadata, spec } = world.cluster;
  const bytes = storageBytes(spec);
  const small = world.claims.filter(
    (claim) => claim.isBound && !claim.isDeleting && claim.requestedBytes !== undefined && claim.requestedBytes < bytes,
  );
  const actions = small.map(
    (claim): Action => ({
      kind: "apply",
      isAside: true,
      object: {
        apiVersion: "v1",
        kind: "PersistentVolumeClaim",
        metadata: { name: claim.name, namespace: metadata.namespace },
        spec: { resources: { requests: { storage: spec.storage.size } } },
      },
    }),
  );
  return { actions };
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
