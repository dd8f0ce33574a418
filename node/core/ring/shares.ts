/**
 * How many replicas each member should hold: what its weight asks for, within what zones and distinct homes allow.
 *
 * A member can hold at most one replica of a partition, a zone no fewer and no more than its bounds. Within that, the
 * shares are max-min fair: one water level rises for all (share = level × weight), a member or zone that reaches its
 * bound stops, and the rest share what is left (water-filling; Fujishige, *Submodular Functions and Optimization*,
 * §8, lexicographically optimal bases). Shares are fractions; the planner rounds them up or down by less than one.
 */
import assert from "node:assert/strict";

/** Members of one zone, as indexes, with the replicas of each partition that the zone must and may hold. */
export type ZoneBounds = {
  readonly zone: string;
  readonly members: readonly number[];
  readonly replicasMin: number;
  readonly replicasMax: number;
};

/**
 * Spreads the N replicas of a partition over zones as evenly as the zones' sizes allow: with enough zones at most one
 * each; with fewer, counts that differ by at most one, unless a zone has too few members to keep up.
 *
 * @param zones Members of each zone that may hold replicas, as indexes, in the order in which zones are returned.
 * @param replicationFactor N, at most the members of all zones together.
 */
export function zoneBounds(zones: ReadonlyMap<string, readonly number[]>, replicationFactor: number): ZoneBounds[] {
  const sizes = [...zones.values()].map((members) => members.length);
  const room = (cap: number) => sizes.reduce((sum, size) => sum + Math.min(size, cap), 0);
  let cap = 1;
  while (room(cap) < replicationFactor) {
    cap++;
    assert(cap <= replicationFactor, "there are at least N members");
  }
  return [...zones].map(([zone, members]) => ({
    zone,
    members,
    replicasMin: Math.min(cap - 1, members.length),
    replicasMax: Math.min(cap, members.length),
  }));
}

/** Sum of what members hold when the water stands at `level`. */
function filled(weights: readonly number[], caps: readonly number[], level: number): number {
  return weights.reduce((sum, weight, index) => sum + Math.min(caps[index] ?? 0, level * weight), 0);
}

/**
 * The level at which members whose share is min(cap, level × weight) hold `total` together.
 *
 * @param weights Above 0.
 * @param caps The most that each may hold.
 * @param total 0 .. the sum of caps; from there on the level is infinite.
 */
export function fillLevel(weights: readonly number[], caps: readonly number[], total: number): number {
  const levels = weights.map((weight, index) => (caps[index] ?? 0) / weight);
  const order = [...weights.keys()].sort((a, b) => (levels[a] ?? 0) - (levels[b] ?? 0));
  const weightsAfter = new Float64Array(order.length + 1);
  for (let rank = order.length - 1; rank >= 0; rank--) {
    weightsAfter[rank] = (weightsAfter[rank + 1] ?? 0) + (weights[order[rank] ?? 0] ?? 0);
  }
  let held = 0;
  for (const [rank, index] of order.entries()) {
    const level = (total - held) / (weightsAfter[rank] ?? 1);
    if (level <= (levels[index] ?? 0)) return level;
    held += caps[index] ?? 0;
  }
  return Number.POSITIVE_INFINITY;
}

/**
 * The ideal share of every member, in replicas.
 *
 * @param request `weights` of the members, above 0; `zones` as `zoneBounds` gave them for the same members.
 * @returns One share for each weight, 0 .. partitions, together partitions × N.
 */
export function idealShares(request: {
  readonly weights: readonly number[];
  readonly zones: readonly ZoneBounds[];
  readonly partitions: number;
  readonly replicationFactor: number;
}): number[] {
  const { weights, partitions } = request;
  const total = partitions * request.replicationFactor;
  const zones = request.zones.map(({ members, replicasMin, replicasMax }) => {
    const zoneWeights = members.map((member) => weights[member] ?? 0);
    const caps = members.map(() => partitions);
    const held = (level: number) =>
      Math.min(replicasMax * partitions, Math.max(replicasMin * partitions, filled(zoneWeights, caps, level)));
    const fill = (amount: number) => fillLevel(zoneWeights, caps, amount);
    return { members, held, fill, turns: [fill(replicasMin * partitions), fill(replicasMax * partitions)] };
  });
  const heldByAll = (level: number) => zones.reduce((sum, zone) => sum + zone.held(level), 0);

  // Between two turns the sum is a straight line, so the level is found by interpolation.
  const memberTurns = weights.map((weight) => partitions / weight);
  const turns = [0, ...memberTurns, ...zones.flatMap((zone) => zone.turns)].filter(Number.isFinite);
  turns.sort((a, b) => a - b);
  let below = 0;
  let above = turns.at(-1) ?? 0;
  for (const turn of turns) {
    if (heldByAll(turn) <= total) below = turn;
    else {
      above = turn;
      break;
    }
  }
  const [heldBelow, heldAbove] = [heldByAll(below), heldByAll(above)];
  const level =
    heldAbove > heldBelow ? below + ((total - heldBelow) / (heldAbove - heldBelow)) * (above - below) : below;

  const shares = weights.map(() => 0);
  for (const zone of zones) {
    const zoneLevel = zone.fill(zone.held(level));
    for (const member of zone.members) shares[member] = Math.min(partitions, zoneLevel * (weights[member] ?? 0));
  }
  return shares;
}

/** Shares nearer to a whole number than this are that number: rounding of doubles, not a claim to another replica. */
const ROUNDING = 1e-8;

/** The whole numbers between which a share may be rounded. */
export function roundings(share: number): { readonly least: number; readonly most: number } {
  return { least: Math.floor(share + ROUNDING), most: Math.ceil(share - ROUNDING) };
}

/** The whole numbers less than `tolerance` of a share away from it, or less than one replica where that is more. */
export function tolerated(
  share: number,
  { tolerance, max }: { tolerance: number; max: number },
): { readonly least: number; readonly most: number } {
  const slack = Math.max(1, tolerance * share);
  return {
    least: Math.max(0, Math.ceil(share - slack + ROUNDING)),
    most: Math.min(max, Math.floor(share + slack - ROUNDING)),
  };
}
