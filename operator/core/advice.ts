/**
 * The size that is recommended where a person scales: what an autoscaler would ask for, what that would move, and whether it would
 * be held.
 *
 * While a change runs, and until the cool-down after it is over, what was recommended before stays: moving data takes CPU
 * that no client asked for. What is told changes with the size, not with every figure, so that the status is not written each time.
 */
import type { Autoscaling, Status } from "../api/kvcluster.ts";
import { whyCooling } from "./cool-down.ts";
import { loadOf, stabilized } from "./cpu-use.ts";
import { weightOf } from "./founding.ts";
import { formatInstant } from "./instant.ts";
import { ordinalOf, podName } from "./names.ts";
import { isChanging, type RingView, ringOf } from "./ring-view.ts";
import { whyHoldScaleIn } from "./steps/change.ts";
import { movedBytes, type Placed } from "./steps/room.ts";
import type { World } from "./world.ts";

export type Advice = {
  /** What the load calls for now, to be remembered; undefined where that was not looked at, or is not known. */
  readonly wanted?: number;
  /** For the status. */
  readonly told?: Status["recommendation"];
};

/** Decides; nothing where no size is to be recommended. */
export function adviseSize(world: World): Advice {
  const { cluster, pods, cpuUse, nowMs, sizesWanted } = world;
  const { autoscaling, replicas } = cluster.spec;
  if (autoscaling?.mode !== "recommend" || cpuUse === undefined) return {};
  const before = cluster.status.recommendation;
  const ring = ringOf(world);
  const waiting = (reason: string) => ({
    told: before?.replicas === undefined ? kept(before, { reason }, nowMs) : before,
  });
  if (ring === undefined) return waiting("the ring is not known");
  const why = whyNotNow(world, ring);
  if (why !== undefined) return waiting(why);
  const load = loadOf({ pods, cpuUse }, { replicas, targetPercent: autoscaling.targetCPUUtilizationPercentage });
  if (load.kind === "unknown") return { told: kept(before, { reason: load.why }, nowMs) };
  const wanted = [...sizesWanted, { atMs: nowMs, replicas: load.replicas }];
  const size = bounded(autoscaling, stabilized(autoscaling, { replicas, wanted, nowMs }));
  const reason = `CPU is at ${load.percent} % of what is requested, the target is ${autoscaling.targetCPUUtilizationPercentage} %`;
  return {
    wanted: load.replicas,
    told: kept(before, { replicas: size, reason, ...consequences(world, ring, size) }, nowMs),
  };
}

/** Why what members use says nothing of the size that is right, or undefined. */
function whyNotNow(world: World, ring: RingView): string | undefined {
  if (isChanging(ring)) return "a change of the ring runs";
  const { replicas } = world.cluster.spec;
  if (ring.present.length !== replicas) return `the ring has ${ring.present.length} members, not ${replicas}`;
  return whyCooling(world, ring);
}

function bounded({ minReplicas, maxReplicas }: Autoscaling, size: number): number {
  return Math.min(maxReplicas, Math.max(minReplicas, size));
}

type Told = Omit<NonNullable<Status["recommendation"]>, "since">;

/** What was told before, where it is the same but for figures. */
function kept(before: Status["recommendation"], told: Told, nowMs: number): NonNullable<Status["recommendation"]> {
  const isSame = before !== undefined && before.replicas === told.replicas && before.held === told.held;
  // Why nothing is known is all that there is to tell.
  if (isSame && (told.replicas !== undefined || before.reason === told.reason)) return before;
  const isSameSize = before !== undefined && before.replicas === told.replicas;
  return { ...told, since: isSameSize ? before.since : formatInstant(nowMs) };
}

function consequences(world: World, ring: RingView, size: number): Pick<Told, "held" | "movedBytes"> {
  const { replicas } = world.cluster.spec;
  if (size === replicas) return {};
  const leaves = leaversOf(world, ring, size);
  const held = size < replicas ? whyHoldScaleIn(world, ring, leaves) : undefined;
  const stay = ring.present.filter(({ name }) => !leaves.includes(name));
  const bytes = movedBytes(world, ring, [...stay, ...comersOf(world, ring, size)]);
  return { ...(held === undefined ? {} : { held }), ...(bytes === undefined ? {} : { movedBytes: bytes }) };
}

function leaversOf({ cluster }: World, { present }: RingView, size: number): string[] {
  const names = present.map(({ name }) => name);
  return names.filter((name) => (ordinalOf(cluster.metadata.name, name) ?? 0) >= size);
}

/** Members that would come, each in the zone with the fewest by then, as the scheduler is asked to spread them. */
function comersOf(world: World, { present }: RingView, size: number): Placed[] {
  const { cluster } = world;
  const counts = new Map<string, number>();
  for (const { zone } of present) counts.set(zone, (counts.get(zone) ?? 0) + 1);
  return Array.from({ length: Math.max(0, size - cluster.spec.replicas) }, (_, index) => {
    const name = podName(cluster.metadata.name, cluster.spec.replicas + index);
    const [zone = "", count = 0] = [...counts].sort(([, a], [, b]) => a - b)[0] ?? [];
    counts.set(zone, count + 1);
    return { name, zone, weight: weightOf(cluster, name, zone) };
  });
}
