/**
 * What background work (hints, repair, transfer) may take, in bytes a second: all of it together, so that no sum of
 * well-paced parts takes the store away from its clients (design §6).
 *
 * A bucket of bytes fills at the present rate. Once a second, as long as somebody spends, the 99th percentile of the
 * clients' latencies is held against its own long-run course: well above it, the rate is halved; otherwise it grows
 * back. What is usual is learned and not set: a machine that is slow for good must not starve its repairs. With few
 * clients there is nobody to protect. The rate never falls below a floor, for repair that never ends is no repair.
 */
import assert from "node:assert/strict";
import { QuantileFollower } from "../core/quorum/latency.ts";
import type { Telemetry, Time } from "../ports.ts";

export type Budget = {
  /**
   * Resolves when so many bytes may be read, sent or written; callers go in turn. A part larger than what the bucket
   * holds is let through and paid for afterwards.
   *
   * @param bytes At least 0.
   */
  spend(bytes: number): Promise<void>;
};

export type ClientBudget = Budget & {
  /** Takes the latency of a client's request that was answered, in ms. */
  served(latencyMs: number): void;
  /** The present rate, in bytes a second. */
  rate(): number;
};

export type BudgetOptions = {
  /** Rate while clients do not suffer; larger: repair ends sooner, and weighs more on the clients until it is noticed. */
  readonly bytesPerSecondMax: number;
  /** Rate that is never taken away. */
  readonly bytesPerSecondMin: number;
};

const REVIEW_MS = 1_000;
/** Fewer answers between two reviews say nothing of a 99th percentile. */
const SAMPLES_MIN = 20;
const P99 = { quantile: 0.99, startMs: 10, minMs: 0.1, maxMs: 60_000 };
/** The 99th percentile is "well above its course" from this factor and this many ms on. */
const STRAIN_FACTOR = 2;
const STRAIN_MS = 2;
/** How quickly the long-run course takes on a higher 99th percentile, and a lower one. */
const COURSE_UP_MS = 600_000;
const COURSE_DOWN_MS = 60_000;
/** What is given back in each review, as a share of the highest rate. */
const GROWTH = 1 / 16;

/** @param ports `time` is asked when somebody spends, and wakes those who wait. */
export function createBudget(
  { time, telemetry }: { readonly time: Time; readonly telemetry: Telemetry },
  { bytesPerSecondMax, bytesPerSecondMin }: BudgetOptions,
): ClientBudget {
  assert(bytesPerSecondMin > 0 && bytesPerSecondMin <= bytesPerSecondMax, "a budget has a floor under its ceiling");
  const p99 = new QuantileFollower(P99);
  let samples = 0;
  let courseMs: number | undefined;
  let rate = bytesPerSecondMax;
  /** What may be spent at once; below 0 it is owed. */
  let balance = rate / 4;
  let filledMs = time.monotonicMs();
  let reviewedMs = filledMs;
  /** Ends when the last spender that came has been let through. */
  let turn: Promise<void> = Promise.resolve();
  let waiting = 0;
  telemetry.gauge("annulus.background.bytes_per_second", () => rate);

  function review(nowMs: number): void {
    const elapsedMs = nowMs - reviewedMs;
    if (elapsedMs < REVIEW_MS) return;
    reviewedMs = nowMs;
    const calm = samples < SAMPLES_MIN;
    samples = 0;
    if (!calm) {
      const seenMs = p99.estimateMs;
      courseMs ??= seenMs;
      if (seenMs > courseMs * STRAIN_FACTOR && seenMs > courseMs + STRAIN_MS) {
        rate = Math.max(bytesPerSecondMin, rate / 2);
        telemetry.count("annulus.background.held_back");
      } else grow(elapsedMs);
      const paceMs = seenMs > courseMs ? COURSE_UP_MS : COURSE_DOWN_MS;
      courseMs += (seenMs - courseMs) * Math.min(1, elapsedMs / paceMs);
    } else grow(elapsedMs);
  }

  function grow(elapsedMs: number): void {
    rate = Math.min(bytesPerSecondMax, rate + (bytesPerSecondMax * GROWTH * elapsedMs) / REVIEW_MS);
  }

  function fill(nowMs: number): void {
    balance = Math.min(rate / 4, balance + (rate * (nowMs - filledMs)) / 1_000);
    filledMs = nowMs;
  }

  /** Whether the next one may go; it then has paid. */
  function pay(bytes: number): boolean {
    const nowMs = time.monotonicMs();
    fill(nowMs);
    review(nowMs);
    if (balance < 0) return false;
    balance -= bytes;
    telemetry.count("annulus.background.bytes", bytes);
    return true;
  }

  async function wait(bytes: number): Promise<void> {
    while (!pay(bytes)) {
      // The rate may change meanwhile, so that a long wait is looked at again.
      const delayMs = Math.min(REVIEW_MS, Math.max(1, (-balance / rate) * 1_000));
      await new Promise<void>((resolve) => time.after(delayMs, resolve));
    }
  }

  return {
    spend(bytes) {
      if (waiting === 0 && pay(bytes)) return Promise.resolve();
      waiting += 1;
      turn = turn
        .then(() => wait(bytes))
        .finally(() => {
          waiting -= 1;
        });
      return turn;
    },
    served(latencyMs) {
      samples += 1;
      p99.add(latencyMs);
    },
    rate: () => rate,
  };
}
