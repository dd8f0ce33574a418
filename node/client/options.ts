/** What a caller may choose: for a client once, and for each call. Durations and counts are checked before anything goes by them. */
import type { Mode } from "../core/ring/document.ts";
import type { ClientTls } from "./http.ts";
import type { Content, Sibling } from "./values.ts";

/** Text (UTF-8) or bytes, 1 .. 1_024 bytes. */
export type Key = string | Uint8Array;

/** Makes one value of several; `undefined`, or one that is a deletion: there is none (all of them count as deleted). */
export type Resolve = (siblings: readonly Sibling[]) => Content | undefined;

/** What is undefined is as if it had been left out. */
export type ClientOptions = {
  /** Data API of one or several nodes, or of their Service; the other members are found from there. */
  readonly urls: readonly string[];
  /** The zone of this program: homes there are preferred. */
  readonly zone?: string | undefined;
  /** Settles siblings where a call brings no function of its own. */
  readonly resolve?: Resolve | undefined;
  /** How long a call may take, repetitions included, in ms (5_000). */
  readonly timeoutMs?: number | undefined;
  /** How long one attempt may go without an answer before another node is asked, in ms (1_500). */
  readonly attemptTimeoutMs?: number | undefined;
  /** Attempts of one call at most (10). */
  readonly attemptsMax?: number | undefined;
  /**
   * Share of calls that may be repeated in the long run, besides ten a second (0.2); 0: none is. What no node had any work
   * of (nobody was there, or no connection was free) is tried elsewhere all the same, up to `attemptsMax`.
   */
  readonly retryRatio?: number | undefined;
  /** Share of reads that may ask a second node when the first is later than usual, besides one a second (0.1); 0: none. */
  readonly hedgeRatio?: number | undefined;
  /** Connections to each node at once (64). */
  readonly connectionsMax?: number | undefined;
  readonly tls?: ClientTls | undefined;
  /** Bearer token, where the cluster asks for one. */
  readonly token?: string | undefined;
};

/** Choices for one call; what is not said comes from the cluster. */
export type RequestOptions = {
  readonly r?: number | undefined;
  readonly w?: number | undefined;
  /** Short for `r` and `w`; not together with them. */
  readonly consistency?: "one" | "quorum" | "all" | undefined;
  readonly mode?: Mode | undefined;
  readonly zones?: number | undefined;
  /** How long the node may try, in ms: `timeout=` of the API. */
  readonly nodeTimeoutMs?: number | undefined;
  /** How long the call may take, repetitions included, in ms. */
  readonly timeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
};

export type GetOptions = RequestOptions & { readonly resolve?: Resolve | undefined };

export type WriteOptions = RequestOptions & {
  /**
   * What the write replaces: a token, or whatever carries one (`Found`, `Written`, `Reading`). A `Reading` of a key that was
   * never written has seen nothing: a put with it replaces nothing,
   * and a delete, for which there is nothing to stand on, is blind.
   */
  readonly context?: string | { readonly context: string | undefined } | undefined;
  /**
   * Names the write, 1 to 64 bytes; sent again by another call, it is the same write, and what that call says otherwise is
   * dropped without an error. A random one when absent.
   */
  readonly idempotencyKey?: string | undefined;
};

export type PutOptions = WriteOptions & {
  /** The value counts as deleted after so many whole seconds. */
  readonly ttlSeconds?: number | undefined;
  /** What a write without a context does (`overwrite`; `sibling` with a `Reading` that saw nothing). */
  readonly blind?: "overwrite" | "sibling" | undefined;
  /** Refuses (PRECONDITION_FAILED) when a read finds a value that is not this very write's. */
  readonly ifAbsent?: boolean | undefined;
};

export type UpdateOptions = GetOptions & Pick<PutOptions, "ttlSeconds">;

/** The numbers of a client, none of them left open. */
export type Settled = {
  readonly timeoutMs: number;
  readonly attemptTimeoutMs: number;
  readonly attemptsMax: number;
  readonly retryRatio: number;
  readonly hedgeRatio: number;
  readonly connectionsMax: number;
};

/** The longest that a timer can wait, in ms; whoever asks for more, or for `Infinity`, means "as long as it takes". */
const TIMER_MS_MAX = 2 ** 31 - 1;

/**
 * The numbers by which a client goes.
 *
 * @throws {TypeError} One of them can be none: a call would then end at once, or never.
 */
export function settledOf(options: ClientOptions): Settled {
  const { timeoutMs = 5_000, attemptTimeoutMs = 1_500, attemptsMax = 10 } = options;
  const { retryRatio = 0.2, hedgeRatio = 0.1, connectionsMax = 64 } = options;
  return {
    timeoutMs: timeOf("timeoutMs", timeoutMs),
    attemptTimeoutMs: timeOf("attemptTimeoutMs", attemptTimeoutMs),
    attemptsMax: checked("attemptsMax", attemptsMax, "a number from 1 up", attemptsMax >= 1),
    retryRatio: checked("retryRatio", retryRatio, "a number from 0 up", retryRatio >= 0),
    hedgeRatio: checked("hedgeRatio", hedgeRatio, "a number from 0 up", hedgeRatio >= 0),
    connectionsMax: checked(
      "connectionsMax",
      connectionsMax,
      "a whole number from 1 up",
      Number.isSafeInteger(connectionsMax) && connectionsMax >= 1,
    ),
  };
}

/**
 * How long a call may take, in ms, as a timer can wait for it. What is 0 or less is over: a caller may have reckoned so.
 *
 * @throws {TypeError} It is no number.
 */
export function callTimeOf(timeoutMs: number): number {
  return Math.min(TIMER_MS_MAX, checked("timeoutMs", timeoutMs, "a number of ms", !Number.isNaN(timeoutMs)));
}

function timeOf(name: string, ms: number): number {
  return Math.min(TIMER_MS_MAX, checked(name, ms, "a number of ms above 0", ms > 0));
}

function checked(name: string, value: number, expected: string, isFit: boolean): number {
  if (typeof value === "number" && isFit) return value;
  throw new TypeError(`Cannot use the option ${name}: expected ${expected}, found ${String(value)}.`);
}
