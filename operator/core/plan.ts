/**
 * The reconciler's decision: from what is observed to what should be done now, and what is said about it.
 *
 * An ordered list of steps. Each looks at the whole world and returns what to do, or a reason to go no further; the
 * first such reason ends the run, but for one that is the step's own (`isAside`). Nothing is remembered between runs: a run
 * that is cut off anywhere is simply begun again. The order is the safety argument:
 *
 *   objects   what carries the pods. `replicas` falls only past members that the ring, by the word of every present
 *             member and in this same run, lists as left and home to nothing (steps/replicas.ts)
 *   mend      pods of an old revision whose container does not run: they carry nothing
 *   recover   a lost volume is given up only while all others are whole
 *   change    one ring change at a time; a scale-in waits for every member
 *   await     members whose certificates have not come are not restarted
 *   roll      a pod is restarted only while the ring is at rest: after `change`, which ends the run while one runs, or has
 *             just been asked for. A change that cannot be asked for may stay so for good, and holds no pod back
 *   claims    volumes go last, with proof of their own
 */
import type { Status } from "../api/kvcluster.ts";
import { PAUSED_ANNOTATION } from "../api/kvcluster.ts";
import { whyOtherAccess } from "./access.ts";
import { adviseSize } from "./advice.ts";
import { halfwayPod } from "./certificates.ts";
import { isFounded } from "./founding.ts";
import { isApplied, isMadeFrom } from "./objects.ts";
import { ringOf, unsettled } from "./ring-view.ts";
import { describeStatus } from "./status.ts";
import { changeRing } from "./steps/change.ts";
import { keepClaims, removeClaims } from "./steps/claims.ts";
import { awaitCertificates, placeObjects, sayTakenName } from "./steps/objects.ts";
import { recoverLost, sayHeldRecovery } from "./steps/recover.ts";
import { podsWanted } from "./steps/replicas.ts";
import { mendStuck, rollPods } from "./steps/roll.ts";
import type { Action, Hold, Step, World } from "./world.ts";

export type Plan = {
  readonly actions: readonly Action[];
  /** What is held, and why, in the order of the steps; nothing when all is as wanted. */
  readonly holds: readonly Hold[];
  readonly status: Status;
  /** What the load called for, to be remembered until the next look. */
  readonly sizesWanted: World["sizesWanted"];
  /** When to look again though nothing was heard of. */
  readonly againMs: number;
};

const STEPS: readonly Step[] = [
  whenPaused,
  placeObjects,
  keepClaims,
  mendStuck,
  recoverLost,
  sayTakenName,
  changeRing,
  sayHeldRecovery,
  awaitCertificates,
  rollPods,
  removeClaims,
  awaitMembers,
];

/** How soon to look again while something is under way, and when all is at rest. */
const BUSY_MS = 2_000;
const CALM_MS = 30_000;

/** Decides. The cluster is one that is not being deleted: what is owned goes with it by itself. */
export function plan(world: World): Plan {
  const { actions, holds, isOver } = walk(world);
  // What this run changes was not looked at by the steps after it.
  const change = isOver ? undefined : whyPodsChange(world, actions);
  if (change !== undefined) holds.push(change);
  const { sizesWanted, told } = adviseSize(world);
  const status = { ...describeStatus(world, holds), ...(told === undefined ? {} : { recommendation: told }) };
  return {
    actions,
    holds,
    status,
    sizesWanted,
    againMs: holds.every(({ reason }) => reason === "Overruled") ? CALM_MS : BUSY_MS,
  };
}

/** Takes the steps, up to the first that ends the run. */
function walk(world: World): { readonly actions: readonly Action[]; readonly holds: Hold[]; readonly isOver: boolean } {
  const actions: Action[] = [];
  const holds: Hold[] = [];
  for (const step of STEPS) {
    const { actions: found = [], hold, isAside = false } = step(world);
    actions.push(...found.filter((action) => !isDone(world, action)));
    if (hold !== undefined) holds.push(hold);
    if (hold !== undefined && !isAside) return { actions, holds, isOver: true };
  }
  return { actions, holds, isOver: false };
}

function whyPodsChange(world: World, actions: readonly Action[]): Hold | undefined {
  const change = actions.find((action) => action.kind === "apply" && action.object.kind === "StatefulSet");
  if (change?.kind !== "apply") return undefined;
  const { kind, metadata } = change.object;
  const found = world.objects.get(`${kind}/${metadata.name}`);
  // It was applied from just this before: an admission webhook, say, makes something else of it each time.
  if (found === undefined || !isMadeFrom(change.object, found))
    return { reason: "Rolling", message: "the pods' template is being changed" };
  return { reason: "Overruled", message: `somebody else changes what is applied as ${kind} ${metadata.name}` };
}

function whenPaused(world: World): { hold?: Hold } {
  if (world.cluster.metadata.annotations[PAUSED_ANNOTATION] !== "true") return {};
  return { hold: { reason: "Paused", message: `the annotation ${PAUSED_ANNOTATION} says so` } };
}

/** Nothing is left to do, and yet not all is as wanted: it is looked at again soon, and said. */
function awaitMembers(world: World): { hold?: Hold } {
  const { pods, statefulSet } = world;
  // Also in the very run that lowers the number: nothing has stopped yet.
  const excess = statefulSet === undefined ? 0 : pods.length - Math.min(statefulSet.replicas, podsWanted(world));
  if (excess > 0) return { hold: { reason: "PodsStopping", message: `${excess} pods are stopping` } };
  const halfway = halfwayPod(world);
  if (halfway !== undefined)
    return {
      hold: { reason: "Rolling", message: `${halfway.name} is to be restarted once more, for TLS between peers` },
    };
  if (!isFounded(world))
    return { hold: { reason: "Founding", message: "the first members have not made their ring yet" } };
  const ring = ringOf(world);
  const trouble = ring === undefined ? "no node tells the ring" : unsettled(world, ring);
  if (trouble !== undefined) return { hold: { reason: "WaitingForMembers", message: trouble } };
  const other = whyOtherAccess(world);
  return other === undefined ? {} : { hold: other };
}

function isDone(world: World, action: Action): boolean {
  if (action.kind !== "apply") return false;
  return isApplied(action.object, world.objects.get(`${action.object.kind}/${action.object.metadata.name}`));
}
