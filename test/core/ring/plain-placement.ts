/**
 * The planner's promises, computed again plainly and slowly, sharing no code with it: shares by bisection, evenness over
 * zones by its definition, least movement by looking for an exchange that would save a move.
 */
import assert from "node:assert/strict";
import type { Placement, PlacementMember } from "../../../node/core/ring/placement.ts";

/** A table with names: `table[p]` are the homes of partition p, in order. */
export type NamedTable = readonly (readonly string[])[];

export function namedTable({ members, homes }: Placement): NamedTable {
  return homes.map((row) => row.map((home) => members[home]?.name ?? "nobody"));
}

/** Finds x in low .. high with f(x) = target for a growing f, by halving. */
function bisect(f: (x: number) => number, target: number, high: number): number {
  let [low, top] = [0, high];
  for (let round = 0; round < 200; round++) {
    const middle = (low + top) / 2;
    if (f(middle) < target) low = middle;
    else top = middle;
  }
  return top;
}

const sum = (values: Iterable<number>) => [...values].reduce((total, value) => total + value, 0);

function zonesOf(members: readonly PlacementMember[]): Map<string, PlacementMember[]> {
  return Map.groupBy(
    members.filter((member) => member.weight > 0),
    (member) => member.zone,
  );
}

/** How many replicas of one partition each zone gets when they are dealt out one by one to the zone with the fewest. */
export function zoneCap(members: readonly PlacementMember[], replicationFactor: number): number {
  const zones = [...zonesOf(members).values()].map((zone) => ({ size: zone.length, dealt: 0 }));
  for (let replica = 0; replica < replicationFactor; replica++) {
    const open = zones.filter((zone) => zone.dealt < zone.size).sort((a, b) => a.dealt - b.dealt);
    assert(open[0] !== undefined, "N members can hold N replicas");
    open[0].dealt++;
  }
  return Math.max(...zones.map((zone) => zone.dealt));
}

/** Ideal replicas of every member, by name. */
export function plainShares(
  members: readonly PlacementMember[],
  { partitions, replicationFactor }: { partitions: number; replicationFactor: number },
): Map<string, number> {
  const cap = zoneCap(members, replicationFactor);
  const zones = [...zonesOf(members).values()];
  const lightest = Math.min(...zones.flat().map((member) => member.weight));
  const levelMax = partitions / lightest;
  const held = (zone: readonly PlacementMember[], level: number) =>
    sum(zone.map((member) => Math.min(partitions, level * member.weight)));
  const least = (zone: readonly PlacementMember[]) => partitions * Math.min(cap - 1, zone.length);
  const most = (zone: readonly PlacementMember[]) => partitions * Math.min(cap, zone.length);
  const bounded = (zone: readonly PlacementMember[], level: number) =>
    Math.min(most(zone), Math.max(least(zone), held(zone, level)));
  const level = bisect(
    (x) => sum(zones.map((zone) => bounded(zone, x))),
    partitions * replicationFactor * (1 - 1e-13),
    levelMax,
  );
  const shares = new Map(members.map((member) => [member.name, 0]));
  for (const zone of zones) {
    const zoneLevel = bisect((x) => held(zone, x), bounded(zone, level) * (1 - 1e-13), levelMax);
    for (const { name, weight } of zone) shares.set(name, Math.min(partitions, zoneLevel * weight));
  }
  return shares;
}

export function countByName(names: Iterable<string>): Map<string, number> {
  const counts = new Map<string, number>();
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
  return counts;
}

/** The fewest and the most replicas of a share: rounded, or less than `tolerance` of it (or one replica) off. */
function boundsOf(share: number, tolerance: number): [number, number] {
  if (tolerance === 0) return [Math.floor(share + 1e-6), Math.ceil(share - 1e-6)];
  const slack = Math.max(1, tolerance * share) - 1e-6;
  return [Math.max(0, Math.ceil(share - slack)), Math.floor(share + slack)];
}

/** Whether every member's replicas are within the bounds of its ideal share. */
export function hasShares(
  table: NamedTable,
  members: readonly PlacementMember[],
  { replicationFactor, tolerance }: { replicationFactor: number; tolerance: number },
): boolean {
  const counts = countByName(table.flat());
  return [...plainShares(members, { partitions: table.length, replicationFactor })].every(([name, share]) => {
    const [least, most] = boundsOf(share, tolerance);
    const count = counts.get(name) ?? 0;
    return count >= least && count <= most;
  });
}

