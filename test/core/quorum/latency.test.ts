/** The follower of a quantile rests where that share of the samples lies under it. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import fc from "fast-check";
import { QuantileFollower } from "../../../node/core/quorum/latency.ts";

const follower = () => new QuantileFollower({ quantile: 0.95, startMs: 10, minMs: 1, maxMs: 1_000 });

describe("a quantile follower", () => {
  it("comes to rest near the 95th of a hundred evenly spread latencies", () => {
    const p95 = follower();
    // A full period of a generator modulo 101, so that every latency from 1 to 100 ms comes equally often.
    let sampleMs = 1;
    for (let i = 0; i < 5_000; i++) {
      sampleMs = (sampleMs * 2) % 101;
      p95.add(sampleMs);
    }
    assert.ok(p95.estimateMs > 80 && p95.estimateMs < 110, `${p95.estimateMs} ms`);
  });

  it("stays within its bounds whatever comes", () => {
    fc.assert(
      fc.property(fc.array(fc.double({ min: 0, max: 1e9, noNaN: true })), (samples) => {
        const p95 = follower();
        for (const sample of samples) {
          p95.add(sample);
          assert.ok(p95.estimateMs >= 1 && p95.estimateMs <= 1_000);
        }
      }),
    );
  });
});
