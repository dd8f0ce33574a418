import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import fc from "fast-check";
import { Watermark } from "../../node/cli/import/resume.ts";

describe("the watermark of an import", () => {
  it("is the length of the unbroken run of finished records, in whatever order they finish", () => {
    fc.assert(
      fc.property(fc.shuffledSubarray(Array.from({ length: 40 }, (_, ordinal) => ordinal)), (order) => {
        const watermark = new Watermark(0);
        const finished = new Set<number>();
        for (const ordinal of order) {
          watermark.finish(ordinal);
          finished.add(ordinal);
          let expected = 0;
          while (finished.has(expected)) expected += 1;
          assert.equal(watermark.reached, expected);
        }
      }),
    );
  });

  it("never passes a record that failed and was kept nowhere", () => {
    fc.assert(
      fc.property(fc.nat({ max: 39 }), fc.nat({ max: 60 }), (failed, blockedAt) => {
        const watermark = new Watermark(0);
        for (let ordinal = 0; ordinal < 40; ordinal += 1) {
          if (ordinal === blockedAt) watermark.block();
          if (ordinal !== failed) watermark.finish(ordinal);
        }
        assert.ok(watermark.reached <= failed);
      }),
    );
  });
});
