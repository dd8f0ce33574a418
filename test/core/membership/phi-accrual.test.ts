/** Phi grows with silence, allows for what is ordinary, and for nothing once something else speaks against a member. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import fc from "fast-check";
import { PhiAccrual } from "../../../node/core/membership/phi-accrual.ts";

const OPTIONS = { intervalMs: 1_000, pauseMs: 3_000, deviationMsMin: 500 };

/** A detector that heard a heartbeat after each of the intervals, the last one at the time that is returned. */
function heardAfter(intervals: readonly number[]): { detector: PhiAccrual; nowMs: number } {
  const detector = new PhiAccrual(OPTIONS, 0);
  let nowMs = 0;
  for (const interval of intervals) {
    nowMs += interval;
    detector.heard(nowMs);
  }
  return { detector, nowMs };
}

describe("phi", () => {
  it("is next to nothing while heartbeats come, and passes 8 within 7 s of silence at an interval of 1 s", () => {
    const { detector, nowMs } = heardAfter(Array(50).fill(1_000));
    assert(detector.phi(nowMs + 1_000, false) < 0.1);
    assert(detector.phi(nowMs + 4_500, false) < 2, "a pause of 3 s and a lost heartbeat are ordinary");
    assert(detector.phi(nowMs + 7_000, false) > 8);
  });

  it("allows for no pause once something else speaks against the member", () => {
    const { detector, nowMs } = heardAfter(Array(50).fill(1_000));
    assert(detector.phi(nowMs + 4_000, true) > 8);
    assert(detector.phi(nowMs + 1_000, true) < 1);
  });

  it("grows without bound and never becomes infinite or falls", () => {
    const { detector, nowMs } = heardAfter(Array(10).fill(1_000));
    let before = 0;
    for (let silence = 0; silence < 100_000_000; silence = silence * 2 + 500) {
      const phi = detector.phi(nowMs + silence, false);
      assert(Number.isFinite(phi) && phi >= before, `phi after ${silence} ms: ${phi}`);
      before = phi;
    }
    assert(before > 1_000);
  });

  it("does not count time that is forgiven", () => {
    const { detector, nowMs } = heardAfter(Array(50).fill(1_000));
    detector.forgive(60_000, nowMs + 60_500);
    assert(detector.phi(nowMs + 60_500, false) < 0.1);
    assert(detector.phi(nowMs + 67_000, false) > 8);
  });

  it("is not blinded by a long silence in the past", () => {
    const { detector, nowMs } = heardAfter([...Array(30).fill(1_000), 600_000, ...Array(5).fill(1_000)]);
    assert(detector.phi(nowMs + 8_500, false) > 8);
  });

  it("follows heartbeats that come rarely, and remembers the last hundred intervals only", () => {
    const { detector, nowMs } = heardAfter([...Array(200).fill(1_000), ...Array(100).fill(2_000)]);
    const fresh = heardAfter(Array(100).fill(2_000));
    for (const silence of [1_000, 5_000, 8_000]) {
      const [old, young] = [detector.phi(nowMs + silence, false), fresh.detector.phi(fresh.nowMs + silence, false)];
      assert(Math.abs(old - young) < 1e-6, `${old} and ${young}`);
    }
  });

  it("never falls while there is only silence, whatever came before", () => {
    const property = fc.property(
      fc.array(fc.integer({ min: 1, max: 5_000 }), { maxLength: 150 }),
      fc.array(fc.integer({ min: 0, max: 3_000 }), { minLength: 2, maxLength: 20 }),
      fc.boolean(),
      (intervals, steps, isAccused) => {
        const { detector, nowMs } = heardAfter(intervals);
        let atMs = nowMs;
        let before = 0;
        for (const step of steps) {
          atMs += step;
          const phi = detector.phi(atMs, isAccused);
          assert(phi >= before);
          assert(phi <= detector.phi(atMs, true), "an accused member is worrying sooner");
          before = phi;
        }
      },
    );
    fc.assert(property);
  });
});
