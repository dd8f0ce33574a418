/**
 * How many requests a client may add to those that it was asked for: a bucket of tokens.
 *
 * Each request of the caller puts a part of a token in, each repetition takes a whole one out; besides, a few tokens come
 * in each second, so that a client that asks seldom may repeat, too. When everything fails the repetitions are then a
 * fixed share of the load and not a multiple of it: a cluster that is short of breath is not pushed under by those who
 * try again. After Finagle's RetryBudget and gRPC's retry throttling (proposal A6). Pure: times are given.
 */

export type BudgetOptions = {
  /** Tokens that one request puts in: the share of requests that may be repeated for long, 0 .. 1. */
  readonly ratio: number;
  /** Tokens that come in each second, whatever is asked. */
  readonly perSecond: number;
  /** The most that is kept; what a burst of failures may take at once. The bucket begins full. */
  readonly tokensMax: number;
};

/** One bucket. Instants are ms of a monotonic clock. */
export class Budget {
  readonly #options: BudgetOptions;
  #tokens: number;
  #atMs: number;

  constructor(options: BudgetOptions, nowMs: number) {
    this.#options = options;
    this.#tokens = options.tokensMax;
    this.#atMs = nowMs;
  }

  /** What is in it. */
  get tokens(): number {
    return this.#tokens;
  }

  /** One request of the caller was begun. */
  deposit(): void {
    this.#add(this.#options.ratio);
  }

  /** Takes a token for one more request, if there is one. */
  tryWithdraw(nowMs: number): boolean {
    this.#add((Math.max(0, nowMs - this.#atMs) / 1000) * this.#options.perSecond);
    this.#atMs = Math.max(this.#atMs, nowMs);
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }

  #add(tokens: number): void {
    this.#tokens = Math.min(this.#options.tokensMax, this.#tokens + tokens);
  }
}
