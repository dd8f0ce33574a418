/**
 * The planner: from members with zones and weights, and the table so far, the next table.
 *
 * 1. Ideal shares (`shares.ts`): what each weight asks for, within what zones and distinct homes allow.
 * 2. Replicas (`assignment.ts`): each share rounded up or down, and among all such tables one that moves the fewest
 *    replicas; where distinct homes make that much, shares may be a little off (`chooseReplicas`). Without a table so far, the clockwise walk (`walk.ts`) draws one, and this step corrects it.
 * 3. First places (`assignment.ts`): the first home coordinates blind writes, so these follow the weights as well.
 *
 * A pure function of its input and blind to the order of members: every node computes the same table. It decides where
 * replicas should be, not when or how they get there.
 */
import assert from "node:assert/strict";
import { KvError } from "../errors.ts";
import { type AssignmentRequest, assignFirstPlaces, assignReplicas, idealFirstPlaces } from "./assignment.ts";
import { type MemberId, PARTITIONS_MAX } from "./document.ts";
import { mix32, nameHash } from "./hash.ts";
import { idealShares, roundings, type ZoneBounds, zoneBounds } from "./shares.ts";
import { walkTokens } from "./walk.ts";

/** What the planner needs of a member. Weight ≥ 0, relative to the others; 0 holds nothing. */
export type PlacementMember = { readonly name: MemberId; readonly zone: string; readonly weight: number };

/** A table as ring documents hold it: `homes[p]` are indexes into `members`. */
export type PlacementTable = {
  readonly members: readonly { readonly name: MemberId }[];
  readonly homes: readonly (readonly number[])[];
};

export type PlacementRequest = {
  /** The table to change. Members that are gone, or new, are told by name. */
  readonly previous?: PlacementTable | undefined;
  /** A power of two, 1 .. 65_536; that of `previous`, if there is one. */
  readonly partitions: number;
  readonly replicationFactor: number;
  /** In any order, distinct names. */
  readonly members: readonly PlacementMember[];
};

/** What a plan gives one member. */
export type MemberReport = {
  readonly name: MemberId;
  readonly zone: string;
  readonly weight: number;
  /** Replicas that weights and zones allow it, a fraction. */
  readonly idealReplicas: number;
  readonly replicas: number;
  readonly idealFirstPlaces: number;
  readonly firstPlaces: number;
};

export type PlacementReport = {
  /** Sorted by name. */
  readonly members: readonly MemberReport[];
  /** Replicas that a member gets and did not hold before: all of them for a first table. */
  readonly movedReplicas: number;
  /** Replicas that must move whatever the zones: what members lack of their shares. */
  readonly movedReplicasMin: number;
  /** What could not be had as asked, each with the reason; sentences for a person. */
  readonly notes: readonly string[];
};

export type Placement = {
  /** The members asked for, sorted by name. */
  readonly members: readonly PlacementMember[];
  /** `homes[p]` are the N home replicas of partition p, in order, as indexes into `members`. */
  readonly homes: readonly (readonly number[])[];
  readonly report: PlacementReport;
};

/** The order of members in ring documents: by the code units of their names. */
export function byName(a: { readonly name: string }, b: { readonly name: string }): number {
  return a.name < b.name ? -1 : a.name > b.name ? 1 : 0;
}

/**
 * Plans a table.
 *
 * Every partition gets N distinct members, in distinct zones where there are N zones, else spread over them as evenly
 * as they allow. Each member's replicas are its ideal share rounded up or down, and no table for which that holds
 * moves fewer replicas. Where such a table would move over 1.10 times what members must gain plus 2, and one with shares
 * within 5 % or one replica moves less, the plan is one that moves the fewest of those.
 *
 * @throws {KvError} INVALID_REQUEST: fewer than N members with weight, or figures that no ring can have.
 */
