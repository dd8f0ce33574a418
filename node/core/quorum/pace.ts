/**
 * Which members answer much later than the others: those are asked last, so that one slow disk does not make every read
 * that meets it wait for a hedge.
 *
 * Of each member the median of its answers' times is followed. A member is *slow* while its median is several times that
 * of the quickest. It takes dozens of late answers to become slow, so that a pause is none, and a single one in time to be
 * ordinary again. Who is slow is hardly asked any more; every so many reads one asks it as if it were not, to learn whether
 * it still is. Source: the dynamic snitch of Apache Cassandra, and Suresh et al. 2015 ("C3"), both made simpler.
 */
import type { MemberId } from "../ring/document.ts";
import { QuantileFollower } from "./latency.ts";

const MEDIAN = { quantile: 0.5, startMs: 1, minMs: 0.05, maxMs: 60_000 };
/** Slow is a median of more than so many times the quickest member's, and so many ms. */
const SLOW_FACTOR = 3;
const SLOW_MS = 5;
/** Answers between two looks at who is slow. */
const REVIEW_ANSWERS = 32;
/** One read of so many asks a slow member as if it were not; far fewer than one in a hundred, for p99's sake. */
const TRIED_OF_READS = 256;

/** Follows how quickly each member answers. */
export class Pace {
  readonly #medians = new Map<MemberId, QuantileFollower>();
  readonly #slow = new Set<MemberId>();
  #untilReview = REVIEW_ANSWERS;

  /** Members that are slow at present. */
  get slowCount(): number {
    return this.#slow.size;
  }

  /** The median that is followed of each member, in ms. */
  medians(): ReadonlyMap<MemberId, number> {
    return new Map([...this.#medians].map(([member, { estimateMs }]) => [member, estimateMs]));
  }

  /** Takes the time of one answer, or of one that did not come in time. */
  add(member: MemberId, latencyMs: number): void {
    let median = this.#medians.get(member);
    if (median === undefined) {
      median = new QuantileFollower({
        ...MEDIAN,
        startMs: Math.max(MEDIAN.minMs, Math.min(MEDIAN.startMs, latencyMs)),
      });
      this.#medians.set(member, median);
    }
    if (this.#slow.has(member) && latencyMs <= this.#boundMs()) {
      this.#slow.delete(member);
      this.#medians.delete(member);
      return;
    }
    median.add(latencyMs);
    this.#untilReview -= 1;
    if (this.#untilReview === 0) this.#review();
  }

  isSlow(member: MemberId): boolean {
    return this.#slow.size > 0 && this.#slow.has(member);
  }

  /** As `isSlow`, but for one in many reads, chosen by its draw: that one finds out. */
  isAvoided(member: MemberId, draw: number): boolean {
    return this.isSlow(member) && draw % TRIED_OF_READS !== 0;
  }

  #boundMs(): number {
    let quickestMs = Number.POSITIVE_INFINITY;
    for (const { estimateMs } of this.#medians.values()) quickestMs = Math.min(quickestMs, estimateMs);
    return quickestMs * SLOW_FACTOR + SLOW_MS;
  }

  #review(): void {
    this.#untilReview = REVIEW_ANSWERS;
    const boundMs = this.#boundMs();
    this.#slow.clear();
    for (const [member, { estimateMs }] of this.#medians) if (estimateMs > boundMs) this.#slow.add(member);
  }
}
