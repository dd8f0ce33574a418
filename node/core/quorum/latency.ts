/**
 * Follows a high quantile of a stream of latencies, for hedged reads: "later than usual" is later than this.
 *
 * Each sample moves the estimate up by a step times the quantile, or down by a step times the rest, so that it rests
 * where that share of samples lies under it (stochastic approximation, Robbins and Monro 1951; as a quantile
 * follower: Ma, Muthukrishnan and Sandler 2013, "Frugal streaming"). One number of state, no allocation.
 */

/** A quantile of a stream of latencies, in ms, as one number that each sample moves. */
export class QuantileFollower {
  readonly #quantile: number;
  readonly #minMs: number;
  readonly #maxMs: number;
  #estimateMs: number;

  /**
   * @param options `quantile` in 0 .. 1; the estimate stays within `minMs` .. `maxMs` and begins at `startMs`.
   */
  constructor(options: {
    readonly quantile: number;
    readonly startMs: number;
    readonly minMs: number;
    readonly maxMs: number;
  }) {
    this.#quantile = options.quantile;
    this.#minMs = options.minMs;
    this.#maxMs = options.maxMs;
    this.#estimateMs = options.startMs;
  }

  get estimateMs(): number {
    return this.#estimateMs;
  }

  /** Takes one latency in ms. */
  add(sampleMs: number): void {
    // A step in proportion to the estimate follows both 1 ms and 1 s within about a hundred samples.
    const stepMs = this.#estimateMs * 0.1;
    const moved = sampleMs > this.#estimateMs ? stepMs * this.#quantile : -stepMs * (1 - this.#quantile);
    this.#estimateMs = Math.min(this.#maxMs, Math.max(this.#minMs, this.#estimateMs + moved));
  }
}
