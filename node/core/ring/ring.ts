/**
 * The ring as requests see it: a ring document turned into tables, once for each epoch.
 *
 * While a change is under way a partition that moves has two sets of homes, the present ones (C) and those to be (T).
 * Which of them a request needs follows from the phase (`transition.ts`), and is laid down here once:
 *
 *              reads   writes
 *   (none)     C       C
 *   prepare    C       C and T
 *   switch     T       C and T
 *
 * Nothing here changes after `createRing`, and no lookup on a request's way allocates: what is asked for each key is
 * an array that already exists. Liveness is not its affair; who is up, and who stands in, is decided by its callers.
 */
import assert from "node:assert/strict";
import type { MemberId, RingDocument, RingMember } from "./document.ts";
import { partitionOf } from "./hash.ts";
import { untakenZonesFirst } from "./walk.ts";

export type Ring = {
  readonly document: RingDocument;
  readonly epoch: number;
  readonly partitions: number;
  /** N: home replicas of each partition. */
  readonly replicationFactor: number;
  /** R and W of requests that do not choose, in the phase of this epoch. */
  readonly readQuorum: number;
  readonly writeQuorum: number;
  /** Distinct zones of the members that are home to something. */
  readonly zoneCount: number;
  /** The partition of a key, 0 .. partitions − 1. */
  partitionOf(key: Uint8Array): number;
  /** The N home replicas that reads ask, in order. The same array each time, never to be changed. */
  homes(partition: number): readonly RingMember[];
  /** Whether the member answers reads of the partition, and may stamp for it. */
  isHome(name: MemberId, partition: number): boolean;
  /** The sets of which each must acknowledge a write: the homes, or C and T. The same arrays each time. */
  writeSets(partition: number): readonly (readonly RingMember[])[];
  /** All members of the write sets, those that reads ask first. The same array each time. */
  writers(partition: number): readonly RingMember[];
  /** Whether writes of the partition go to the member. */
  isWriter(name: MemberId, partition: number): boolean;
  /**
   * The members that may stand in for a writer, in order: the clockwise walk from the partition on over the first
   * places of the next ones, zones that are no home's first. Members that have weight and no place yet come last, those
   * without weight (they are being emptied), joining, leaving or gone not at all. The same array each time.
   */
  standIns(partition: number): readonly RingMember[];
  /** The partitions whose writes go to a member, ascending; none for a stranger. */
  partitionsOf(name: MemberId): readonly number[];
  /** The partitions that a member gets by the change under way, ascending. */
  gains(name: MemberId): readonly number[];
  /** The present homes (C) of a partition, whatever the phase. */
  presentHomes(partition: number): readonly RingMember[];
  isPresentHome(name: MemberId, partition: number): boolean;
  member(name: MemberId): RingMember | undefined;
};

const NOTHING: readonly number[] = [];

type Rows = readonly (readonly RingMember[])[];

/**
 * Makes the view of one epoch.
 *
 * @param document A valid document, as `parseRing`, `firstRing` or a change made it. Kept, never to be changed.
 */
export function createRing(document: RingDocument): Ring {
  const { partitions, replicationFactor, members, transition } = document;
  const present = rowsOf(document.homes, members);
  assert.equal(present.length, partitions, "a ring has homes for every partition");
  const toBe = transition === undefined ? present : rowsOf(transition.homes, members);
  const read = transition?.phase === "switch" ? toBe : present;
  const writeSets = present.map((row, partition) => {
    const next = toBe[partition] as readonly RingMember[];
    return isSameSet(row, next) ? [read[partition] as readonly RingMember[]] : [row, next];
  });
  const writers = read.map((row, partition) => {
    const sets = writeSets[partition] as Rows;
    return sets.length === 1 ? row : [...new Set([...row, ...sets.flat()])];
  });
  const byName = new Map(
    members.map((member) => [member.name, { member, partitions: [] as number[], gains: [] as number[] }]),
  );
  for (const [partition, row] of writers.entries()) {
    for (const { name } of row) byName.get(name)?.partitions.push(partition);
    for (const { name } of gainingOf({ document, partition }, present, toBe)) byName.get(name)?.gains.push(partition);
  }
  const owners = members.filter((member) => read.some((row) => row.includes(member)));
  const placeless = members.filter((member) => !owners.includes(member) && mayStandIn(member));
  const standIns = new Map<number, readonly RingMember[]>();
  const rowOf = (rows: Rows, partition: number): readonly RingMember[] => {
    const row = rows[partition];
    assert(row !== undefined, "a partition of this ring");
    return row;
  };
  return {
    document,
    epoch: document.epoch,
    partitions,
    replicationFactor,
    readQuorum: transition?.phase === "switch" ? transition.readQuorum : document.readQuorum,
    writeQuorum: Math.max(document.writeQuorum, transition?.writeQuorum ?? 0),
    zoneCount: new Set(owners.map((member) => member.zone)).size,
    partitionOf: (key) => partitionOf(key, partitions),
    homes: (partition) => rowOf(read, partition),
    isHome: (name, partition) => includesName(rowOf(read, partition), name),
    writeSets(partition) {
      const sets = writeSets[partition];
      assert(sets !== undefined, "a partition of this ring");
      return sets;
    },
    writers: (partition) => rowOf(writers, partition),
    isWriter: (name, partition) => includesName(rowOf(writers, partition), name),
    standIns(partition) {
      let members = standIns.get(partition);
      if (members === undefined) {
        const own = rowOf(writers, partition);
        const walk = walkFrom(partition, { homes: read, own, ownersCount: owners.length });
        const candidates = [...walk.filter((member) => member.state !== "leaving"), ...placeless];
        const others = candidates.filter((member) => !own.includes(member));
        members = untakenZonesFirst(
          others,
          own.map((member) => member.zone),
        );
        standIns.set(partition, members);
      }
      return members;
    },
    partitionsOf: (name) => byName.get(name)?.partitions ?? NOTHING,
    gains: (name) => byName.get(name)?.gains ?? NOTHING,
    presentHomes: (partition) => rowOf(present, partition),
    isPresentHome: (name, partition) => includesName(rowOf(present, partition), name),
    member: (name) => byName.get(name)?.member,
  };
}

