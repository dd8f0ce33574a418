/** When a store that failed is opened anew. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { Attempts } from "../../node/adapters/level/attempts.ts";

/** A store that fails so often, each time as soon as it was opened anew; gives the time to each attempt, in ms. */
function waits(times: number, isForSpace: boolean): number[] {
  const attempts = new Attempts();
  let nowMs = 0;
  return Array.from({ length: times }, () => {
    const failedMs = nowMs;
    attempts.failed(failedMs, isForSpace);
    while (!attempts.mayBegin(nowMs)) nowMs += 500;
    attempts.opened(nowMs);
    return nowMs - failedMs;
  });
}

describe("attempts to open a store anew", () => {
  it("come after twice as long each time that it fails at once again, up to a minute", () => {
    assert.deepEqual(waits(8, false), [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]);
  });

  it("come every second where it failed for want of space, so that it is back with the space", () => {
    assert.deepEqual(waits(5, true), [1_000, 1_000, 1_000, 1_000, 1_000]);
  });
});
