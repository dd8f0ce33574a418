import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { WriteTally } from "../../../node/core/quorum/write-tally.ts";

const A = 1;
const B = 2;
const C = 4;
const D = 8;

describe("a write that two sets must acknowledge", () => {
  it("is won when each has W, a member of both counting in both", () => {
    const tally = new WriteTally({ acks: 2, zones: 1 }, [A | B | C, B | C | D]);
    for (const bit of [A, B, C, D]) tally.ask(bit);
    tally.acked(A, "x");
    tally.acked(B, "y");
    expect([tally.verdict(), tally.weakest.acks, tally.lacks(0)]).toEqual(["pending", 1, true]);
    tally.acked(D, "x");
    expect([tally.verdict(), tally.weakest.acks, tally.lacks(0)]).toEqual(["won", 2, false]);
  });

  it("is lost as soon as one set is, whatever the other says", () => {
    const tally = new WriteTally({ acks: 2, zones: 1 }, [A | B | C, C | D]);
    for (const bit of [A, B, C, D]) tally.ask(bit);
    tally.acked(A, "x");
    tally.acked(B, "y");
    tally.failed(D, "none");
    expect(tally.verdict()).toBe("pending");
    tally.failed(C, "unknown");
    expect([tally.verdict(), tally.outcome]).toEqual(["lost", "unknown"]);
  });

  it("counts what a plain count says, set by set", () => {
    const bits = fc.integer({ min: 1, max: 15 });
    const replies = fc.shuffledSubarray([A, B, C, D], { minLength: 0 });
    fc.assert(
      fc.property(bits, bits, replies, fc.integer({ min: 1, max: 4 }), (first, second, acked, required) => {
        const tally = new WriteTally({ acks: required, zones: 1 }, [first, second]);
        for (const bit of [A, B, C, D]) tally.ask(bit);
        for (const bit of acked) tally.acked(bit, "x");
        for (const bit of [A, B, C, D]) if (!acked.includes(bit)) tally.failed(bit, "none");
        const countIn = (set: number) => acked.filter((bit) => (bit & set) !== 0).length;
        const won = countIn(first) >= required && countIn(second) >= required;
        expect(tally.verdict()).toBe(won ? "won" : "lost");
        expect(tally.weakest.acks).toBe(Math.min(countIn(first), countIn(second)));
      }),
    );
  });
});