/**
 * Whether requests of both epochs mean the same replicas, as many of them, when they write to a partition. Another directory under
 * a name is another replica: what the one before it acknowledges, where it runs on somewhere, nobody asks for any more.
 */
export function haveSameWriteSets(a: Ring, b: Ring, partition: number): boolean {
  if (a === b) return true;
  if (a.writeQuorum !== b.writeQuorum) return false;
  const [sets, others] = [a.writeSets(partition), b.writeSets(partition)];
  return sets.length === others.length && sets.every((set, index) => areSameReplicas(set, others[index] ?? []));
}

/** The same of what they read, and write. */
export function haveSameSets(a: Ring, b: Ring, partition: number): boolean {
  if (a === b) return true;
  const haveSameReadSets = a.readQuorum === b.readQuorum && areSameReplicas(a.homes(partition), b.homes(partition));
  return haveSameReadSets && haveSameWriteSets(a, b, partition);
}

/**
 * Whether a change of R and W asks that every home to be holds all that was acknowledged before: when so few replicas are
 * asked of a read that it may meet none of a write of before (R to be + W ≤ N), and when W rises. What fewer homes
 * acknowledged would count as held by the new W otherwise, to whoever lost a disk and to the next change of R.
 */
export function asksAllHomes(
  { readQuorum, writeQuorum, replicationFactor }: RingDocument,
  next: Pick<RingDocument, "readQuorum" | "writeQuorum">,
): boolean {
  const isLoosened = next.readQuorum < readQuorum && next.readQuorum + writeQuorum <= replicationFactor;
  return isLoosened || next.writeQuorum > writeQuorum;
}

/** Who must be made complete for a partition before reads may ask it: the homes to be that are none at present, or all. */
function gainingOf(
  { document, partition }: { readonly document: RingDocument; readonly partition: number },
  present: Rows,
  toBe: Rows,
): readonly RingMember[] {
  const { transition } = document;
  const next = toBe[partition] ?? [];
  if (transition === undefined) return [];
  return asksAllHomes(document, transition)
    ? next
    : next.filter(({ name }) => !includesName(present[partition] ?? [], name));
}

function rowsOf(table: RingDocument["homes"], members: readonly RingMember[]): Rows {
  return table.map((row) =>
    row.map((index) => {
      const member = members[index];
      assert(member !== undefined, "a home is one of the members");
      return member;
    }),
  );
}

function includesName(row: readonly RingMember[], name: MemberId): boolean {
  for (const member of row) if (member.name === name) return true;
  return false;
}

function isSameSet(a: readonly RingMember[], b: readonly RingMember[]): boolean {
  return a === b || (a.length === b.length && a.every(({ name }) => includesName(b, name)));
}

/** By name, and by directory where both know it. */
function areSameReplicas(a: readonly RingMember[], b: readonly RingMember[]): boolean {
  if (a.length !== b.length) return false;
  return a.every(({ name, actor }) => {
    const other = b.find((member) => member.name === name);
    return other !== undefined && (actor === undefined || other.actor === undefined || actor === other.actor);
  });
}

function mayStandIn({ weight, state }: RingMember): boolean {
  return weight > 0 && (state === "active" || state === "rebuilding");
}

/** Members in the order in which a walk from a partition meets their first places, then their other places. */
function walkFrom(
  partition: number,
  ring: { readonly homes: Rows; readonly own: readonly RingMember[]; readonly ownersCount: number },
): RingMember[] {
  const { homes, own, ownersCount } = ring;
  const walk = new Set<RingMember>();
  const places = homes[partition]?.length ?? 0;
  for (let place = 0; place < places; place++) {
    for (let step = 1; step < homes.length && walk.size + own.length < ownersCount; step++) {
      const member = homes[(partition + step) % homes.length]?.[place];
      if (member !== undefined && !own.includes(member)) walk.add(member);
    }
  }
  return [...walk];
}
