/** The count of replies, against a plain list of what happened. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import fc from "fast-check";
import { Tally } from "../../../node/core/quorum/tally.ts";

type Happening = {
  readonly zone: string;
  readonly reply: "acked" | "hinted" | "repeated" | "refused" | "silent" | "outstanding";
};

const happening: fc.Arbitrary<Happening> = fc.record({
  zone: fc.constantFrom("a", "b", "c"),
  reply: fc.constantFrom("acked", "hinted", "repeated", "refused", "silent", "outstanding"),
});

function play(happenings: readonly Happening[], required: number, zonesRequired: number): Tally {
  const tally = new Tally(required, zonesRequired);
  for (const _ of happenings) tally.ask();
  for (const { zone, reply } of happenings) {
    if (reply === "acked") tally.acked(zone);
    if (reply === "hinted") tally.hint(zone);
    if (reply === "repeated") tally.repeated();
    if (reply === "refused") tally.failed("none");
    if (reply === "silent") tally.failed("unknown");
  }
  return tally;
}

describe("a tally", () => {
  it("says what a plain count of the replies says", () => {
    fc.assert(
      fc.property(
        fc.array(happening, { maxLength: 7 }),
        fc.integer({ min: 1, max: 5 }),
        fc.integer({ min: 1, max: 3 }),
        (happenings, required, zonesRequired) => {
          const tally = play(happenings, required, zonesRequired);
          const acked = happenings.filter((one) => one.reply === "acked" || one.reply === "hinted");
          const zones = new Set(acked.map((one) => one.zone)).size;
          const outstanding = happenings.filter((one) => one.reply === "outstanding").length;
          const won = acked.length >= required && zones >= zonesRequired;
          assert.equal(tally.verdict(), won ? "won" : outstanding > 0 ? "pending" : "lost");
          assert.deepEqual(
            [tally.acks, tally.asked, tally.zones, tally.outstanding],
            [acked.length, happenings.length, zones, outstanding],
          );
          assert.equal(tally.hinted, happenings.filter((one) => one.reply === "hinted").length);
          const mayHold = acked.length > 0 || happenings.some((one) => one.reply === "silent");
          assert.equal(tally.outcome, mayHold ? "unknown" : "none");
        },
      ),
    );
  });

  it("counts whoever has not replied at the deadline as one that may hold the write", () => {
    const tally = play([{ zone: "a", reply: "outstanding" }], 1, 1);
    assert.equal(tally.outcome, "none");
    tally.expire();
    assert.equal(tally.outcome, "unknown");
  });

  it("counts after all what first seemed to be worth nothing", () => {
    const tally = play(
      [
        { zone: "a", reply: "acked" },
        { zone: "b", reply: "refused" },
      ],
      2,
      2,
    );
    assert.equal(tally.verdict(), "lost");
    tally.hintAfterAll("b");
    assert.equal(tally.verdict(), "won");
    assert.deepEqual([tally.acks, tally.asked, tally.zones, tally.hinted], [2, 2, 2, 1]);
  });

  it("stops the node when a reply comes that nobody was asked for", () => {
    assert.throws(() => new Tally(1, 1).acked("a"), assert.AssertionError);
  });
});
