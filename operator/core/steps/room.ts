/**
 * Whether a change of the ring leaves room for all data: on each disk, by the share that the ring would give it, and in
 * as many zones as before.
 *
 * A disk that is too small for its share never holds all that it gets, and the change would run for good. The sum of all
 * disks says little: the one member that is left of a zone may become home to everything.
 */
import { idealShares, zoneBounds } from "../../../node/core/ring/shares.ts";
import { DISK_USED_PERCENT_MAX } from "../../api/kvcluster.ts";
import { answerOf, type RingView } from "../ring-view.ts";
import type { RingMember, World } from "../world.ts";

/** A member as the ring is to have it. */
export type Placed = Pick<RingMember, "name" | "zone" | "weight">;

/** How full the spec lets a disk become. */
export function diskPercentMax({ cluster }: Pick<World, "cluster">): number {
  return cluster.spec.autoscaling?.diskUsedPercentMax ?? DISK_USED_PERCENT_MAX;
}

/** How full the fullest disk is that is known, in percent. */
export function fullestPercent(world: World, { present }: RingView): number {
  return Math.max(0, ...present.map(({ name }) => percentOf(world, name, 0) ?? 0));
}

/**
 * Which disk would be too full, or undefined. One that gets nothing by the change is not counted; one that gets
 * something, and is not known, is a reason to wait.
 *
 * @param after All members to be.
 * @param percentMax How full those that get something may become.
 */
export function whyTooFull(
  world: World,
  ring: RingView,
  { after, percentMax }: { readonly after: readonly Placed[]; readonly percentMax: number },
): string | undefined {
  const { n } = ring.document;
  const sharesNow = sharesOf(ring.present, n);
  const shares = sharesOf(after, n);
  const bytes = bytesOfShare(world, sharesNow);
  let worst: { readonly name: string; readonly percent: number } | undefined;
  for (const [name, share] of shares) {
    const shareNow = sharesNow.get(name) ?? 0;
    if (share - shareNow <= ROUNDING) continue;
    // Whoever is home to nothing now holds, at most, what it once was home to.
    const percent = bytes === undefined ? undefined : percentOf(world, name, (share - shareNow) * bytes, shareNow > 0);
    if (percent === undefined) return `how full the disk of ${name} is cannot be told`;
    if (percent > (worst?.percent ?? percentMax)) worst = { name, percent };
  }
  return worst && `the disk of ${worst.name} would be ${worst.percent} % full, more than ${percentMax} %`;
}

/** About how many bytes members get that they do not have now, or undefined where no disk tells what it holds. */
export function movedBytes(world: World, ring: RingView, after: readonly Placed[]): number | undefined {
  const { n } = ring.document;
  const sharesNow = sharesOf(ring.present, n);
  const bytes = bytesOfShare(world, sharesNow);
  if (bytes === undefined) return undefined;
  let gained = 0;
  for (const [name, share] of sharesOf(after, n)) gained += Math.max(0, share - (sharesNow.get(name) ?? 0));
  return Math.round(gained * bytes);
}

/** Shares nearer to each other than this are equal: rounding of doubles. */
const ROUNDING = 1e-6;

/** What part of the data each member holds by its weight, of N in all; none where fewer than N may hold any. */
function sharesOf(members: readonly Placed[], n: number): ReadonlyMap<string, number> {
  const able = members.filter(({ weight }) => weight > 0);
  if (able.length < n) return new Map();
  const byZone = new Map<string, number[]>();
  for (const [index, { zone }] of able.entries()) byZone.set(zone, [...(byZone.get(zone) ?? []), index]);
  const weights = able.map(({ weight }) => weight);
  const shares = idealShares({ weights, zones: zoneBounds(byZone, n), partitions: 1, replicationFactor: n });
  return new Map(able.map(({ name }, index) => [name, shares[index] ?? 0]));
}

/** Bytes of all data once, by those disks that are known; undefined where none is. */
function bytesOfShare(world: World, shares: ReadonlyMap<string, number>): number | undefined {
  let usedBytes = 0;
  let known = 0;
  for (const [name, share] of shares) {
    const disk = answerOf(world, name)?.disk;
    if (disk === undefined) continue;
    usedBytes += disk.usedBytes;
    known += share;
  }
  return known === 0 ? undefined : usedBytes / known;
}

/** How full a disk is with so many bytes more, in percent; undefined where it is not known. */
function percentOf(world: World, name: string, moreBytes: number, isHome = true): number | undefined {
  const disk = answerOf(world, name)?.disk;
  if (disk === undefined) return undefined;
  const sizeBytes = disk.usedBytes + disk.freeBytes;
  const usedBytes = isHome ? disk.usedBytes + moreBytes : Math.max(disk.usedBytes, moreBytes);
  return sizeBytes === 0 ? 100 : Math.ceil((usedBytes / sizeBytes) * 100 - ROUNDING);
}

/**
 * Why the members that stay are in too few zones, or undefined. Where the spec does not say how many there are to be, no
 * partition loses one of those that it has now.
 */
export function whyTooFewZones(
  { cluster }: Pick<World, "cluster">,
  { present }: RingView,
  leaves: readonly string[],
): string | undefined {
  const { zones, quorum } = cluster.spec;
  // A member without data counts for who asks for so many zones, and holds no partition's home.
  const counted = present.filter(({ weight }) => zones.minimum !== undefined || weight > 0);
  const now = new Set(counted.map(({ zone }) => zone)).size;
  const left = new Set(counted.filter(({ name }) => !leaves.includes(name)).map(({ zone }) => zone)).size;
  const least = Math.min(zones.minimum ?? quorum.n, now);
  if (left >= least) return undefined;
  const way = zones.minimum === undefined ? ": say zones.minimum where fewer are enough" : "";
  return `the rest would be in ${left} zones, not ${least}${way}`;
}
