/** Ideal shares against bisection, and worked examples. */
import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { fillLevel, idealShares, roundings, zoneBounds } from "../../../node/core/ring/shares.ts";
import { plainShares } from "./plain-placement.ts";

/** Shares to nine digits after the point, where doubles still agree. */
function sharesOf(members: readonly { zone: string; weight: number }[], replicationFactor: number, partitions = 100) {
  const zones = Map.groupBy(members.keys(), (index) => members[index]?.zone ?? "");
  const weights = members.map(({ weight }) => weight);
  const shares = idealShares({ weights, zones: zoneBounds(zones, replicationFactor), partitions, replicationFactor });
  return shares.map((share) => Number(share.toFixed(9)));
}

const member = (zone: string, weight: number) => ({ zone, weight });

describe("ideal shares", () => {
  it("are what bisection finds, for any weights, zones and N", () => {
    const shapes = fc.array(
      fc.record({ zone: fc.constantFrom("a", "b", "c", "d", "e"), weight: fc.integer({ min: 1, max: 10_000 }) }),
      {
        minLength: 5,
        maxLength: 40,
      },
    );
    fc.assert(
      fc.property(shapes, fc.integer({ min: 1, max: 5 }), (members, replicationFactor) => {
        const named = members.map((each, index) => ({ name: String(index), ...each }));
        const plain = plainShares(named, { partitions: 512, replicationFactor });
        for (const [index, share] of sharesOf(members, replicationFactor, 512).entries()) {
          expect(share).toBeCloseTo(plain.get(String(index)) ?? -1, 6);
        }
      }),
      { seed: 9, numRuns: 300 },
    );
  });

  it("follow weights where nothing is in the way", () => {
    const members = [
      member("a", 100),
      member("a", 200),
      member("b", 300),
      member("b", 100),
      member("c", 200),
      member("c", 300),
    ];
    expect(sharesOf(members, 2)).toEqual([16.666666667, 33.333333333, 50, 16.666666667, 33.333333333, 50]);
  });

  it("stop at one replica of each partition for a member, the rest going to the others by weight", () => {
    expect(sharesOf([member("a", 900), member("b", 50), member("c", 50), member("d", 100)], 2)).toEqual([
      100, 25, 25, 50,
    ]);
  });

  it("stop at one replica of each partition for a zone", () => {
    const members = [member("a", 300), member("a", 100), member("b", 100), member("c", 50), member("c", 50)];
    expect(sharesOf(members, 3)).toEqual([75, 25, 100, 50, 50]);
  });

  it("give a light zone what the even spread over fewer than N zones needs", () => {
    const members = [member("a", 1), member("b", 500), member("b", 500), member("c", 500), member("c", 500)];
    expect(sharesOf(members, 4)[0]).toBe(100);
  });
});

describe("a water level", () => {
  it("holds the total, however caps and weights are mixed", () => {
    expect(fillLevel([1, 1, 1], [10, 10, 10], 15)).toBe(5);
    expect(fillLevel([1, 3], [100, 6], 20)).toBe(14);
    expect(fillLevel([1, 3], [100, 6], 0)).toBe(0);
  });

  it("is at or over every cap when all is full", () => {
    expect(fillLevel([1, 2], [4, 6], 10)).toBeGreaterThanOrEqual(4);
    expect(fillLevel([1, 2], [4, 6], 11)).toBe(Number.POSITIVE_INFINITY);
  });
});

describe("bounds of zones", () => {
  const zones = (...sizes: number[]) =>
    new Map(sizes.map((size, index) => [`z${index}`, Array.from({ length: size }, (_, member) => member)]));
  it.each([
    [3, [4, 4, 4], [0, 0, 0], [1, 1, 1]],
    [3, [4, 4, 4, 1], [0, 0, 0, 0], [1, 1, 1, 1]],
    [3, [4, 4], [1, 1], [2, 2]],
    [3, [1, 9], [1, 1], [1, 2]],
    [3, [9], [2], [3]],
    [4, [3, 3, 3], [1, 1, 1], [2, 2, 2]],
    [5, [1, 9], [1, 3], [1, 4]],
  ])("spread N = %d over zones of %j members: at least %j, at most %j", (replicationFactor, sizes, least, most) => {
    const bounds = zoneBounds(zones(...sizes), replicationFactor);
    expect(bounds.map(({ replicasMin }) => replicasMin)).toEqual(least);
    expect(bounds.map(({ replicasMax }) => replicasMax)).toEqual(most);
  });
});

describe("a rounded share", () => {
  it("is one of the two whole numbers next to it, or itself but for the error of doubles", () => {
    expect(roundings(3.5)).toEqual({ least: 3, most: 4 });
    expect(roundings(3)).toEqual({ least: 3, most: 3 });
    expect(roundings(2.999_999_999_9)).toEqual({ least: 3, most: 3 });
    expect(roundings(3.000_000_000_1)).toEqual({ least: 3, most: 3 });
  });
});
