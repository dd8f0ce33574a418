/**
 * What may go wrong in a healthy program, as one family with stable codes.
 *
 * There are two kinds of error. An *answer* is a `KvError`: a client or a peer is told it. A *bug* is an
 * `assert` that failed: nobody catches it, the node stops rather than corrupt.
 */

/** Stable names of every answer; `adapters/http/problem.ts` maps each to a status, exhaustively. */
export type ErrorCode =
  | "INVALID_REQUEST"
  | "INVALID_CONTEXT"
  | "UNAUTHENTICATED"
  | "FORBIDDEN"
  | "NOT_FOUND"
  | "METHOD_NOT_ALLOWED"
  | "CONFLICT"
  | "PRECONDITION_FAILED"
  | "TOO_LARGE"
  | "OVERLOADED"
  | "NOT_READY"
  | "QUORUM_UNAVAILABLE"
  | "QUORUM_LOST"
  | "TIMED_OUT"
  | "STORAGE_FULL"
  | "STORAGE_FAILED"
  | "PEER_UNREACHABLE"
  | "STALE_RING"
  | "CHANGE_REFUSED";

/** All of them: for who is told one by somebody that may be a release ahead. */
export const ERROR_CODES: Readonly<Record<ErrorCode, true>> = {
  INVALID_REQUEST: true,
  INVALID_CONTEXT: true,
  UNAUTHENTICATED: true,
  FORBIDDEN: true,
  NOT_FOUND: true,
  METHOD_NOT_ALLOWED: true,
  CONFLICT: true,
  PRECONDITION_FAILED: true,
  TOO_LARGE: true,
  OVERLOADED: true,
  NOT_READY: true,
  QUORUM_UNAVAILABLE: true,
  QUORUM_LOST: true,
  TIMED_OUT: true,
  STORAGE_FULL: true,
  STORAGE_FAILED: true,
  PEER_UNREACHABLE: true,
  STALE_RING: true,
  CHANGE_REFUSED: true,
};

/** Whether what was asked may still take effect: "unknown" only when a replica may hold the write. */
export type Outcome = "none" | "unknown";

/** Figures and tokens that go with an error, where they apply. */
export type ErrorDetails = {
  /** Acknowledgements that the request asked for. */
  readonly required?: number;
  /** Acknowledgements that had come when the request was given up. */
  readonly acknowledged?: number;
  /** Whole seconds after which a repetition may succeed. */
  readonly retryAfterS?: number;
  /** Context token of the siblings that a client could not be shown. */
  readonly context?: string;
  /** What the replies that came stood on; see `Receipt`. */
  readonly receipt?: Receipt;
};

/** What an answer stands on. Sent as `KV-Receipt`. */
export type Receipt = {
  /** Replicas that acknowledged (a write) or answered (a read), and counted. */
  readonly acks: number;
  /** Replicas that were asked. */
  readonly asked: number;
  /** Distinct zones among those that counted. */
  readonly zones: number;
  /** Those among `acks` that hold the write as a hint for somebody else. */
  readonly hinted: number;
  /** `os`: with the operating system of each; `disk`: flushed to the disk of each. */
  readonly durability: Durability;
};

export type Durability = "os" | "disk";

/** Something that a client or peer is told. Message form: *Cannot X: what was expected, what was found.* */
export class KvError extends Error {
  readonly code: ErrorCode;
  readonly outcome: Outcome;
  readonly details: ErrorDetails;

  /**
   * @param code Stable name of the answer.
   * @param message A sentence for a person: what could not be done, what was expected, what was found.
   * @param options `outcome` is "none" unless a replica may hold the write; `cause` is kept for the log.
   */
  constructor(
    code: ErrorCode,
    message: string,
    options: { outcome?: Outcome; details?: ErrorDetails; cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "KvError";
    this.code = code;
    this.outcome = options.outcome ?? "none";
    this.details = options.details ?? {};
  }
}
