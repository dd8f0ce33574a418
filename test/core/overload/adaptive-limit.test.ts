/** The limit, on servers whose capacity is known: it lets in about what they can do, and hardly more. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import fc from "fast-check";
import { AdaptiveLimit, type RequestEnd } from "../../../node/core/overload/adaptive-limit.ts";

type Server = {
  /** Requests that it serves at once. */
  readonly slots: number;
  /** How long one takes there. */
  readonly serviceMs: (startMs: number, index: number) => number;
};

type Load = { readonly perSecond: (nowMs: number) => number; readonly untilMs: number; readonly timeoutMs: number };

type Outcome = { readonly atMs: number; readonly tookMs: number; readonly end: RequestEnd | "shed" };

const OPTIONS = { min: 4, start: 128, max: 1_024, timeoutMs: 1_000 };

/** An open load on a first-come-first-served server behind a limit: what became of every request. */
function outcomesOf(server: Server, load: Load, limit = new AdaptiveLimit(OPTIONS)): Outcome[] {
  const outcomes: Outcome[] = [];
  const freeAtMs = new Array<number>(server.slots).fill(0);
  /** Ends to come, ascending. */
  const ends: { readonly startedMs: number; readonly atMs: number; readonly end: RequestEnd }[] = [];
  const leaveUntil = (nowMs: number) => {
    for (let next = ends[0]; next !== undefined && next.atMs <= nowMs; next = ends[0]) {
      ends.shift();
      limit.leave(next.startedMs, next.atMs, next.end);
      outcomes.push({ atMs: next.atMs, tookMs: next.atMs - next.startedMs, end: next.end });
    }
  };
  let index = 0;
  for (let nowMs = 0; nowMs < load.untilMs; nowMs += 1_000 / load.perSecond(nowMs)) {
    leaveUntil(nowMs);
    if (!limit.tryEnter()) {
      outcomes.push({ atMs: nowMs, tookMs: 0, end: "shed" });
      continue;
    }
    const slot = freeAtMs.indexOf(Math.min(...freeAtMs));
    const beginMs = Math.max(nowMs, freeAtMs[slot] as number);
    const doneMs = beginMs + server.serviceMs(beginMs, index++);
    freeAtMs[slot] = doneMs;
    const isLate = doneMs - nowMs > load.timeoutMs;
    const atMs = isLate ? nowMs + load.timeoutMs : doneMs;
    const before = ends.findLastIndex((other) => other.atMs <= atMs);
    ends.splice(before + 1, 0, { startedMs: nowMs, atMs, end: isLate ? "expired" : "served" });
  }
  return outcomes;
}

/** Of an interval: what was served in a second, its 99th percentile, and the share that was shed. */
function figures(outcomes: readonly Outcome[], fromMs: number, untilMs: number) {
  const within = outcomes.filter(({ atMs }) => atMs >= fromMs && atMs < untilMs);
  const served = within.filter(({ end }) => end === "served");
  const latencies = served.map(({ tookMs }) => tookMs).sort((a, b) => a - b);
  return {
    perSecond: (served.length / (untilMs - fromMs)) * 1_000,
    p99Ms: latencies[Math.floor(latencies.length * 0.99)] ?? 0,
    shed: within.filter(({ end }) => end === "shed").length / within.length,
    expired: within.filter(({ end }) => end === "expired").length,
  };
}

const constant = (perSecond: number) => () => perSecond;
/** A service time about a mean, the same for the same index. */
const about = (meanMs: number) => (_: number, index: number) => meanMs * (0.5 + ((index * 7_919) % 101) / 100);

describe("an adaptive limit under three times the load that a server can bear", () => {
  it.each([
    { slots: 1, meanMs: 1 },
    { slots: 1, meanMs: 20 },
    { slots: 4, meanMs: 5 },
    { slots: 32, meanMs: 40 },
    { slots: 200, meanMs: 100 },
  ])("keeps $slots slots of $meanMs ms busy, the wait short, and nothing runs out of time", ({ slots, meanMs }) => {
    const capacity = (slots / meanMs) * 1_000;
    const load = { perSecond: constant(capacity * 3), untilMs: 60_000, timeoutMs: 1_000 };
    const outcomes = outcomesOf({ slots, serviceMs: about(meanMs) }, load);
    const { perSecond, p99Ms, shed, expired } = figures(outcomes, 10_000, 60_000);
    assert(perSecond > capacity * 0.9, `${perSecond.toFixed(0)} of ${capacity} are served`);
    const boundMs = Math.max(6 * meanMs, 8 / (capacity / 1_000), 250 + 3 * meanMs);
    assert(p99Ms < boundMs, `p99 is ${p99Ms.toFixed(1)} ms, expected under ${boundMs}`);
    assert(shed > 0.6 && shed < 0.72, `${shed} are shed`);
    assert.equal(expired, 0);
  });

  it("finds its value within seconds, also when the node begins in the middle of it", () => {
    const load = { perSecond: constant(3_000), untilMs: 10_000, timeoutMs: 1_000 };
    const outcomes = outcomesOf({ slots: 4, serviceMs: about(4) }, load);
    const { perSecond, p99Ms } = figures(outcomes, 2_000, 10_000);
    assert(perSecond > 850 && p99Ms < 250, `${perSecond} a second, p99 ${p99Ms} ms`);
  });
});

