/**
 * How long frames of one link were under way beyond the quickest: the part of a delay that clocks which differ cannot
 * hide.
 *
 * Each frame says when its sender wrote it, by a clock that shares neither zero nor rate with the receiver's. The
 * smallest difference of the two seen so far stands for "at once"; what a frame exceeds it by, it spent waiting: in a
 * network that was cut, in the socket of a process that was held up. Clocks drift, so the smallest is let rise slowly.
 * A deadline that travels as a duration needs this, or a request that was held for a minute would be served as if it
 * had just been sent. Source of the idea: one-way delay variation, RFC 3393.
 */

/** Fastest that two clocks may drift apart, in ms for each ms. */
const DRIFT_MAX = 0.000_5;
/** A jump of this many ms is no delay: the sender's counter went round, or its machine slept. */
const JUMP_MS = 2 ** 30;

/** Meters one sender, from every frame that comes of it. */
export class DelayMeter {
  #leastMs: number | undefined;
  #measuredMs = 0;

  /**
   * Takes one frame.
   *
   * @param sentMs When it was written, by the sender's monotonic clock: whole ms modulo 2^32.
   * @param receivedMs When it was read, by this node's monotonic clock.
   * @returns How much longer it was under way than the quickest, in ms, at least 0.
   */
  excessMs(sentMs: number, receivedMs: number): number {
    const differenceMs = (Math.floor(receivedMs) - sentMs) | 0;
    const leastMs = this.#leastMs;
    if (leastMs === undefined || Math.abs(differenceMs - leastMs) >= JUMP_MS || differenceMs < leastMs) {
      this.#leastMs = differenceMs;
      this.#measuredMs = receivedMs;
      return 0;
    }
    const risenMs = leastMs + (receivedMs - this.#measuredMs) * DRIFT_MAX;
    this.#leastMs = Math.min(risenMs, differenceMs);
    this.#measuredMs = receivedMs;
    return Math.max(0, differenceMs - risenMs);
  }
}
