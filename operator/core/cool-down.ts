/** The pause after a change of the ring: what members use then, and how full they are, says nothing of the size that is right. */
import { formatInstant, readInstant } from "./instant.ts";
import { isChanging, type RingView } from "./ring-view.ts";
import type { World } from "./world.ts";

/** When the last change of the ring was seen to have ended, which may be now; undefined where none was. */
export function lastChangeAt(world: World, ring: RingView | undefined): string | undefined {
  const before = world.cluster.status;
  const epoch = before.ringEpoch ?? 0;
  const hasEnded =
    ring !== undefined &&
    !isChanging(ring) &&
    epoch > 0 &&
    (before.transition !== undefined || ring.document.epoch > epoch);
  if (!hasEnded) return before.lastChangeAt;
  return formatInstant(world.ended?.epoch === ring.document.epoch ? world.ended.atMs : world.nowMs);
}

/** That the cool-down after the last change is not over, or undefined. */
export function whyCooling(world: World, ring: RingView): string | undefined {
  const { autoscaling } = world.cluster.spec;
  const endedMs = readInstant(lastChangeAt(world, ring));
  if (autoscaling === undefined || endedMs === undefined) return undefined;
  const cooldownMs = autoscaling.cooldownSeconds * 1000;
  const leftMs = endedMs + cooldownMs - world.nowMs;
  // What ended in the future did so by another clock.
  return leftMs <= 0 || leftMs > cooldownMs
    ? undefined
    : `the last change ended less than ${autoscaling.cooldownSeconds} s ago`;
}
