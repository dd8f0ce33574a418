/**
 * How many pods the StatefulSet should have now.
 *
 * Up at once: a pod without a member holds nothing and is joined when it answers. Down only past pods whose members
 * have left, from the highest ordinal on, for that is the order in which a StatefulSet takes pods away.
 */
import { isFounded, membersText } from "../founding.ts";
import { podName } from "../names.ts";
import { ringOf, whyNotGo } from "../ring-view.ts";
import type { World } from "../world.ts";

/** The number for the StatefulSet's `spec.replicas`. */
export function podsWanted(world: World): number {
  const { cluster, statefulSet } = world;
  const target = cluster.spec.replicas;
  // The first ring needs those that it was made for; what the spec wants since then comes after it.
  if (!isFounded(world)) return firstMembers(world) ?? target;
  const present = statefulSet?.replicas ?? ordinalsThere(world);
  if (target >= present) return target;
  const ring = ringOf(world);
  if (ring === undefined) return present;
  let wanted = present;
  while (wanted > target && whyNotGo(world, ring, podName(cluster.metadata.name, wanted - 1)) === undefined)
    wanted -= 1;
  return wanted;
}

/** How many first members were named, or undefined before they are. */
function firstMembers(world: World): number | undefined {
  return /^ANNULUS_MEMBERS=(.*)$/m.exec(membersText(world) ?? "")?.[1]?.split(",").length;
}

/**
 * For a StatefulSet that was taken away, or is not made yet: all that a member may live in. The status does not say who
 * that is: its writer may have been stopped, and the spec lowered, since the last member joined.
 */
function ordinalsThere({ pods, claims }: World): number {
  return Math.max(0, ...[...pods, ...claims].map(({ ordinal }) => ordinal + 1));
}