export function planPlacement(request: PlacementRequest): Placement {
  const { partitions, replicationFactor } = request;
  const members = [...request.members].sort(byName);
  checkRequest(request, members);
  const weights = members.map((member) => member.weight);
  const zones = zoneBounds(groupByZone(members), replicationFactor);
  const shares = idealShares({ weights, zones, partitions, replicationFactor });
  const salt = members.reduce(
    (mixed, { name, zone, weight }) => mix32(mixed, nameHash(`${name}/${zone}/${weight}`)),
    0,
  );

  const kept =
    request.previous === undefined ? undefined : keepPlaces(request.previous, { members, replicationFactor });
  const names = members.map((member) => member.name);
  const wanted = kept ?? walkTokens({ names, shares, zones, partitions, replicationFactor });
  const movedReplicasMin = leastMovement({
    shares,
    heldBefore: countMembers(kept ?? [], members.length),
    total: partitions * replicationFactor,
  });
  const { replicas, movedReplicas, tolerance } = chooseReplicas({
    ...{ partitions, replicationFactor, zones, shares, wanted, salt },
    isFirst: kept === undefined,
    movedReplicasMin,
  });
  const held = countMembers(replicas, members.length);
  const firstShares = idealFirstPlaces({ weights, held, partitions });
  const places = assignFirstPlaces({ partitions, replicationFactor, places: replicas, shares: firstShares });

  const homes: number[][] = [];
  for (let from = 0; from < places.length; from += replicationFactor) {
    homes.push([...places.subarray(from, from + replicationFactor)]);
  }
  const firsts = countMembers(
    homes.map((row) => row[0] ?? 0),
    members.length,
  );
  const report: PlacementReport = {
    members: members.map((member, index) => ({
      name: member.name,
      zone: member.zone,
      weight: member.weight,
      idealReplicas: shares[index] ?? 0,
      replicas: held[index] ?? 0,
      idealFirstPlaces: firstShares[index] ?? 0,
      firstPlaces: firsts[index] ?? 0,
    })),
    movedReplicas,
    movedReplicasMin,
    notes: notesOf({ request, members, zones, shares, movedReplicas, movedReplicasMin, tolerance }),
  };
  return { members, homes, report };
}

/** Movement below this ratio of the least, and so many replicas more, is no reason to leave exact shares (design §2). */
const MOVEMENT_RATIO_MAX = 1.1;
const MOVEMENT_EXTRA_MAX = 2;

/** How far a share may be from ideal where that saves movement (design §2). */
const SHARE_TOLERANCE = 0.05;

/**
 * What the planner asked for and could not have in a table that it made, without planning again.
 *
 * @param request As `planPlacement` was given it.
 * @param table What it gave back; members by name, in any order.
 */
export function explainPlacement(
  request: PlacementRequest & { readonly previous: PlacementTable },
  table: PlacementTable,
): { readonly notes: readonly string[]; readonly idealReplicas: ReadonlyMap<MemberId, number> } {
  const { partitions, replicationFactor, previous } = request;
  const members = [...request.members].sort(byName);
  const zones = zoneBounds(groupByZone(members), replicationFactor);
  const weights = members.map((member) => member.weight);
  const shares = idealShares({ weights, zones, partitions, replicationFactor });
  const before = keepPlaces(previous, { members, replicationFactor });
  const after = keepPlaces(table, { members, replicationFactor });
  const total = partitions * replicationFactor;
  const heldBefore = countMembers(before, members.length);
  const isOff = countMembers(after, members.length).some((held, member) => {
    const { least, most } = roundings(shares[member] ?? 0);
    return held < least || held > most;
  });
  const notes = notesOf({
    ...{ request, members, zones, shares },
    movedReplicas: total - countKept(before, after, replicationFactor),
    movedReplicasMin: leastMovement({ shares, heldBefore, total }),
    tolerance: isOff ? SHARE_TOLERANCE : 0,
  });
  return { notes, idealReplicas: new Map(members.map(({ name }, member) => [name, shares[member] ?? 0])) };
}

