/** Random clusters and changes of them, for the planner's properties. */
import fc from "fast-check";
import { type Placement, type PlacementMember, planPlacement } from "../../../node/core/ring/placement.ts";

/** All random cases begin here: a failure can be run again. */
export const SEED = 20_260_704;

export type Cluster = {
  readonly partitions: number;
  readonly replicationFactor: number;
  readonly members: readonly PlacementMember[];
};

function clusters(bounds: {
  membersMin: number;
  membersMax: number;
  partitions: readonly number[];
  replicationFactor: fc.Arbitrary<number>;
}) {
  const zoneCounts = fc.integer({ min: 1, max: 5 });
  return fc
    .record({
      partitions: fc.constantFrom(...bounds.partitions),
      replicationFactor: bounds.replicationFactor,
      zoneCount: zoneCounts,
      shapes: fc.array(fc.record({ zone: fc.nat(4), weight: fc.integer({ min: 100, max: 400 }) }), {
        minLength: bounds.membersMin,
        maxLength: bounds.membersMax,
        size: "max",
      }),
      isEven: fc.boolean(),
    })
    .map(({ partitions, replicationFactor, zoneCount, shapes, isEven }): Cluster => {
      const members = shapes.map(({ zone, weight }, index) => ({
        name: `kv-${index}`,
        zone: `zone-${(isEven ? index : zone) % zoneCount}`,
        weight,
      }));
      return { partitions, replicationFactor, members };
    });
}

/** Clusters of 3 to 60 members. */
export const ANY = clusters({
  membersMin: 3,
  membersMax: 60,
  partitions: [64, 128, 256, 512, 1024],
  replicationFactor: fc.constant(3),
});
/** Clusters small enough to look for a better table. */
export const SMALL = clusters({
  membersMin: 5,
  membersMax: 14,
  partitions: [64, 128],
  replicationFactor: fc.integer({ min: 1, max: 5 }),
});

export type Change =
  | { readonly kind: "add"; readonly zone: number; readonly weight: number }
  | { readonly kind: "remove"; readonly pick: number }
  | { readonly kind: "reweight"; readonly pick: number; readonly weight: number }
  | { readonly kind: "addZone"; readonly count: number }
  | { readonly kind: "loseZone"; readonly pick: number };

const weights = fc.integer({ min: 100, max: 400 });
/** Changes of one member. */
export const ONE_MEMBER: fc.Arbitrary<Change> = fc.oneof(
  fc.record({ kind: fc.constant("add" as const), zone: fc.nat(4), weight: weights }),
  fc.record({ kind: fc.constant("remove" as const), pick: fc.nat(59) }),
  fc.record({ kind: fc.constant("reweight" as const), pick: fc.nat(59), weight: weights }),
);
export const ANY_CHANGE: fc.Arbitrary<Change> = fc.oneof(
  ONE_MEMBER,
  fc.record({ kind: fc.constant("addZone" as const), count: fc.integer({ min: 1, max: 4 }) }),
  fc.record({ kind: fc.constant("loseZone" as const), pick: fc.nat(4) }),
);

/** The members after a change; unchanged where the change would leave fewer than N. */
export function changeMembers(members: readonly PlacementMember[], change: Change, replicationFactor: number) {
  const zones = [...new Set(members.map((member) => member.zone))];
  const fresh = members.length + Math.max(0, ...members.map((member) => Number(member.name.split("-")[1])));
  const picked = "pick" in change ? members[change.pick % members.length] : undefined;
  let next: readonly PlacementMember[];
  switch (change.kind) {
    case "add":
      next = [
        ...members,
        { name: `kv-${fresh}`, zone: zones[change.zone % zones.length] ?? "", weight: change.weight },
      ];
      break;
    case "remove":
      next = members.filter((member) => member !== picked);
      break;
    case "reweight":
      next = members.map((member) => (member === picked ? { ...member, weight: change.weight } : member));
      break;
    case "addZone":
      next = [
        ...members,
        ...Array.from({ length: change.count }, (_, index) => ({
          name: `kv-${fresh + index}`,
          zone: `zone-${fresh}`,
          weight: 200,
        })),
      ];
      break;
    case "loseZone":
      next = members.filter((member) => member.zone !== zones[change.pick % zones.length]);
      break;
  }
  return next.length < replicationFactor ? members : next;
}

export function plan({ partitions, replicationFactor, members }: Cluster, previous?: Placement): Placement {
  return planPlacement({ partitions, replicationFactor, members, previous });
}
