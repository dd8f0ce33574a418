/** The planner against a plain model: shares, zones, movement, order, determinism, over many shapes of cluster. */
import assert from "node:assert/strict";
import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { KvError } from "../../../node/core/errors.ts";
import { type Placement, type PlacementMember, planPlacement } from "../../../node/core/ring/placement.ts";
import {
  canMoveLess,
  checkTable,
  countByName,
  countMoves,
  gainsNeeded,
  type NamedTable,
  namedTable,
  plainShares,
  zoneCap,
} from "./plain-placement.ts";

const SEED = 20_260_704;

type Cluster = {
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

const ANY = clusters({
  membersMin: 3,
  membersMax: 60,
  partitions: [64, 128, 256, 512, 1024],
  replicationFactor: fc.constant(3),
});
const SMALL = clusters({
  membersMin: 5,
  membersMax: 14,
  partitions: [64, 128],
  replicationFactor: fc.integer({ min: 1, max: 5 }),
});

type Change =
  | { readonly kind: "add"; readonly zone: number; readonly weight: number }
  | { readonly kind: "remove"; readonly pick: number }
  | { readonly kind: "reweight"; readonly pick: number; readonly weight: number }
  | { readonly kind: "addZone"; readonly count: number }
  | { readonly kind: "loseZone"; readonly pick: number };

const weights = fc.integer({ min: 100, max: 400 });
const ONE_MEMBER: fc.Arbitrary<Change> = fc.oneof(
  fc.record({ kind: fc.constant("add" as const), zone: fc.nat(4), weight: weights }),
  fc.record({ kind: fc.constant("remove" as const), pick: fc.nat(59) }),
  fc.record({ kind: fc.constant("reweight" as const), pick: fc.nat(59), weight: weights }),
);
const ANY_CHANGE: fc.Arbitrary<Change> = fc.oneof(
  ONE_MEMBER,
  fc.record({ kind: fc.constant("addZone" as const), count: fc.integer({ min: 1, max: 4 }) }),
  fc.record({ kind: fc.constant("loseZone" as const), pick: fc.nat(4) }),
);

/** The members after a change; unchanged where the change would leave fewer than N. */
function changeMembers(members: readonly PlacementMember[], change: Change, replicationFactor: number) {
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

function plan({ partitions, replicationFactor, members }: Cluster, previous?: Placement): Placement {
  return planPlacement({ partitions, replicationFactor, members, previous });
}

/** Asserts the bound on movement: near the lower bound, or no table with these promises moves less. */
function checkMovement(from: NamedTable, to: NamedTable, cluster: Cluster): void {
  const moves = countMoves(from, to);
  const needed = gainsNeeded(from, plainShares(cluster.members, cluster));
  if (moves <= 1.1 * needed + 2) return;
  assert(
    !canMoveLess({ from, to, ...cluster }),
    `${moves} replicas move where ${needed} are needed, and less would do`,
  );
}

describe("a plan", () => {
  it("gives distinct members, distinct or evenly taken zones, and every share rounded up or down", () => {
    fc.assert(
      fc.property(ANY, (cluster) => checkTable(namedTable(plan(cluster)), cluster.members, cluster)),
      { seed: SEED, numRuns: 30 },
    );
  });

  it("keeps these promises for N from 1 to 5, also with fewer zones or barely enough members", () => {
    fc.assert(
      fc.property(SMALL, (cluster) => checkTable(namedTable(plan(cluster)), cluster.members, cluster)),
      { seed: SEED, numRuns: 80 },
    );
  });

  it("moves no more than 1.10 of the gains needed plus 2, or the least there is, when one member comes, goes or changes", () => {
    fc.assert(
      fc.property(ANY, ONE_MEMBER, (cluster, change) => {
        const before = plan(cluster);
        const next = { ...cluster, members: changeMembers(cluster.members, change, cluster.replicationFactor) };
        const after = plan(next, before);
        checkTable(namedTable(after), next.members, next);
        checkMovement(namedTable(before), namedTable(after), next);
        expect(after.report.movedReplicas).toBe(countMoves(namedTable(before), namedTable(after)));
      }),
      { seed: SEED, numRuns: 30 },
    );
  });

  it("keeps all promises through a chain of changes, zones added and lost among them", () => {
    fc.assert(
      fc.property(SMALL, fc.array(ANY_CHANGE, { minLength: 3, maxLength: 6 }), (start, changes) => {
        let cluster = start;
        let current = plan(cluster);
        for (const change of changes) {
          cluster = { ...cluster, members: changeMembers(cluster.members, change, cluster.replicationFactor) };
          const next = plan(cluster, current);
          checkTable(namedTable(next), cluster.members, cluster);
          checkMovement(namedTable(current), namedTable(next), cluster);
          current = next;
        }
      }),
      { seed: SEED, numRuns: 30 },
    );
  });

  it("never moves a replica more than the shares and zones need, which no exchange could better", () => {
    fc.assert(
      fc.property(SMALL, ANY_CHANGE, (cluster, change) => {
        const before = plan(cluster);
        const next = { ...cluster, members: changeMembers(cluster.members, change, cluster.replicationFactor) };
        const after = plan(next, before);
        expect(canMoveLess({ from: namedTable(before), to: namedTable(after), ...next })).toBe(false);
      }),
      { seed: SEED, numRuns: 30 },
    );
  });

  it("is the same for members in any order", () => {
    const shuffled = SMALL.chain((cluster) =>
      fc.tuple(
        fc.constant(cluster),
        fc.shuffledSubarray([...cluster.members], { minLength: cluster.members.length }),
        ONE_MEMBER,
      ),
    );
    fc.assert(
      fc.property(shuffled, ([cluster, members, change]) => {
        const before = plan(cluster);
        expect(plan({ ...cluster, members })).toEqual(before);
        const next = changeMembers(cluster.members, change, cluster.replicationFactor);
        expect(plan({ ...cluster, members: next.toReversed() }, before)).toEqual(
          plan({ ...cluster, members: next }, before),
        );
      }),
      { seed: SEED, numRuns: 30 },
    );
  });

  it("changes nothing when nothing changed", () => {
    fc.assert(
      fc.property(SMALL, (cluster) => {
        const before = plan(cluster);
        expect(plan(cluster, before).homes).toEqual(before.homes);
      }),
      { seed: SEED, numRuns: 40 },
    );
  });

  it("leaves members that stay in their places, but for some first places", () => {
    fc.assert(
      fc.property(SMALL, ONE_MEMBER, (cluster, change) => {
        const before = plan(cluster);
        const next = { ...cluster, members: changeMembers(cluster.members, change, cluster.replicationFactor) };
        const [from, to] = [namedTable(before), namedTable(plan(next, before))];
        for (const [partition, row] of to.entries()) {
          const displaced = row.filter((name, place) => {
            const was = from[partition]?.indexOf(name) ?? -1;
            return was !== -1 && was !== place;
          });
          // An exchange of first places displaces two members, and one when the other is new.
          assert(displaced.length <= 2, `${from[partition]} became ${row}`);
          if (displaced.length > 0) assert(displaced.includes(row[0] ?? "") || from[partition]?.[0] !== row[0]);
        }
      }),
      { seed: SEED, numRuns: 40 },
    );
  });
});

describe("the least movement", () => {
  it("is told from a needless one: two members that changed partitions could as well have stayed", () => {
    const members = ["a", "b", "c", "d", "e"].map((name) => ({ name, zone: name, weight: 100 }));
    const cluster = { partitions: 64, replicationFactor: 3, members };
    const from = namedTable(plan(cluster));
    const to = from.map((row) => [...row]);
    const [first, second] = [to.find((row) => !row.includes("a")), to.find((row) => row.includes("a"))];
    const exchanged = first?.find((name) => !second?.includes(name));
    assert(first !== undefined && second !== undefined && exchanged !== undefined);
    first[first.indexOf(exchanged)] = "a";
    second[second.indexOf("a")] = exchanged;
    checkTable(to, members, cluster);
    expect(canMoveLess({ from, to, members, replicationFactor: 3 })).toBe(true);
    expect(canMoveLess({ from, to: from, members, replicationFactor: 3 })).toBe(false);
  });

  /** All ways to choose `count` of `names`. */
  function choices(names: readonly string[], count: number): string[][] {
    if (count === 0) return [[]];
    return names.flatMap((name, index) => choices(names.slice(index + 1), count - 1).map((rest) => [name, ...rest]));
  }

  /** Tries every table there is. */
  function leastByTrial(from: NamedTable, cluster: Cluster): number {
    const { members, replicationFactor, partitions } = cluster;
    const rows = choices(
      members.map((member) => member.name),
      replicationFactor,
    );
    let least = Number.POSITIVE_INFINITY;
    const table: string[][] = [];
    const extend = (partition: number) => {
      if (partition === partitions) {
        try {
          checkTable(table, members, cluster);
        } catch {
          return;
        }
        least = Math.min(least, countMoves(from, table));
        return;
      }
      for (const row of rows) {
        table.length = partition;
        table[partition] = row;
        if (countMoves(from, table) < least) extend(partition + 1);
      }
    };
    extend(0);
    return least;
  }

  it("is what trying every table finds, in clusters small enough for that", () => {
    const tiny = fc.record({
      partitions: fc.constantFrom(2, 4),
      replicationFactor: fc.constantFrom(1, 2, 3),
      zones: fc.array(fc.nat(2), { minLength: 4, maxLength: 5 }),
      weights: fc.array(fc.constantFrom(100, 150, 400), { minLength: 5, maxLength: 5 }),
    });
    fc.assert(
      fc.property(tiny, ONE_MEMBER, ({ partitions, replicationFactor, zones, weights: drawn }, change) => {
        const members = zones.map((zone, index) => ({
          name: `kv-${index}`,
          zone: `zone-${zone}`,
          weight: drawn[index] ?? 100,
        }));
        const before = plan({ partitions, replicationFactor, members });
        const changed = changeMembers(members, change, replicationFactor);
        const next = { partitions, replicationFactor, members: changed.length > 5 ? members.slice(1) : changed };
        if (next.members.length < replicationFactor) return;
        const after = plan(next, before);
        expect(after.report.movedReplicas).toBe(leastByTrial(namedTable(before), next));
      }),
      { seed: SEED, numRuns: 30 },
    );
  });
});

describe("zones of unequal size", () => {
  const member = (name: string, zone: string, weight = 100): PlacementMember => ({ name, zone, weight });
  const many = (zone: string, count: number) =>
    Array.from({ length: count }, (_, index) => member(`${zone}${index}`, zone));

  it("make a lone member hold every partition, and say so", () => {
    const members = [member("a0", "a"), ...many("b", 10), ...many("c", 10)];
    const cluster = { partitions: 512, replicationFactor: 3, members };
    const { report, ...table } = plan(cluster);
    checkTable(namedTable({ report, ...table }), members, cluster);
    expect(report.members.find(({ name }) => name === "a0")?.replicas).toBe(512);
    expect(report.notes.filter((note) => note.startsWith("Zone a holds 33.3 %"))).toHaveLength(1);
  });

  it("do not make a lone member coordinate more than its weight", () => {
    const members = [member("a0", "a"), ...many("b", 10), ...many("c", 10)];
    const { report } = plan({ partitions: 512, replicationFactor: 3, members });
    for (const { name, firstPlaces } of report.members) {
      assert(firstPlaces >= 24 && firstPlaces <= 25, `${name} comes first in ${firstPlaces} of 512 partitions`);
    }
  });

  it("share fewer than N zones as evenly as there are members", () => {
    const members = [member("a0", "a"), ...many("b", 6)];
    const cluster = { partitions: 64, replicationFactor: 5, members };
    const { report, ...table } = plan(cluster);
    checkTable(namedTable({ report, ...table }), members, cluster);
    expect(zoneCap(members, 5)).toBe(4);
    expect(report.notes).toContainEqual("There are 2 zones for N = 5: up to 4 replicas of a partition share a zone.");
  });

  it("follow the weights again once a lost zone is back", () => {
    const members = [...many("a", 3), ...many("b", 3), ...many("c", 3)];
    const all = { partitions: 256, replicationFactor: 3, members };
    const cut = { ...all, members: members.filter(({ zone }) => zone !== "c") };
    const before = plan(all);
    const without = plan(cut, before);
    checkTable(namedTable(without), cut.members, cut);
    const back = plan(all, without);
    checkTable(namedTable(back), members, all);
    expect(without.report.movedReplicas).toBe(256);
    expect(back.report.movedReplicas).toBe(256);
  });
});

describe("weights", () => {
  it("give first places in proportion, each rounded up or down", () => {
    fc.assert(
      fc.property(ANY, (cluster) => {
        for (const { name, firstPlaces, idealFirstPlaces } of plan(cluster).report.members) {
          const off = Math.abs(firstPlaces - idealFirstPlaces);
          assert(
            off < 1 || off < 0.05 * idealFirstPlaces,
            `${name} comes first ${firstPlaces} times, not ${idealFirstPlaces}`,
          );
        }
      }),
      { seed: SEED, numRuns: 25 },
    );
  });

  it("of 0 leave a member without replicas, and take away those it had", () => {
    const members = ["a", "b", "c", "d"].map((name) => ({ name, zone: name, weight: 100 }));
    const cluster = { partitions: 64, replicationFactor: 3, members };
    const before = plan(cluster);
    const drained = members.map((member) => (member.name === "b" ? { ...member, weight: 0 } : member));
    const after = plan({ ...cluster, members: drained }, before);
    expect(countByName(namedTable(after).flat()).get("b")).toBeUndefined();
    expect(after.report.movedReplicas).toBe(48);
  });
});

describe("failures", () => {
  it("of one member burden many others, in a first table and after many changes", () => {
    let members = Array.from({ length: 12 }, (_, index) => ({
      name: `kv-${index}`,
      zone: `zone-${index % 3}`,
      weight: 100,
    }));
    const figures = { partitions: 512, replicationFactor: 3 };
    let current = plan({ ...figures, members });
    for (let round = 0; round < 8; round++) {
      const grown = { name: `kv-${12 + round}`, zone: `zone-${round % 3}`, weight: 100 };
      members = [...members.slice(round % 2), grown];
      current = plan({ ...figures, members }, current);
    }
    const table = namedTable(current);
    for (const { name, zone } of members) {
      const partners = countByName(table.filter((row) => row.includes(name)).flat());
      const others = members.filter((member) => member.zone !== zone);
      const fairPart = (2 * (partners.get(name) ?? 0)) / others.length;
      for (const other of others) {
        const shared = partners.get(other.name) ?? 0;
        assert(shared > 0 && shared < 3 * fairPart, `${name} and ${other.name} share ${shared}, fair is ${fairPart}`);
      }
    }
  });
});

describe("a plan that cannot be made", () => {
  const three = ["a", "b", "c"].map((name) => ({ name, zone: "z", weight: 100 }));
  const figures = { partitions: 64, replicationFactor: 3 };
  const before = planPlacement({ ...figures, members: three });
  it.each([
    ["has fewer members than N", { ...figures, members: three.slice(1) }, /needs as many members .* found 2/],
    [
      "has fewer members with weight than N",
      { ...figures, members: three.map((m, i) => ({ ...m, weight: i })) },
      /found 2/,
    ],
    ["has a member twice", { ...figures, members: [...three, ...three.slice(2)] }, /member c is there twice/],
    ["has partitions that are no power of two", { ...figures, partitions: 100, members: three }, /power of two.*100/],
    ["has no partitions", { ...figures, partitions: 0, members: three }, /power of two.*0/],
    ["has a negative weight", { ...figures, members: three.map((m) => ({ ...m, weight: -1 })) }, /weight of a.*-1/],
    [
      "changes the partitions",
      { partitions: 32, replicationFactor: 3, members: three, previous: before },
      /64 before, 32/,
    ],
    ["changes N", { partitions: 64, replicationFactor: 2, members: three, previous: before }, /3 before, 2/],
  ])("is refused when it %s", (_, request, message) => {
    expect(() => planPlacement(request)).toThrow(message);
    expect(() => planPlacement(request)).toThrow(KvError);
  });
});
