/** Monotonic clocks: of each start of a process, with a zero of its own. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { createSeededRandom } from "./random.ts";
import { drawMonotonicMs, Simulator } from "./simulator.ts";

describe("the monotonic clock of a simulated process", () => {
  it("goes on from what it was drawn to show when the process started, at the rate of its machine", async () => {
    const simulator = new Simulator();
    await simulator.runUntil(5_000);
    const clock = { wallSkewMs: 0, driftPpm: 1_000 };
    const time = simulator.timeOf(simulator.createProcess("node"), clock, 2 ** 32 - 500);
    assert.equal(Math.round(time.monotonicMs()), 2 ** 32 - 500);
    await simulator.runUntil(6_000);
    assert.equal(Math.round(time.monotonicMs()), 2 ** 32 + 501);
  });

  it("is drawn near its start, anywhere within hours, or about to pass 2^32 ms", () => {
    const random = createSeededRandom(1);
    const drawn = Array.from({ length: 100 }, () => drawMonotonicMs(random));
    assert(drawn.some((ms) => ms <= 2_000) && drawn.some((ms) => ms > 2_000 && ms <= 10_000_000));
    assert(drawn.some((ms) => ms > 2 ** 32 - 100_001 && ms <= 2 ** 32));
    assert(drawn.every((ms) => ms > 0));
  });
});
