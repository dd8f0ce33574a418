/**
 * How many members the load calls for: what a HorizontalPodAutoscaler makes of the CPU that pods use, so that a size that is
 * recommended is the one that it would head for. How quickly it would, `policies` of its behaviour, says nothing of a size.
 *
 * Source: Kubernetes documentation, "Horizontal Pod Autoscaling", algorithm details and stabilization window. A size is the number
 * of pods times the use over the target, rounded up, unless that is within a tenth of 1. Pods of which nothing is known count so
 * that they never make the change larger; pods that have not been ready yet use nothing.
 */
import type { Autoscaling } from "../api/kvcluster.ts";
import { numberAt, textAt } from "./objects.ts";
import { behaviorOf } from "./resources/policies.ts";
import type { CpuUse, PodFacts, SizeWanted } from "./world.ts";

/** What the load calls for, and the CPU in use in percent of what is requested; or why that is not known. */
export type Load =
  | { readonly kind: "known"; readonly replicas: number; readonly percent: number }
  | { readonly kind: "unknown"; readonly why: string };

/** A use so near to the target is on it. */
const TOLERANCE = 0.1;
/** What a pod of which nothing is known is taken to use, of its request, where others use little. */
const UNKNOWN_PERCENT = 100;
/** Windows that a behaviour leaves out, in seconds, as Kubernetes has them, and the longest. */
const UP_SECONDS = 0;
const DOWN_SECONDS = 300;
const WINDOW_MS_MAX = 3_600_000;
/** How long what the load called for is remembered: a look before the longest window tells what it began with. */
export const REMEMBERED_MS = WINDOW_MS_MAX + 120_000;

/**
 * @param pods Of the members.
 * @param replicas How many there are now: what is near enough stays so.
 */
export function loadOf(
  { pods, cpuUse }: { readonly pods: readonly PodFacts[]; readonly cpuUse: CpuUse },
  { replicas, targetPercent }: { readonly replicas: number; readonly targetPercent: number },
): Load {
  if (cpuUse.kind === "unknown") return cpuUse;
  const standing = pods.filter(({ isDeleting }) => !isDeleting);
  const unasked = standing.find(({ requestedCores }) => requestedCores === undefined || requestedCores === 0);
  if (unasked !== undefined) return unknown(`a container of ${unasked.name} requests no CPU`);
  const started = standing.filter(({ isStarting }) => !isStarting);
  const told = started.filter(({ name }) => cpuUse.cores.has(name));
  if (told.length === 0) return unknown("the metrics API tells of no member that has started");
  const usedCores = told.reduce((sum, { name }) => sum + (cpuUse.cores.get(name) ?? 0), 0);
  const percent = percentOf(usedCores, told);
  const isLow = percent < targetPercent;
  // Who is left out where many are called for would have to use as much as the others for that to be right.
  const silent = started.filter(({ name }) => !cpuUse.cores.has(name));
  const counted = isLow ? started : standing;
  const assumedCores = isLow ? (requested(silent) * Math.max(UNKNOWN_PERCENT, targetPercent)) / 100 : 0;
  const ratio = percentOf(usedCores + assumedCores, counted) / targetPercent;
  const isTurned = isLow ? ratio > 1 : ratio < 1;
  const size = Math.max(0, Math.ceil(ratio * counted.length - ROUNDING));
  const isFar = Math.abs(ratio - 1) > TOLERANCE + ROUNDING && !isTurned && (isLow ? size < replicas : size > replicas);
  return { kind: "known", replicas: isFar ? size : replicas, percent };
}

/** Of doubles: four members at half the target are two, not three. */
const ROUNDING = 1e-9;

/** In whole percent, as a HorizontalPodAutoscaler has it. */
function percentOf(cores: number, pods: readonly PodFacts[]): number {
  return Math.floor((cores / requested(pods)) * 100 + ROUNDING);
}

function requested(pods: readonly PodFacts[]): number {
  return pods.reduce((sum, { requestedCores = 0 }) => sum + requestedCores, 0);
}

function unknown(why: string): Load {
  return { kind: "unknown", why };
}

/**
 * The size that the windows allow: fewer than before only where none of the last called for more, more only where none called
 * for fewer.
 *
 * @param before The size that was right until now.
 * @param wanted What the load called for, the last one now; what is not known of a window counts as `before`.
 */
export function stabilized(
  autoscaling: Autoscaling,
  {
    before,
    wanted,
    nowMs,
  }: { readonly before: number; readonly wanted: readonly SizeWanted[]; readonly nowMs: number },
): number {
  const behavior = behaviorOf(autoscaling);
  const within = (direction: string, seconds: number) => {
    if (textAt(behavior, direction, "selectPolicy") === "Disabled") return [before, wanted.at(-1)?.replicas ?? before];
    const asked = numberAt(behavior, direction, "stabilizationWindowSeconds") ?? seconds;
    const windowMs = Math.min(asked * 1_000, WINDOW_MS_MAX);
    const isKnown = windowMs === 0 || wanted.some(({ atMs }) => atMs <= nowMs - windowMs);
    const recent = wanted.filter(({ atMs }, index) => atMs > nowMs - windowMs || index === wanted.length - 1);
    return [...recent.map(({ replicas }) => replicas), ...(isKnown ? [] : [before])];
  };
  const most = Math.max(...within("scaleDown", DOWN_SECONDS));
  const least = Math.min(...within("scaleUp", UP_SECONDS));
  return Math.min(Math.max(before, least), most);
}
