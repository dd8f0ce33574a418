/**
 * How often checkers held a run to what was promised, and how often something excused it: a check that is always excused shows
 * nothing, and no run would say so.
 */
export class Tally {
  readonly #times = new Map<string, number>();

  count(what: string): void {
    this.#times.set(what, (this.#times.get(what) ?? 0) + 1);
  }

  /** Names and how often. */
  get times(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.#times);
  }
}
