/**
 * How long a frame of one link was under way at most, by clocks that share neither zero nor rate.
 *
 * Each frame says when its sender wrote it, by the sender's clock. What stands for "at once" comes of a question of
 * this side and its answer: the answer was under way for no longer than both together, so the moment of its sending
 * lies at least that little before its arrival. A later frame was under way for at most what its own difference of
 * the two clocks exceeds that one by. Comparing frames only with each other would not do: the first ones of a link may
 * all have waited in the same cut. Clocks drift, so what is known grows worse slowly, until the next answer.
 * A deadline that travels as a duration needs this, or a request that was held for a minute would be served as if it
 * had just been sent. Source of the idea: the bound on an offset by a round trip, Cristian, "Probabilistic clock
 * synchronization" (1989), section 3.
 */

/** Fastest that two clocks may drift apart, in ms for each ms. */
const DRIFT_MAX = 0.000_5;
/** Times of senders are whole ms. */
const ROUNDING_MS = 1;

/** Meters one sender, from every frame that comes of it. */
export class DelayMeter {
  /** The least that receiver's minus sender's clock may be, modulo 2^32, as of `#knownMs`. */
  #leastMs: number | undefined;
  #knownMs = 0;
  #answeredMs: number;
  readonly #askedMs: number;

  /** @param askedMs When this side said what the sender's first frame answers, by this node's monotonic clock. */
  constructor(askedMs: number) {
    this.#askedMs = askedMs;
    this.#answeredMs = askedMs;
  }

  /** When the last answer came, by this node's monotonic clock; before the first, when it was asked for. */
  get answeredMs(): number {
    return this.#answeredMs;
  }

  /**
   * Takes one frame.
   *
   * @param sentMs When it was written, by the sender's monotonic clock: whole ms modulo 2^32.
   * @param receivedMs When it was read, by this node's monotonic clock.
   * @returns How long it was under way at most, in ms, at least 0.
   */
  underWayMs(sentMs: number, receivedMs: number): number {
    if (this.#leastMs === undefined) this.answered(this.#askedMs, sentMs, receivedMs);
    const differenceMs = (Math.floor(receivedMs) - sentMs) | 0;
    const underWayMs = this.#above(differenceMs, receivedMs);
    if (underWayMs >= 0) return underWayMs;
    this.#leastMs = differenceMs; // No frame comes before it was sent: a clock went on faster, or slept.
    this.#knownMs = receivedMs;
    return 0;
  }

  /**
   * Takes a frame that answers a question of this side; `underWayMs` takes it, too.
   *
   * @param askedMs When the question was written, by this node's monotonic clock.
   */
  answered(askedMs: number, sentMs: number, receivedMs: number): void {
    const differenceMs = (Math.floor(receivedMs) - sentMs) | 0;
    const bothWaysMs = Math.ceil(receivedMs - askedMs) + ROUNDING_MS;
    this.#answeredMs = receivedMs;
    if (this.#leastMs !== undefined && this.#above(differenceMs, receivedMs) <= bothWaysMs) return;
    this.#leastMs = (differenceMs - bothWaysMs) | 0;
    this.#knownMs = receivedMs;
  }

  #above(differenceMs: number, nowMs: number): number {
    return ((differenceMs - (this.#leastMs ?? 0)) | 0) + (nowMs - this.#knownMs) * DRIFT_MAX;
  }
}
