/** The planner's tables against a plain model: shares, zones, order, determinism, over many shapes of cluster. */
import assert from "node:assert/strict";
import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { KvError } from "../../../node/core/errors.ts";
import { type PlacementMember, planPlacement } from "../../../node/core/ring/placement.ts";
import { ANY, changeMembers, ONE_MEMBER, plan, SEED, SMALL } from "./clusters.ts";
import { checkTable, countByName, namedTable, zoneCap } from "./plain-placement.ts";

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
