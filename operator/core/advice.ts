/**
 * The size that is recommended where a person scales: what an autoscaler would ask for, what that would move, and whether it would
 * be held.
 *
 * While a change runs, and until the cool-down after it is over, what was recommended before stays: moving data takes CPU
 * that no client asked for. What is told changes with the size and with what would hold it, not with every figure, so that the
 * status is not written each time.
 */
import type { Autoscaling, Status } from "../api/kvcluster.ts";
import { whyCooling } from "./cool-down.ts";
import { loadOf, REMEMBERED_MS, stabilized } from "./cpu-use.ts";
import { weightOf } from "./founding.ts";
import { formatInstant } from "./instant.ts";
import { ordinalOf, podName } from "./names.ts";
import { isChanging, type RingView, ringOf } from "./ring-view.ts";
import { whyHoldScaleIn } from "./steps/change.ts";
import { movedBytes, type Placed } from "./steps/room.ts";
import type { World } from "./world.ts";

export type Advice = {
  /** What the load called for, to be remembered until the next look. */
  readonly sizesWanted: World["sizesWanted"];
  /** For the status. */
  readonly told?: Recommendation;
};

type Recommendation = NonNullable<Status["recommendation"]>;

/** For how long a use that is not told any more does not take the recommendation away. */
const SILENCE_MS = 300_000;

/** Decides; nothing where no size is to be recommended. */
export function adviseSize(world: World): Advice {
  const { cluster, pods, cpuUse, nowMs } = world;
  const { autoscaling } = cluster.spec;
  if (autoscaling?.mode !== "recommend" || cpuUse === undefined) return { sizesWanted: [] };
  const before = withinBounds(autoscaling, cluster.status.recommendation);
  const waiting = (reason: string) => (before?.replicas === undefined ? kept(before, { reason }, nowMs) : before);
  const ring = ringOf(world);
  const sizesWanted = world.sizesWanted.filter(({ atMs }) => Math.abs(nowMs - atMs) <= REMEMBERED_MS);
  if (ring === undefined) return { sizesWanted, told: waiting("the ring is not known") };
  const why = whyNotNow(world, ring);
  // What was called for before is no measure of what comes after.
  if (why !== undefined) return { sizesWanted: [], told: waiting(why) };
  const members = new Set(ring.present.map(({ name }) => name));
  const load = loadOf(
    { pods: pods.filter(({ name }) => members.has(name)), cpuUse },
    { replicas: members.size, targetPercent: autoscaling.targetCPUUtilizationPercentage },
  );
  if (load.kind === "unknown") {
    const isRecent = nowMs - (sizesWanted.at(-1)?.atMs ?? Number.NEGATIVE_INFINITY) < SILENCE_MS;
    return { sizesWanted, told: isRecent ? waiting(load.why) : kept(before, { reason: load.why }, nowMs) };
  }
  const wanted = [...sizesWanted, { atMs: nowMs, replicas: load.replicas }];
  const settled = before?.replicas ?? members.size;
  const size = bounded(autoscaling, stabilized(autoscaling, { before: settled, wanted, nowMs }));
  const reason = `CPU is at ${load.percent} % of what is requested, the target is ${autoscaling.targetCPUUtilizationPercentage} %`;
  return {
    sizesWanted: wanted,
    told: kept(before, { replicas: size, reason, ...consequences(world, ring, size) }, nowMs),
  };
}

/** Why what members use says nothing of the size that is right, or undefined. */
function whyNotNow(world: World, ring: RingView): string | undefined {
  if (isChanging(ring)) return "a change of the ring runs";
  const rebuilt = ring.witnesses.find(({ ownState }) => ownState === "rebuilding");
  return rebuilt === undefined ? whyCooling(world, ring) : `${rebuilt.name} is being rebuilt`;
}

/** What was told, where the bounds have changed since. */
function withinBounds(autoscaling: Autoscaling, before: Status["recommendation"]): Status["recommendation"] {
  if (before?.replicas === undefined) return before;
  return { ...before, replicas: bounded(autoscaling, before.replicas) };
}

function bounded({ minReplicas, maxReplicas }: Autoscaling, size: number): number {
  return Math.min(maxReplicas, Math.max(minReplicas, size));
}

type Told = Omit<Recommendation, "since">;

/** What was told before, where it is the same but for figures. */
function kept(before: Recommendation | undefined, told: Told, nowMs: number): Recommendation {
  const isSameSize = before !== undefined && before.replicas === told.replicas;
  if (isSameSize && isAlike(before, told)) return before;
  return { ...told, since: isSameSize ? before.since : formatInstant(nowMs) };
}

/** Why nothing is known is all that there is to tell then. */
function isAlike(before: Told, told: Told): boolean {
  if (told.replicas === undefined) return before.reason === told.reason;
  const isMoved = ({ movedBytes: bytes }: Told) => bytes !== undefined;
  return isMoved(before) === isMoved(told) && withoutFigures(before.held) === withoutFigures(told.held);
}

function withoutFigures(held: string | undefined): string | undefined {
  return held?.replace(/\d/g, "");
}

function consequences(world: World, ring: RingView, size: number): Pick<Told, "held" | "movedBytes"> {
  const { present } = ring;
  if (size === present.length) return {};
  const leaves = leaversOf(world, ring, size);
  const held = leaves.length > 0 ? whyHoldScaleIn(world, ring, leaves) : undefined;
  const stay = present.filter(({ name }) => !leaves.includes(name));
  const bytes = movedBytes(world, ring, [...stay, ...comersOf(world, ring, size)]);
  return { ...(held === undefined ? {} : { held }), ...(bytes === undefined ? {} : { movedBytes: bytes }) };
}

function leaversOf({ cluster }: World, { present }: RingView, size: number): string[] {
  const names = present.map(({ name }) => name);
  return names.filter((name) => (ordinalOf(cluster.metadata.name, name) ?? 0) >= size);
}

/** Members that would come, each in the zone with the fewest by then, as the scheduler is asked to spread them. */
function comersOf({ cluster }: World, { present }: RingView, size: number): Placed[] {
  const counts = new Map<string, number>();
  for (const { zone } of present) counts.set(zone, (counts.get(zone) ?? 0) + 1);
  const names = Array.from({ length: size }, (_, ordinal) => podName(cluster.metadata.name, ordinal));
  const comers = names.filter((name) => !present.some((member) => member.name === name));
  return comers.map((name) => {
    const [zone = "", count = 0] = [...counts].sort(([, a], [, b]) => a - b)[0] ?? [];
    counts.set(zone, count + 1);
    return { name, zone, weight: weightOf(cluster, name, zone) };
  });
}
