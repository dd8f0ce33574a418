import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { createHeldUpWatch } from "../../../node/adapters/http/held-up.ts";
import { createTestTime } from "../../contract/http-world.ts";

function createWorld() {
  const time = createTestTime();
  const watch = createHeldUpWatch(time);
  const isWaking = () => watch.isWaking(time.monotonicMs());
  /** Runs on time for so long. */
  const run = (durationMs: number) => {
    for (let passedMs = 0; passedMs < durationMs; passedMs += 100) time.advance(100);
  };
  return { time, watch, isWaking, run };
}

describe("the watch over a process that may stand still", () => {
  it("says nothing of a process that runs, nor of one that is a little late", () => {
    const { time, isWaking, run } = createWorld();
    run(60_000);
    assert.equal(isWaking(), false);
    for (const lateMs of [150, 500, 1_000]) {
      time.advance(lateMs);
      assert.equal(isWaking(), false, `${lateMs} ms late`);
    }
  });

  it("knows of a standstill by the tick that comes late, until what waited has been read", () => {
    const { time, isWaking, run } = createWorld();
    run(1_000);
    time.advance(20_000);
    assert.equal(isWaking(), true);
    run(400);
    assert.equal(isWaking(), true);
    run(200);
    assert.equal(isWaking(), false);
  });

  it("knows of it by a request that is read before any tick came", () => {
    const { time, watch, run } = createWorld();
    run(1_000);
    // What the request's handler sees: time has passed, and no timer has run yet.
    const nowMs = time.monotonicMs() + 20_000;
    assert.equal(watch.isWaking(nowMs), true);
    assert.equal(watch.isWaking(nowMs + 499), true);
    assert.equal(watch.isWaking(nowMs + 500), false);
  });

  it("keeps no timer once it is stopped", () => {
    const { time, watch, run } = createWorld();
    run(300);
    watch.stop();
    assert.equal(time.waiting, 0);
  });
});
