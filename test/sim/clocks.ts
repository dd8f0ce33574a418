/** How far clocks were from the true time, and when: what a value's end by somebody's clock may have been. */

/** What the drift of a clock makes of a run at most. */
const DRIFT_MS_MAX = 200;

export class Clocks {
  readonly #settings: { readonly of: object; readonly fromMs: number; untilMs: number; readonly skewMs: number }[] = [];

  /** @param of Who has the clock. @param skewMs How far it was set ahead of the true time; negative: behind. */
  note(of: object, skewMs: number, atMs: number): void {
    const before = this.#settings.findLast((setting) => setting.of === of);
    if (before !== undefined) before.untilMs = atMs;
    this.#settings.push({ of, fromMs: atMs, untilMs: Number.POSITIVE_INFINITY, skewMs: Math.abs(skewMs) });
  }

  /** How far at most any clock was from the true time in a span, in ms. */
  skewMs(fromMs: number, untilMs: number): number {
    let most = 0;
    for (const setting of this.#settings)
      if (setting.fromMs <= untilMs && setting.untilMs >= fromMs) most = Math.max(most, setting.skewMs);
    return most + DRIFT_MS_MAX;
  }
}