/**
 * Assigns replicas by exact shares; and where distinct homes and zones make that move much more than what members must
 * gain, also by shares within the tolerance, taking whichever moves less.
 */
function chooseReplicas({
  isFirst,
  movedReplicasMin,
  ...request
}: Omit<AssignmentRequest, "tolerance"> & { readonly isFirst: boolean; readonly movedReplicasMin: number }) {
  const total = request.partitions * request.replicationFactor;
  const assign = (tolerance: number) => {
    const replicas = assignReplicas({ ...request, tolerance });
    const movedReplicas = isFirst ? total : total - countKept(request.wanted, replicas, request.replicationFactor);
    return { replicas, movedReplicas, tolerance };
  };
  const exact = assign(0);
  if (isFirst || exact.movedReplicas < MOVEMENT_RATIO_MAX * movedReplicasMin + MOVEMENT_EXTRA_MAX) return exact;
  const tolerant = assign(SHARE_TOLERANCE);
  return tolerant.movedReplicas < exact.movedReplicas ? tolerant : exact;
}

function refuse(message: string): never {
  throw new KvError("INVALID_REQUEST", `Cannot plan a ring: ${message}`);
}

function checkRequest(request: PlacementRequest, members: readonly PlacementMember[]): void {
  const { partitions, replicationFactor, previous } = request;
  if (!Number.isInteger(Math.log2(partitions)) || partitions < 1 || partitions > PARTITIONS_MAX) {
    refuse(`partitions are a power of two, 1 .. ${PARTITIONS_MAX}, not ${partitions}.`);
  }
  if (!Number.isInteger(replicationFactor) || replicationFactor < 1) {
    refuse(`N is a whole number from 1 on, not ${replicationFactor}.`);
  }
  for (const [index, { name, weight }] of members.entries()) {
    if (name === members[index + 1]?.name) refuse(`the member ${name} is there twice.`);
    if (!Number.isFinite(weight) || weight < 0) refuse(`the weight of ${name} is a number from 0 on, not ${weight}.`);
  }
  const able = members.filter((member) => member.weight > 0).length;
  if (able < replicationFactor) {
    refuse(`N = ${replicationFactor} needs as many members with a weight above 0, found ${able}.`);
  }
  if (previous !== undefined && previous.homes.length !== partitions) {
    refuse(`partitions are fixed at creation: ${previous.homes.length} before, ${partitions} asked for.`);
  }
  if (previous?.homes.some((row) => row.length !== replicationFactor)) {
    refuse(`N is fixed at creation: ${previous.homes[0]?.length} before, ${replicationFactor} asked for.`);
  }
}

/** Members that may hold replicas, as indexes, by zone in name order. */
function groupByZone(members: readonly PlacementMember[]): Map<string, number[]> {
  const zones = new Map<string, number[]>();
  for (const zone of [...new Set(members.filter(({ weight }) => weight > 0).map((member) => member.zone))].sort()) {
    zones.set(
      zone,
      [...members.keys()].filter((index) => members[index]?.zone === zone && (members[index]?.weight ?? 0) > 0),
    );
  }
  return zones;
}

/** The previous table's places in terms of today's members: −1 where the member is gone or holds nothing any more. */
function keepPlaces(
  previous: PlacementTable,
  { members, replicationFactor }: { members: readonly PlacementMember[]; replicationFactor: number },
): Int32Array {
  const able = new Map(members.flatMap((member, index) => (member.weight > 0 ? [[member.name, index]] : [])));
  const now = previous.members.map((member) => able.get(member.name) ?? -1);
  const places = new Int32Array(previous.homes.length * replicationFactor);
  for (const [partition, row] of previous.homes.entries()) {
    assert.equal(new Set(row).size, replicationFactor, "the homes of a partition are distinct");
    for (const [place, member] of row.entries()) places[partition * replicationFactor + place] = now[member] ?? -1;
  }
  return places;
}

