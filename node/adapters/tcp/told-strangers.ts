/** Which strangers a log line was written for: one for each way in which each was refused, and not more than so many an hour. */

/** Past it they are only counted, until the memory of them starts anew. */
const REMEMBERED_MAX = 1_024;
/** A stranger may say another name each time: more lines than those are not written within so long. */
const REMEMBERED_MS = 3_600_000;

/** Nobody is told of at first. */
export class ToldStrangers {
  readonly #told = new Set<string>();
  #sinceMs = 0;

  /** Whether a line is to be written for this one, which then is remembered. */
  isNews(stranger: string, nowMs: number): boolean {
    if (this.#told.has(stranger)) return false;
    if (this.#told.size >= REMEMBERED_MAX) {
      if (nowMs - this.#sinceMs < REMEMBERED_MS) return false;
      this.#told.clear();
    }
    if (this.#told.size === 0) this.#sinceMs = nowMs;
    this.#told.add(stranger);
    return true;
  }
}
