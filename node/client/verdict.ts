/**
 * What a client makes of an answer, or of none: whether to repeat, where and after how long. Pure.
 *
 * A repetition carries the same Idempotency-Key and is the same event wherever it arrives, so that a write may be
 * repeated whatever became of it. So may one with `If-None-Match: *`: nodes know the value that it finds for its own.
 */

export type Attempted =
  | { readonly kind: "answered"; readonly status: number; readonly type: string; readonly outcome: string | undefined }
  | {
      readonly kind: "silent";
      readonly isUnsent: boolean;
      readonly isNobodyThere: boolean;
      readonly isUnasked: boolean;
    };

export type Verdict = {
  /** `settled`: any node would say so; `elsewhere`: another node, at once; `later`: the cluster needs a moment. */
  readonly next: "settled" | "elsewhere" | "later";
  /** Nothing was asked of the node, so that another request in its place adds nothing to the load. */
  readonly isFree: boolean;
  /** The node is passed over for a while. */
  readonly isAway: boolean;
  /** A replica may hold the write. */
  readonly isUnknown: boolean;
};

const SETTLED: Verdict = { next: "settled", isFree: false, isAway: false, isUnknown: false };

/** Judges one attempt. */
export function judge(attempted: Attempted): Verdict {
  if (attempted.kind === "silent") {
    const { isUnsent, isNobodyThere, isUnasked } = attempted;
    return { next: "elsewhere", isFree: isNobodyThere || isUnasked, isAway: !isUnasked, isUnknown: !isUnsent };
  }
  const { status, type, outcome } = attempted;
  const isUnknown = status >= 500 && outcome !== "none";
  if (status === 429 || status === 408) return { next: "elsewhere", isFree: false, isAway: status === 429, isUnknown };
  if (status < 500) return SETTLED;
  if (type === "annulus:NOT_READY") return { next: "elsewhere", isFree: false, isAway: true, isUnknown };
  if (status === 503 || status === 504) return { next: "later", isFree: false, isAway: false, isUnknown };
  return { next: "elsewhere", isFree: false, isAway: false, isUnknown };
}

const PAUSE_MS_FIRST = 25;
const PAUSE_MS_MAX = 1_000;

/**
 * The pause before one more attempt, in ms: doubled each time, with random spread so that clients do not come in step.
 *
 * @param attempts Made so far, at least 1.
 * @param random 0 .. 1.
 */
export function pauseMs(attempts: number, random: number): number {
  return Math.min(PAUSE_MS_MAX, PAUSE_MS_FIRST * 2 ** Math.min(attempts - 1, 10)) * (0.5 + random / 2);
}

/** How long a node is passed over that failed so many times in a row, in ms: doubled each time, with random spread. */
export function awayMs(failures: number, random: number): number {
  return Math.min(10_000, 250 * 2 ** Math.min(failures - 1, 10)) * (0.5 + random / 2);
}
