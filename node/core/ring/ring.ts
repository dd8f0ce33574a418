/**
 * The ring as requests see it: a ring document turned into tables, once for each epoch.
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
  /** Distinct zones of the members that are home to something. */
  readonly zoneCount: number;
  /** The partition of a key, 0 .. partitions − 1. */
  partitionOf(key: Uint8Array): number;
  /** The N home replicas of a partition, in order. The same array each time, never to be changed. */
  homes(partition: number): readonly RingMember[];
  isHome(name: MemberId, partition: number): boolean;
  /**
   * The members that may stand in for a home replica, in order: the clockwise walk from the partition on over the first
   * places of the next ones, zones that are no home's first. Members that have weight and no place yet come last, those
   * without weight (they are being emptied), joining or gone not at all. The same array each time.
   */
  standIns(partition: number): readonly RingMember[];
  /** The partitions that a member is home to, ascending; none for a stranger. */
  partitionsOf(name: MemberId): readonly number[];
  member(name: MemberId): RingMember | undefined;
};

const NOTHING: readonly number[] = [];

/**
 * Makes the view of one epoch.
 *
 * @param document A valid document, as `parseRing`, `firstRing` or a change made it. Kept, never to be changed.
 */
export function createRing(document: RingDocument): Ring {
  const { partitions, replicationFactor, members } = document;
  const byMember = new Map(members.map((member) => [member.name, { member, partitions: [] as number[] }]));
  const homes = document.homes.map((row, partition) =>
    row.map((index) => {
      const member = members[index];
      assert(member !== undefined, "a home is one of the members");
      byMember.get(member.name)?.partitions.push(partition);
      return member;
    }),
  );
  assert.equal(homes.length, partitions, "a ring has homes for every partition");
  const owners = members.filter((member) => byMember.get(member.name)?.partitions.length !== 0);
  const placeless = members.filter((member) => !owners.includes(member) && mayHold(member));
  const standIns = new Map<number, readonly RingMember[]>();

  const homesOf = (partition: number): readonly RingMember[] => {
    const row = homes[partition];
    assert(row !== undefined, "a partition of this ring");
    return row;
  };
  return {
    document,
    epoch: document.epoch,
    partitions,
    replicationFactor,
    zoneCount: new Set(owners.map((member) => member.zone)).size,
    partitionOf: (key) => partitionOf(key, partitions),
    homes: homesOf,
    isHome(name, partition) {
      for (const member of homesOf(partition)) if (member.name === name) return true;
      return false;
    },
    standIns(partition) {
      let members = standIns.get(partition);
      if (members === undefined) {
        members = walkFrom(partition, { homes, owners, placeless });
        standIns.set(partition, members);
      }
      return members;
    },
    partitionsOf: (name) => byMember.get(name)?.partitions ?? NOTHING,
    member: (name) => byMember.get(name)?.member,
  };
}

function mayHold({ weight, state }: RingMember): boolean {
  return weight > 0 && state !== "joining" && state !== "left";
}

/** Members in the order in which a walk from a partition meets their first places, then their other places. */
function walkFrom(
  partition: number,
  ring: {
    readonly homes: readonly (readonly RingMember[])[];
    /** Members that are home to something: whom a walk can meet. */
    readonly owners: readonly RingMember[];
    readonly placeless: readonly RingMember[];
  },
): readonly RingMember[] {
  const { homes, owners, placeless } = ring;
  const own = homes[partition] ?? [];
  const walk = new Set<RingMember>();
  for (let place = 0; place < own.length; place++) {
    for (let step = 1; step < homes.length && walk.size + own.length < owners.length; step++) {
      const member = homes[(partition + step) % homes.length]?.[place];
      if (member !== undefined && !own.includes(member)) walk.add(member);
    }
  }
  return untakenZonesFirst(
    [...walk, ...placeless],
    own.map((member) => member.zone),
  );
}