describe("an adaptive limit", () => {
  it("sheds nothing of a load that the server can bear", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 50 }),
        fc.integer({ min: 1, max: 50 }),
        fc.double({ min: 0.1, max: 0.7, noNaN: true }),
        (slots, meanMs, share) => {
          const perSecond = constant((slots / meanMs) * 1_000 * share);
          const outcomes = outcomesOf(
            { slots, serviceMs: about(meanMs) },
            { perSecond, untilMs: 5_000, timeoutMs: 1_000 },
          );
          assert.equal(outcomes.filter(({ end }) => end === "shed").length, 0);
        },
      ),
      { numRuns: 30 },
    );
  });

  it("lets all in again when the load has gone back", () => {
    const perSecond = (nowMs: number) => (nowMs < 10_000 ? 3_000 : 700);
    const outcomes = outcomesOf({ slots: 4, serviceMs: about(4) }, { perSecond, untilMs: 20_000, timeoutMs: 1_000 });
    assert.equal(figures(outcomes, 11_000, 20_000).shed, 0);
  });

  it("takes it for granted, after a probe, that each request takes ten times as long when none waits for another", () => {
    const serviceMs = (atMs: number, index: number) => about(atMs < 10_000 ? 4 : 40)(atMs, index);
    const outcomes = outcomesOf(
      { slots: 400, serviceMs },
      { perSecond: constant(2_000), untilMs: 30_000, timeoutMs: 1_000 },
    );
    const meanwhile = figures(outcomes, 10_000, 15_000);
    assert(meanwhile.shed < 0.5, `${meanwhile.shed} are shed at first`);
    assert.equal(figures(outcomes, 15_000, 30_000).shed, 0);
  });

  it("is not moved by a third of the requests that take a hundred times as long, for one replica of three is slow", () => {
    const serviceMs = (atMs: number, index: number) => (atMs > 5_000 && index % 3 === 0 ? 400 : about(4)(atMs, index));
    const outcomes = outcomesOf(
      { slots: 1_000, serviceMs },
      { perSecond: constant(1_000), untilMs: 20_000, timeoutMs: 1_000 },
    );
    assert.equal(figures(outcomes, 0, 20_000).shed, 0);
  });

  it("lowers the limit when everything runs out of time, and not for clients that wait less than a request takes", () => {
    const silent = { slots: 2_000, serviceMs: () => 60_000 };
    const impatient = new AdaptiveLimit(OPTIONS);
    outcomesOf(
      { slots: 200, serviceMs: about(50) },
      { perSecond: constant(100), untilMs: 5_000, timeoutMs: 1_000 },
      impatient,
    );
    outcomesOf(
      { slots: 200, serviceMs: about(50) },
      { perSecond: constant(100), untilMs: 5_000, timeoutMs: 5 },
      impatient,
    );
    assert(impatient.limit >= OPTIONS.start);
    const limit = new AdaptiveLimit(OPTIONS);
    outcomesOf(
      { slots: 200, serviceMs: about(5) },
      { perSecond: constant(500), untilMs: 2_000, timeoutMs: 1_000 },
      limit,
    );
    outcomesOf(silent, { perSecond: constant(500), untilMs: 5_000, timeoutMs: 1_000 }, limit);
    assert(limit.limit < 100, `${limit.limit}`);
  });

  it("stays within its bounds, and counts who is in work, whatever comes", () => {
    const event = fc.tuple(
      fc.boolean(),
      fc.nat({ max: 2_000 }),
      fc.constantFrom<RequestEnd>("served", "expired", "refused"),
    );
    fc.assert(
      fc.property(fc.array(event, { maxLength: 500 }), (events) => {
        const limit = new AdaptiveLimit({ min: 2, start: 10, max: 20, timeoutMs: 1_000 });
        const started: number[] = [];
        let nowMs = 0;
        for (const [enters, durationMs, end] of events) {
          nowMs += durationMs / 10;
          if (enters) {
            const { isFull } = limit;
            assert.equal(limit.tryEnter(), !isFull);
            if (!isFull) started.push(nowMs);
          } else {
            const startedMs = started.shift();
            if (startedMs !== undefined) limit.leave(startedMs, nowMs, end);
          }
          assert.equal(limit.inFlight, started.length);
          assert(limit.limit >= 1 && limit.limit <= 20, `${limit.limit}`);
        }
      }),
    );
  });
});
