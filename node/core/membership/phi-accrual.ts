/**
 * How much a member's silence should worry us: the phi accrual failure detector.
 *
 *     heartbeat ── interval ── heartbeat ── interval ── heartbeat ── silence ──> phi grows
 *
 * Phi is −log10 of the probability that a heartbeat comes this late or later, given how regularly they came so far. At
 * phi 8 one in 10^8 such silences would be a false alarm, were the intervals normally distributed; they are not (processes
 * are held up, packets are lost and sent again), so a pause that is ordinary is allowed for and the deviation has a
 * floor. Once something else speaks against the member as well, a connection that broke, nothing is allowed for.
 * Takes the time as an argument and knows of one member; who else suspects it is `view.ts`'s affair.
 * Source: Hayashibara et al. 2004, "The φ accrual failure detector", §4; the logistic approximation of the normal
 * distribution's tail is that of Akka's detector.
 */
import assert from "node:assert/strict";

export type PhiOptions = {
  /** Time between two heartbeats as configured, in ms: what is assumed before any came. */
  readonly intervalMs: number;
  /** Silence beyond the usual interval that is ordinary, in ms. Larger: fewer false alarms, later true ones. */
  readonly pauseMs: number;
  /** The least deviation that is assumed, in ms, however regularly heartbeats come. */
  readonly deviationMsMin: number;
};

/** Intervals that are remembered: old ones say little of the network as it is now. */
const WINDOW = 100;

/** One member's heartbeats, as they arrived here. */
export class PhiAccrual {
  readonly #options: PhiOptions;
  readonly #intervals = new Float64Array(WINDOW);
  #count = 0;
  #next = 0;
  #sum = 0;
  #sumOfSquares = 0;
  #heardMs: number;

  /** @param nowMs By a monotonic clock. Silence is counted from here on until the first heartbeat comes. */
  constructor(options: PhiOptions, nowMs: number) {
    this.#options = options;
    this.#heardMs = nowMs;
  }

  /** A heartbeat has arrived. */
  heard(nowMs: number): void {
    assert(nowMs >= this.#heardMs, "a monotonic clock never goes back");
    const { intervalMs, pauseMs } = this.#options;
    // A silence that was told apart as one says nothing of how regularly heartbeats come.
    const interval = Math.min(nowMs - this.#heardMs, intervalMs + pauseMs);
    this.#heardMs = nowMs;
    if (this.#count === WINDOW) {
      const oldest = this.#intervals[this.#next] as number;
      this.#sum -= oldest;
      this.#sumOfSquares -= oldest * oldest;
    } else {
      this.#count += 1;
    }
    this.#intervals[this.#next] = interval;
    this.#next = (this.#next + 1) % WINDOW;
    this.#sum += interval;
    this.#sumOfSquares += interval * interval;
  }

  /** Time in which nothing could have been heard, for this process itself was held up: it does not count as silence. */
  forgive(lateMs: number, nowMs: number): void {
    this.#heardMs = Math.min(nowMs, this.#heardMs + lateMs);
  }

  /**
   * @param isAccused Whether something else than silence speaks against the member.
   * @returns 0 or more; grows with silence, without bound.
   */
  phi(nowMs: number, isAccused: boolean): number {
    const { intervalMs, pauseMs, deviationMsMin } = this.#options;
    const mean = this.#count === 0 ? intervalMs : this.#sum / this.#count;
    const variance = this.#count === 0 ? 0 : Math.max(0, this.#sumOfSquares / this.#count - mean * mean);
    const deviation = Math.max(deviationMsMin, Math.sqrt(variance));
    const late = nowMs - this.#heardMs - mean - (isAccused ? 0 : pauseMs);
    return minusLog10OfTail(late / deviation);
  }
}

/** −log10 of the probability that a standard normal variable is above `y`. */
function minusLog10OfTail(y: number): number {
  const exponent = -y * (1.5976 + 0.070566 * y * y);
  // For a large exponent the tail is 1, for a very negative one it is e^exponent itself, which has no room in a double.
  if (exponent < -30) return -exponent / Math.LN10;
  const e = Math.exp(exponent);
  return -Math.log10(e / (1 + e));
}
