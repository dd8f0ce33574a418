/**
 * When a store that failed is opened anew: soon, for most failures end with their cause. One that comes back soon after
 * does not, such as a damaged block that a compaction meets each time: between two attempts lies twice as long then, for
 * each of them clears caches and ends in writes whose outcome nobody knows.
 */

/** How long after a failure, or a failed attempt, the next attempt may be made, in ms. */
const INTERVAL_MS = 1_000;
const INTERVAL_MS_MAX = 60_000;
/** A store that takes writes for so long is well, in ms. */
const WELL_MS = 60_000;

/** Times are in ms since an arbitrary start, the same for all. */
export class Attempts {
  #intervalMs = INTERVAL_MS;
  #nextMs = Number.NEGATIVE_INFINITY;
  #openedMs = Number.NEGATIVE_INFINITY;

  /**
   * The store failed.
   *
   * @param isForSpace Whether for want of space, which is looked for before each attempt.
   */
  failed(nowMs: number, isForSpace: boolean): void {
    const isWell = nowMs - this.#openedMs > WELL_MS;
    this.#intervalMs = isWell || isForSpace ? INTERVAL_MS : Math.min(2 * this.#intervalMs, INTERVAL_MS_MAX);
    this.#nextMs = nowMs + this.#intervalMs;
  }

  /** Whether an attempt may be made now, which has begun then. */
  mayBegin(nowMs: number): boolean {
    if (nowMs < this.#nextMs) return false;
    this.#nextMs = nowMs + INTERVAL_MS;
    return true;
  }

  /** An attempt opened it. */
  opened(nowMs: number): void {
    this.#openedMs = nowMs;
  }
}
