/**
 * How many pods the StatefulSet should have now.
 *
 * Up at once: a pod without a member holds nothing and is joined when it answers. Down only past pods whose members
 * have left, from the highest ordinal on, for that is the order in which a StatefulSet takes pods away. Never below a
 * member: no precondition spans the API server and the ring, so that one may join while the number is being lowered; its
 * pod then comes back on its own volume, and the member leaves before it goes again.
 */
import { isFounded, membersText } from "../founding.ts";
import { ordinalOf, podName } from "../names.ts";
import { type RingView, ringOf, whyNotGo } from "../ring-view.ts";
import type { World } from "../world.ts";

/** The number for the StatefulSet's `spec.replicas`. */
export function podsWanted(world: World): number {
  const { cluster, statefulSet } = world;
  const target = cluster.spec.replicas;
  // The first ring needs those that it was made for; what the spec wants since then comes after it.
  if (!isFounded(world)) return firstMembers(world) ?? target;
  const ring = ringOf(world);
  const there = statefulSet?.replicas ?? ordinalsThere(world);
  // Whoever lowered it below a member, a person or an operator who looked before that one joined: it comes back.
  const present = Math.max(there, ring === undefined ? 0 : ordinalsOf(world, ring));
  if (target >= present) return target;
  if (ring === undefined) return present;
  let wanted = present;
  while (wanted > target && whyNotGo(world, ring, podName(cluster.metadata.name, wanted - 1)) === undefined)
    wanted -= 1;
  return wanted;
}

/**
 * That number as far as certificates have come: a pod without its own would not start. What there is stays.
 *
 * @param awaited Pods without one.
 */
export function podsCertified(world: World, awaited: readonly string[]): number {
  const { cluster, statefulSet } = world;
  const first = awaited.flatMap((pod) => ordinalOf(cluster.metadata.name, pod) ?? []);
  const there = statefulSet === undefined ? ordinalsThere(world) : statefulSet.replicas;
  return Math.min(podsWanted(world), Math.max(there, Math.min(...first)));
}

/** How many first members were named, or undefined before they are. */
function firstMembers(world: World): number | undefined {
  return /^ANNULUS_MEMBERS=(.*)$/m.exec(membersText(world) ?? "")?.[1]?.split(",").length;
}

/** So many that each member has a pod. */
function ordinalsOf({ cluster }: World, { present }: RingView): number {
  return Math.max(0, ...present.map(({ name }) => (ordinalOf(cluster.metadata.name, name) ?? -1) + 1));
}

/**
 * For a StatefulSet that was taken away, or is not made yet: all that a member may live in. The status does not say who
 * that is: its writer may have been stopped, and the spec lowered, since the last member joined.
 */
function ordinalsThere({ pods, claims }: World): number {
  return Math.max(0, ...[...pods, ...claims].map(({ ordinal }) => ordinal + 1));
}
