/**
 * Rolling changes: image, settings, resources. The StatefulSet's strategy is OnDelete; the operator deletes.
 *
 * One zone at a time, one pod after the other; the next only once every member is present, no hint is due to anybody,
 * and the pods that were restarted have found all their partitions equal to the other homes.
 */
import { isFounded, ZONE_DEFAULT, zoneOfPod } from "../founding.ts";
import { answerOf, hintsWaiting, type RingView, ringOf, unsettled } from "../ring-view.ts";
import type { PodFacts, RingProof, StepResult, World } from "../world.ts";
import { proofOf } from "./proof.ts";

/**
 * Restarts pods of an old revision whose container does not run: they serve nobody, so that nothing is taken away, and
 * Kubernetes would never touch them (kubernetes/kubernetes#67250). So putting the spec back mends a stuck roll-out, and
 * a cluster of which nothing starts.
 */
export function mendStuck(world: World): StepResult {
  const { statefulSet } = world;
  const revision = statefulSet?.isObserved === true ? statefulSet.updateRevision : undefined;
  if (revision === undefined) return {};
  const stuck = world.pods.filter(
    (pod) =>
      pod.revision !== revision &&
      !pod.isDeleting &&
      !pod.isReady &&
      pod.trouble !== undefined &&
      answerOf(world, pod.name) === undefined,
  );
  return stuck.length === 0 ? {} : restart(stuck, "it does not start, and its revision is old");
}

/** Restarts the next pod of an old revision, if one may be. */
export function rollPods(world: World): StepResult {
  const { statefulSet } = world;
  if (statefulSet === undefined) return {};
  // Which pods are outdated is not known until then, and that none is would be told of a spec that nobody has acted on.
  const isUnheard = !statefulSet.isObserved && isFounded(world);
  if (isUnheard) return hold("Rolling", "Kubernetes has not taken notice of the pods' template yet");
  const revision = statefulSet.isObserved ? statefulSet.updateRevision : undefined;
  if (revision === undefined) return {};
  const pods = world.pods.filter(({ ordinal }) => ordinal < statefulSet.replicas);
  const outdated = pods.filter((pod) => pod.revision !== revision);
  if (outdated.length === 0) return {};
  const leaving = outdated.find(({ isDeleting }) => isDeleting);
  if (leaving !== undefined) return hold("Rolling", `${leaving.name} is stopping`);
  if (!isFounded(world)) return restart(outdated, "no ring has been made yet");
  const ring = ringOf(world);
  if (ring === undefined) return hold("RollingHeld", "no node tells the ring");
  const sick = outdated.find((pod) => !serves(world, ring, pod));
  if (sick !== undefined) {
    const trouble = unsettled(world, ring, [sick.name]);
    if (trouble !== undefined) return hold("RollingHeld", `${sick.name} does not serve, but ${trouble}`);
    return restart([sick], "it does not serve, and its revision is old", proofOf(ring, sick.name));
  }
  const waited = whyWait(world, ring, pods, revision);
  if (waited !== undefined) return waited;
  const next = nextPod(world, pods, outdated);
  const why = `its revision is old; zone ${zoneOfPod(world, next.name) ?? ZONE_DEFAULT}`;
  return restart([next], why, proofOf(ring));
}

/** One whose member left, and that cannot join again yet, is never ready: it has nothing to serve. */
function serves(world: World, { present }: RingView, { name, isReady }: PodFacts): boolean {
  const isMember = present.some((member) => member.name === name);
  return (isReady || !isMember) && answerOf(world, name) !== undefined;
}

function whyWait(world: World, ring: RingView, pods: readonly PodFacts[], revision: string): StepResult | undefined {
  const expected = world.statefulSet?.replicas ?? 0;
  // Those that are not members yet as well: one that finds no room would take that of a member that is restarted.
  if (pods.length < expected) return hold("Rolling", `${pods.length} of ${expected} pods exist`);
  const sick = pods.find((pod) => !serves(world, ring, pod));
  if (sick !== undefined) {
    const stuck = sick.trouble !== undefined;
    return hold(
      stuck ? "RollingStuck" : "Rolling",
      `${sick.name} does not serve yet${stuck ? `: ${sick.trouble}` : ""}`,
    );
  }
  const trouble = unsettled(world, ring) ?? hintsWaiting(ring);
  if (trouble !== undefined) return hold("Rolling", `waiting: ${trouble}`);
  for (const pod of pods) {
    if (pod.revision !== revision) continue;
    // A node knows of nothing that was found before it started. When that was is by its own clock, which may be set back.
    if (answerOf(world, pod.name)?.equalSinceMs === undefined)
      return hold("Rolling", `waiting: ${pod.name} has not been found equal to its peers since it was restarted`);
  }
  return undefined;
}

/** A zone that was begun is finished before another; within a zone the highest ordinal goes first. */
function nextPod(world: World, pods: readonly PodFacts[], outdated: readonly PodFacts[]): PodFacts {
  const zone = ({ name }: PodFacts) => zoneOfPod(world, name) ?? ZONE_DEFAULT;
  const waiting = new Set(outdated);
  const begun = new Set(pods.filter((pod) => !waiting.has(pod)).map(zone));
  const rank = (pod: PodFacts) => `${begun.has(zone(pod)) ? 0 : 1}${zone(pod)}`;
  const sorted = [...outdated].sort((a, b) =>
    rank(a) === rank(b) ? b.ordinal - a.ordinal : rank(a) < rank(b) ? -1 : 1,
  );
  return sorted[0] as PodFacts;
}

/** @param ring What it rests on, where there is a ring: since it was looked at a member may have gone. */
function restart(pods: readonly PodFacts[], why: string, ring?: RingProof): StepResult {
  const remove = {
    kind: "remove",
    apiVersion: "v1",
    objectKind: "Pod",
    why,
    ...(ring === undefined ? {} : { ring }),
  } as const;
  return {
    actions: pods.map(({ name, uid }) => ({ ...remove, name, uid })),
    ...hold("Rolling", `${pods.map(({ name }) => name).join(", ")} restarted: ${why}`),
  };
}

function hold(reason: string, message: string): StepResult {
  return { hold: { reason, message } };
}