/** Asserts all that a table promises by itself; `tolerance` is how far shares may be off, 0 for rounding alone. */
export function checkTable(
  table: NamedTable,
  members: readonly PlacementMember[],
  ring: { partitions: number; replicationFactor: number; tolerance?: number },
): void {
  const { partitions, replicationFactor, tolerance = 0 } = ring;
  const zones = zonesOf(members);
  const zoneOf = new Map(members.map((member) => [member.name, member.zone]));
  const weightOf = new Map(members.map((member) => [member.name, member.weight]));
  assert.equal(table.length, partitions);
  for (const row of table) {
    assert.equal(row.length, replicationFactor);
    assert.equal(new Set(row).size, replicationFactor, `members are distinct in ${row}`);
    for (const name of row) assert((weightOf.get(name) ?? 0) > 0, `${name} has weight`);
    const counts = countByName(row.map((name) => zoneOf.get(name) ?? ""));
    if (zones.size >= replicationFactor) assert.equal(counts.size, replicationFactor, `zones are distinct in ${row}`);
    for (const [zone, zoneMembers] of zones) {
      const count = counts.get(zone) ?? 0;
      const fullest = Math.max(...counts.values());
      assert(fullest < count + 2 || count === zoneMembers.length, `zones are taken evenly in ${row}`);
    }
  }
  assert(hasShares(table, members, { replicationFactor, tolerance }), "every member holds its share");
}

/** Replicas that somebody has in `to` and not in `from`. */
export function countMoves(from: NamedTable, to: NamedTable): number {
  return sum(to.map((row, partition) => row.filter((name) => !from[partition]?.includes(name)).length));
}

/** The sum of what members must gain to reach their ideal shares. */
export function gainsNeeded(from: NamedTable, shares: ReadonlyMap<string, number>): number {
  const counts = countByName(from.flat());
  return sum([...shares].map(([name, share]) => Math.max(0, share - (counts.get(name) ?? 0))));
}

type Exchange = { readonly from: number; readonly to: number; readonly moves: number };

/**
 * Whether some chain of exchanges would give a table with fewer moves, all promises kept: a cycle of negative cost in the
 * residual network (Klein 1967: there is none if and only if the movement is least), found as Bellman and Ford do.
 */
export function canMoveLess(request: {
  readonly from: NamedTable;
  readonly to: NamedTable;
  readonly members: readonly PlacementMember[];
  readonly replicationFactor: number;
  readonly tolerance: number;
}): boolean {
  const { from, to, replicationFactor, tolerance } = request;
  const members = request.members.filter((member) => member.weight > 0);
  const partitions = to.length;
  const zones = [...zonesOf(members)];
  const cap = zoneCap(members, replicationFactor);
  const shares = plainShares(members, { partitions, replicationFactor });
  const counts = countByName(to.flat());
  // Nodes: 0 the pool of free shares, then members, then partitions, then each partition's zones.
  const memberNode = new Map(members.map((member, index) => [member.name, 1 + index]));
  const exchanges: Exchange[] = [];
  for (const { name } of members) {
    const [node, count] = [memberNode.get(name) ?? 0, counts.get(name) ?? 0];
    const [least, most] = boundsOf(shares.get(name) ?? 0, tolerance);
    if (count < Math.min(most, partitions)) exchanges.push({ from: node, to: 0, moves: 0 });
    if (count > least) exchanges.push({ from: 0, to: node, moves: 0 });
  }
  const partitionNode = 1 + members.length;
  for (const [partition, row] of to.entries()) {
    for (const [zone, [, zoneMembers]] of zones.entries()) {
      const node = partitionNode + partitions + partition * zones.length + zone;
      const taken = zoneMembers.filter((member) => row.includes(member.name)).length;
      if (taken < Math.min(cap, zoneMembers.length))
        exchanges.push({ from: partitionNode + partition, to: node, moves: 0 });
      if (taken > Math.min(cap - 1, zoneMembers.length))
        exchanges.push({ from: node, to: partitionNode + partition, moves: 0 });
      for (const { name } of zoneMembers) {
        const moves = from[partition]?.includes(name) ? 0 : 1;
        const member = memberNode.get(name) ?? 0;
        if (row.includes(name)) exchanges.push({ from: member, to: node, moves: -moves });
        else exchanges.push({ from: node, to: member, moves });
      }
    }
  }
  const nodeCount = partitionNode + partitions * (1 + zones.length);
  const distances = new Int32Array(nodeCount);
  for (let round = 0; round <= nodeCount; round++) {
    let isSettled = true;
    for (const exchange of exchanges) {
      const distance = (distances[exchange.from] ?? 0) + exchange.moves;
      if (distance >= (distances[exchange.to] ?? 0)) continue;
      distances[exchange.to] = distance;
      isSettled = false;
    }
    if (isSettled) return false;
  }
  return true;
}
