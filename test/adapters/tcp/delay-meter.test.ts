import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import fc from "fast-check";
import { DelayMeter } from "../../../node/adapters/tcp/delay-meter.ts";

/** What the sender's clock shows when the receiver's shows `atMs`. */
type SenderClock = (atMs: number) => number;

/** Frames, each after a pause: some answer a question that was `askedAgoMs` under way to the sender. */
const FRAMES = fc.array(
  fc.record({
    pauseMs: fc.double({ min: 0, max: 20_000, noNaN: true }),
    tripMs: fc.oneof(fc.double({ min: 0.1, max: 5, noNaN: true }), fc.double({ min: 0.1, max: 9_000, noNaN: true })),
    askedAgoMs: fc.option(fc.double({ min: 0.1, max: 9_000, noNaN: true }), { nil: undefined }),
  }),
  { minLength: 1, maxLength: 30 },
);
const CLOCKS = fc.record({
  offsetMs: fc.double({ min: -1e10, max: 1e10, noNaN: true }),
  drift: fc.double({ min: -0.000_4, max: 0.000_4, noNaN: true }),
});

function senderClock({ offsetMs, drift }: { offsetMs: number; drift: number }): SenderClock {
  return (atMs) => Math.floor(offsetMs + atMs * (1 + drift)) >>> 0;
}

describe("the meter of delays", () => {
  it("never says less than a frame was under way, nor more than that and the quickest round trip with its drift", () => {
    fc.assert(
      fc.property(CLOCKS, FRAMES, fc.double({ min: 0.1, max: 9_000, noNaN: true }), (clocks, frames, helloMs) => {
        const sender = senderClock(clocks);
        const meter = new DelayMeter(0);
        let sentAtMs = helloMs;
        let arrivedMs = 0;
        const roundTrips: { readonly tookMs: number; readonly atMs: number }[] = [];
        for (const [index, frame] of frames.entries()) {
          sentAtMs += index === 0 ? 0 : frame.pauseMs;
          // Frames of one link arrive in the order in which they were sent.
          arrivedMs = Math.max(arrivedMs, sentAtMs + frame.tripMs);
          const sent = sender(sentAtMs);
          const askedMs = index === 0 ? 0 : frame.askedAgoMs === undefined ? undefined : sentAtMs - frame.askedAgoMs;
          if (askedMs !== undefined) {
            roundTrips.push({ tookMs: arrivedMs - askedMs, atMs: arrivedMs });
            if (index > 0) meter.answered(askedMs, sent, arrivedMs);
          }
          const found = meter.underWayMs(sent, arrivedMs);
          const truth = arrivedMs - sentAtMs;
          const driftMs = (arrivedMs + 20_000) * 0.001;
          assert(found >= truth - 2 - driftMs * 0.001, `said ${found} of ${truth} ms`);
          const slackMs = Math.min(...roundTrips.map(({ tookMs, atMs }) => tookMs + (arrivedMs - atMs) * 0.001));
          assert(found <= truth + slackMs + 3, `said ${found} of ${truth} ms, a round trip took ${slackMs}`);
        }
      }),
    );
  });

  it("takes the time since its question for the delay of the first frame, and less once an answer was quicker", () => {
    const meter = new DelayMeter(1_000);
    const first = meter.underWayMs(70, 6_000);
    assert(first >= 5_000 && first <= 5_002, `said ${first}`);
    meter.answered(6_000, 72, 6_002);
    const next = meter.underWayMs(80, 6_010);
    assert(next >= 0 && next <= 4, `said ${next}`);
  });

  it("believes a sender whose clock stood still again as soon as it has answered", () => {
    const meter = new DelayMeter(0);
    meter.underWayMs(500, 1);
    assert(meter.underWayMs(600, 60_101) >= 60_000);
    meter.answered(60_101, 602, 60_103);
    assert(meter.underWayMs(610, 60_111) <= 4);
  });

  it("goes on where the sender's clock begins again from zero after 2^32 ms", () => {
    const meter = new DelayMeter(0);
    meter.underWayMs(2 ** 32 - 10, 1);
    assert(meter.underWayMs(5, 16) <= 3);
    assert(meter.underWayMs(6, 2_016) >= 1_998);
  });
});
