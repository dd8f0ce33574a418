/** What a change copies. */
import { describe, expect, it } from "@jest/globals";
import { movedBytes, movement } from "../../../node/core/ring/movement.ts";

const table = (names: string, homes: number[][]) => ({ members: [...names].map((name) => ({ name })), homes });

describe("the movement between two tables", () => {
  const from = table("abc", [
    [0, 1],
    [1, 2],
    [2, 0],
  ]);

  it("is the replicas that a member has now and had not", () => {
    const to = table("abd", [
      [0, 1],
      [1, 2],
      [2, 1],
    ]);
    expect(movement({ from, to })).toEqual([
      { partition: 1, to: "d" },
      { partition: 2, to: "d" },
      { partition: 2, to: "b" },
    ]);
  });

  it("does not count an exchange of places, nor that members have other indexes now", () => {
    const to = table("0abc", [
      [2, 1],
      [2, 3],
      [1, 3],
    ]);
    expect(movement({ from, to })).toEqual([]);
  });

  it("takes as many bytes as the partitions that move hold", () => {
    const to = table("abd", from.homes);
    expect(movedBytes(movement({ from, to }), [5, 100, 2_000])).toBe(2_100);
    expect(movedBytes([], [5, 100, 2_000])).toBe(0);
  });

  it("is only told of rings with the same partitions", () => {
    expect(() => movement({ from, to: table("abc", [[0, 1]]) })).toThrow("partitions are fixed");
  });
});
