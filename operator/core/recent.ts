/** Memory that forgets: an operator runs for months, and pods, machines and clusters come and go. */

/** Values by key, each kept for as long as it is used now and then. */
export class Recent<Value> {
  readonly #entries = new Map<string, { readonly value: Value; usedAtMs: number }>();
  readonly #clock: { monotonicMs(): number };
  readonly #keptMs: number;
  readonly #forget: (value: Value) => void;
  #sweptAtMs: number;

  /**
   * @param keptMs How long one is kept that nobody uses; up to twice as long, for all are looked through that seldom.
   * @param forget Is told of each that goes, or is replaced.
   */
  constructor(clock: { monotonicMs(): number }, keptMs: number, forget: (value: Value) => void = () => undefined) {
    this.#clock = clock;
    this.#keptMs = keptMs;
    this.#forget = forget;
    this.#sweptAtMs = clock.monotonicMs();
  }

  get size(): number {
    return this.#entries.size;
  }

  /** What is kept under a key; to ask is to use. */
  get(key: string): Value | undefined {
    const entry = this.#entries.get(key);
    if (entry !== undefined) entry.usedAtMs = this.#clock.monotonicMs();
    return entry?.value;
  }

  set(key: string, value: Value): void {
    const usedAtMs = this.#clock.monotonicMs();
    const before = this.#entries.get(key);
    if (before !== undefined) this.#forget(before.value);
    this.#entries.set(key, { value, usedAtMs });
    if (usedAtMs - this.#sweptAtMs >= this.#keptMs) this.#sweep(usedAtMs);
  }

  #sweep(nowMs: number): void {
    this.#sweptAtMs = nowMs;
    for (const [key, { value, usedAtMs }] of this.#entries) {
      if (nowMs - usedAtMs < this.#keptMs) continue;
      this.#entries.delete(key);
      this.#forget(value);
    }
  }
}
