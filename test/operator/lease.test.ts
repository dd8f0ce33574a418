import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import fc from "fast-check";
import { type LeaseState, leads, NO_LEASE, renewed, stepLease } from "../../operator/core/lease.ts";

const TIMES = { durationMs: 15_000, renewDeadlineMs: 10_000 };

describe("a lease", () => {
  it("is made by the first, kept by renewals, and left alone by others meanwhile", () => {
    const a = { ...TIMES, identity: "a" };
    const b = { ...TIMES, identity: "b" };
    assert.equal(stepLease(NO_LEASE, undefined, 0, a).move, "create");
    assert.equal(stepLease(NO_LEASE, { holder: "a", transitions: 0, mark: "1" }, 5, a).move, "renew");
    const seen = stepLease(NO_LEASE, { holder: "a", transitions: 0, mark: "1" }, 0, b);
    assert.equal(seen.move, "none");
    assert.equal(stepLease(seen.state, { holder: "a", transitions: 0, mark: "2" }, 15_000, b).move, "none");
  });

  it("is taken when it has been seen unchanged for its duration, or was given up", () => {
    const b = { ...TIMES, identity: "b" };
    const seen = stepLease(NO_LEASE, { holder: "a", transitions: 0, mark: "1" }, 1_000, b).state;
    assert.equal(stepLease(seen, { holder: "a", transitions: 0, mark: "1" }, 15_999, b).move, "none");
    assert.equal(stepLease(seen, { holder: "a", transitions: 0, mark: "1" }, 16_000, b).move, "take");
    assert.equal(stepLease(seen, { holder: "", transitions: 0, mark: "2" }, 1_001, b).move, "take");
  });

  it("never has two who may act, whatever the order of looks, with writes that conflict and clocks that differ", () => {
    const identities = ["a", "b", "c"];
    const moves = fc.array(fc.record({ who: fc.nat(2), waitMs: fc.nat(9_000), isLost: fc.boolean() }), {
      maxLength: 200,
    });
    fc.assert(
      fc.property(moves, (looks) => {
        let nowMs = 0;
        let stored: { holder: string; transitions: number; mark: string } | undefined;
        const states: LeaseState[] = [NO_LEASE, NO_LEASE, NO_LEASE];
        const offsets = [0, 1_000_000, -77];
        for (const { who, waitMs, isLost } of looks) {
          nowMs += waitMs;
          const options = { ...TIMES, identity: identities[who] as string };
          const ownMs = nowMs + (offsets[who] as number);
          const step = stepLease(states[who] as LeaseState, stored, ownMs, options);
          states[who] = step.state;
          if (step.move !== "none" && !isLost) {
            const mark: string = String(Number(stored?.mark ?? 0) + 1);
            stored = { holder: options.identity, transitions: 0, mark };
            states[who] = renewed(step.state, mark, ownMs);
          }
          const leaders = identities.filter((identity, index) =>
            leads(states[index] as LeaseState, nowMs + (offsets[index] as number), { ...TIMES, identity }),
          );
          assert.ok(leaders.length <= 1, `at once: ${leaders.join(", ")}`);
        }
      }),
      { numRuns: 500 },
    );
  });
});