function countMembers(places: Iterable<number>, memberCount: number): number[] {
  const counts = new Array<number>(memberCount).fill(0);
  for (const member of places) if (member !== -1) counts[member] = (counts[member] ?? 0) + 1;
  return counts;
}

/** Replicas that stay with their member, whatever their place in the row. */
function countKept(before: Int32Array, after: Int32Array, replicationFactor: number): number {
  let kept = 0;
  for (let from = 0; from < after.length; from += replicationFactor) {
    const row = before.subarray(from, from + replicationFactor);
    for (let place = from; place < from + replicationFactor; place++) if (row.includes(after[place] ?? -1)) kept++;
  }
  return kept;
}

/** What members must gain to reach their shares rounded down, or what those must give up that hold more than rounded up. */
function leastMovement(request: { shares: readonly number[]; heldBefore: readonly number[]; total: number }): number {
  let lacking = 0;
  let keepable = 0;
  for (const [member, share] of request.shares.entries()) {
    const { least, most } = roundings(share);
    const held = request.heldBefore[member] ?? 0;
    lacking += Math.max(0, least - held);
    keepable += Math.min(held, most);
  }
  return Math.max(lacking, request.total - keepable);
}

/** A share may differ by this much from what the weight alone asks for before it is worth a note. */
const NOTEWORTHY = 0.05;

function notesOf(plan: {
  request: PlacementRequest;
  members: readonly PlacementMember[];
  zones: readonly ZoneBounds[];
  shares: readonly number[];
  movedReplicas: number;
  movedReplicasMin: number;
  tolerance: number;
}): string[] {
  const { request, members, zones, shares } = plan;
  const { partitions, replicationFactor } = request;
  const notes: string[] = [];
  const replicasMax = Math.max(...zones.map((zone) => zone.replicasMax));
  if (zones.length < replicationFactor) {
    const count = zones.length === 1 ? "There is 1 zone" : `There are ${zones.length} zones`;
    notes.push(`${count} for N = ${replicationFactor}: up to ${replicasMax} replicas of a partition share a zone.`);
  }
  const weightOfAll = members.reduce((sum, member) => sum + member.weight, 0);
  const total = partitions * replicationFactor;
  const percent = (part: number, whole: number) => `${((100 * part) / whole).toFixed(1)} %`;
  for (const zone of zones) {
    const weight = zone.members.reduce((sum, member) => sum + (members[member]?.weight ?? 0), 0);
    const share = zone.members.reduce((sum, member) => sum + (shares[member] ?? 0), 0);
    const asked = (total * weight) / weightOfAll;
    if (Math.abs(share - asked) <= NOTEWORTHY * asked) continue;
    const reason =
      share > asked
        ? "the other zones and members cannot hold more copies of a partition"
        : `it may hold ${zone.replicasMax} of the ${replicationFactor} replicas of a partition at most`;
    notes.push(
      `Zone ${zone.zone} holds ${percent(share, total)} of the replicas, its weight asks for ${percent(asked, total)}: ${reason}.`,
    );
  }
  for (const [index, member] of members.entries()) {
    const asked = (total * member.weight) / weightOfAll;
    if ((shares[index] ?? 0) < partitions || asked <= partitions * (1 + NOTEWORTHY)) continue;
    notes.push(`Member ${member.name} holds a replica of every partition, and its weight asks for more than that.`);
  }
  if (request.previous !== undefined && plan.movedReplicas > plan.movedReplicasMin) {
    notes.push(
      `${plan.movedReplicas} replicas move where shares alone ask for ${plan.movedReplicasMin}: zones and distinct homes need it.`,
    );
  }
  if (plan.tolerance > 0) {
    notes.push(`Shares are up to ${100 * plan.tolerance} % (or one replica) off, because exact ones would move more.`);
  }
  return notes;
}
