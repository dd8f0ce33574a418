/**
 * Errors as clients see them: RFC 9457 problem documents.
 *
 * One exhaustive table maps every `ErrorCode` to its status, so that a new code does not compile until somebody has
 * chosen one. A second, small table holds what goes wrong before a request is a request at all (malformed bytes,
 * headers that never end); it has codes of its own because no service may ever throw them. Nothing here writes to a
 * socket: see `respond.ts`.
 */
import { type ErrorCode, KvError, type Receipt } from "../../core/errors.ts";

type ProblemKind = {
  readonly status: number;
  readonly title: string;
  /** Whole seconds for `Retry-After` when the error itself names none; undefined: the header is not sent. */
  readonly retryAfterS?: number;
  /** For `WWW-Authenticate` (RFC 6750 §3). */
  readonly challenge?: string;
};

/** Status and title of every answer of the services. */
export const PROBLEMS: Readonly<Record<ErrorCode, ProblemKind>> = {
  INVALID_REQUEST: { status: 400, title: "The request is not valid" },
  INVALID_CONTEXT: { status: 400, title: "The context token is not valid" },
  UNAUTHENTICATED: { status: 401, title: "The request needs a token", challenge: 'Bearer realm="annulus"' },
  FORBIDDEN: {
    status: 403,
    title: "The token does not give this right",
    challenge: 'Bearer realm="annulus", error="insufficient_scope"',
  },
  NOT_FOUND: { status: 404, title: "There is nothing here" },
  METHOD_NOT_ALLOWED: { status: 405, title: "The method is not allowed here" },
  CONFLICT: { status: 409, title: "The request conflicts with what is stored" },
  PRECONDITION_FAILED: { status: 412, title: "The condition of the request does not hold" },
  TOO_LARGE: { status: 413, title: "The pair is too large" },
  OVERLOADED: { status: 429, title: "This node sheds load", retryAfterS: 1 },
  NOT_READY: { status: 503, title: "This node does not serve now", retryAfterS: 1 },
  QUORUM_UNAVAILABLE: { status: 503, title: "Not enough replicas can be reached", retryAfterS: 1 },
  QUORUM_LOST: { status: 503, title: "Not enough replicas acknowledged", retryAfterS: 1 },
  TIMED_OUT: { status: 504, title: "The request timed out" },
  STORAGE_FULL: { status: 507, title: "There is no disk space" },
  STORAGE_FAILED: { status: 500, title: "This node's store failed" },
  // Members tell each other these two and coordinators act on them; a client could only do what it does on any 503.
  PEER_UNREACHABLE: { status: 503, title: "A member could not be reached", retryAfterS: 1 },
  STALE_RING: { status: 503, title: "The members do not agree on the ring yet", retryAfterS: 1 },
  CHANGE_REFUSED: { status: 409, title: "The ring cannot be changed so now" },
};

/** What may go wrong while bytes are not a request yet, or stopped becoming one. */
export type WireCode = "MALFORMED" | "REQUEST_TIMEOUT" | "EXPECTATION_FAILED" | "HEADERS_TOO_LARGE";

/** Status and title of errors on the wire. After each of them the connection is closed. */
export const WIRE_PROBLEMS: Readonly<Record<WireCode, ProblemKind>> = {
  MALFORMED: { status: 400, title: "The bytes are not an HTTP request" },
  REQUEST_TIMEOUT: { status: 408, title: "The request did not arrive in time" },
  EXPECTATION_FAILED: { status: 417, title: "The expectation cannot be met" },
  HEADERS_TOO_LARGE: { status: 431, title: "The request line and headers are too long" },
};

/** A request that could not be received. The client is told and its connection closed. */
export class WireError extends Error {
  readonly code: WireCode;

  constructor(code: WireCode, message: string) {
    super(message);
    this.name = "WireError";
    this.code = code;
  }
}

/** What an error becomes on the wire. */
export type Problem = {
  readonly status: number;
  /** Names and values in turn; without the ones every answer has. */
  readonly headers: readonly string[];
  /** JSON, UTF-8. */
  readonly body: string;
  /** Undefined where no replica was asked. */
  readonly receipt: Receipt | undefined;
  /** Acknowledgements that came; for the receipt where there is none. */
  readonly acknowledged: number;
};

/** Renders an error. Only statuses from 500 on carry `KV-Outcome`: below, nothing was ever attempted. */
export function problemOf(error: KvError | WireError): Problem {
  if (error instanceof WireError) {
    const { status, title } = WIRE_PROBLEMS[error.code];
    const body = JSON.stringify({ type: `annulus:${error.code}`, title, status, detail: error.message });
    return { status, headers: [], body, receipt: undefined, acknowledged: 0 };
  }
  const { status, title, retryAfterS, challenge } = PROBLEMS[error.code];
  const { required, acknowledged, context, receipt } = error.details;
  const headers: string[] = [];
  const retry = error.details.retryAfterS ?? retryAfterS;
  if (retry !== undefined && (status === 429 || status === 503)) headers.push("Retry-After", String(retry));
  if (challenge !== undefined) headers.push("WWW-Authenticate", challenge);
  if (status >= 500) headers.push("KV-Outcome", error.outcome);
  if (context !== undefined) headers.push("KV-Context", context);
  // Members that are undefined are left out by JSON.stringify.
  const body = JSON.stringify({
    type: `annulus:${error.code}`,
    title,
    status,
    detail: error.message,
    required,
    acknowledged,
  });
  return { status, headers, body, receipt, acknowledged: acknowledged ?? 0 };
}

/** Two answers that are part of an ordinary day; an `Error` with its stack for each would cost more than the read. */
export const NEVER_WRITTEN = problemOf(
  new KvError("NOT_FOUND", "Cannot find the key: expected a value, found that it was never written."),
);
export const DELETED = problemOf(
  new KvError("NOT_FOUND", "Cannot find the key: expected a value, found that it was deleted."),
);

/**
 * The answer to a bug: says that it is one and nothing of its insides. A store that broke mid-way may hold a write,
 * hence the outcome.
 */
export const BUG_PROBLEM: Problem = {
  status: 500,
  headers: ["KV-Outcome", "unknown"],
  body: JSON.stringify({
    type: "annulus:BUG",
    title: "This node has a bug",
    status: 500,
    detail: "Cannot answer: the node met a state that it takes for impossible; it stops and its log says more.",
  }),
  receipt: undefined,
  acknowledged: 0,
};

/**
 * The headers of an error.
 *
 * @param identity What every answer of this server carries, names and values in turn.
 */
export function problemHeaders(identity: readonly string[], problem: Problem): string[] {
  return [
    "Content-Type",
    "application/problem+json",
    "Content-Length",
    String(Buffer.byteLength(problem.body)),
    "Cache-Control",
    "no-store",
    ...identity,
    ...problem.headers,
  ];
}

/** Shortens what a client sent for a message, so that an error is never larger than its cause. */
export function quote(found: string): string {
  return JSON.stringify(found.length <= 64 ? found : `${found.slice(0, 61)}...`);
}

/** An INVALID_REQUEST in the house's form: *Cannot X: expected Y, found Z.* */
export function invalid(message: string): KvError {
  return new KvError("INVALID_REQUEST", message);
}
