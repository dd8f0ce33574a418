/** Who is slow: found by many late answers and not by a few, and forgotten by one in time. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import fc from "fast-check";
import { Pace } from "../../../node/core/quorum/pace.ts";

const MEMBERS = ["a", "b", "c"];

/** Answers of every member in turn. */
function answers(pace: Pace, rounds: number, latencyMs: (member: string, round: number) => number): void {
  for (let round = 0; round < rounds; round++) for (const member of MEMBERS) pace.add(member, latencyMs(member, round));
}

describe("the pace of members", () => {
  it("finds the one that is much later than the others within a hundred answers, whatever is ordinary", () => {
    const ordinary = fc.double({ min: 0.1, max: 100, noNaN: true });
    fc.assert(
      fc.property(ordinary, fc.constantFrom(...MEMBERS), (ordinaryMs, slow) => {
        const pace = new Pace();
        answers(pace, 200, () => ordinaryMs);
        assert.equal(pace.slowCount, 0);
        answers(pace, 150, (member) => (member === slow ? ordinaryMs * 20 + 100 : ordinaryMs));
        for (const member of MEMBERS) assert.equal(pace.isSlow(member), member === slow);
      }),
    );
  });

  it("takes nobody for slow who is late now and then, or late by little", () => {
    const pace = new Pace();
    answers(pace, 2_000, (member, round) => (member === "b" && round % 4 === 0 ? 500 : 2));
    assert.equal(pace.slowCount, 0);
    answers(pace, 2_000, (member) => (member === "b" ? 6 : 2));
    assert.equal(pace.slowCount, 0);
  });

  it("forgets that one was slow at its first answer in time, and finds it anew", () => {
    const pace = new Pace();
    const late = (member: string) => (member === "b" ? 300 : 2);
    answers(pace, 200, late);
    assert(pace.isSlow("b"));
    pace.add("b", 3);
    assert(!pace.isSlow("b"));
    answers(pace, 200, late);
    assert(pace.isSlow("b"));
  });

  it("has one read in 256 ask who is slow", () => {
    const pace = new Pace();
    answers(pace, 200, (member) => (member === "b" ? 300 : 2));
    const draws = Array.from({ length: 2_560 }, (_, draw) => draw);
    assert.equal(draws.filter((draw) => !pace.isAvoided("b", draw)).length, 10);
    assert(draws.every((draw) => !pace.isAvoided("a", draw)));
  });
});
