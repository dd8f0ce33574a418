/** That a node gave no answer, and whether the request can have reached it. Apart, so that who only tells it loads no HTTP. */

const NOBODY_CODES: ReadonlySet<string> = new Set([
  "ECONNREFUSED",
  "ENOTFOUND",
  "EAI_AGAIN",
  "EHOSTUNREACH",
  "ENETUNREACH",
]);

const NO_TLS = "it may speak no TLS, and its URL begin with http://";
const NOT_TRUSTED = "its certificate is of no authority that is trusted here; name the one that it is of";
/** What may be wrong where the system's code alone is a riddle. */
const HINTS: ReadonlyMap<string, string> = new Map([
  ["EPROTO", NO_TLS],
  ["ERR_SSL_WRONG_VERSION_NUMBER", NO_TLS],
  ["DEPTH_ZERO_SELF_SIGNED_CERT", NOT_TRUSTED],
  ["SELF_SIGNED_CERT_IN_CHAIN", NOT_TRUSTED],
  ["UNABLE_TO_GET_ISSUER_CERT", NOT_TRUSTED],
  ["UNABLE_TO_GET_ISSUER_CERT_LOCALLY", NOT_TRUSTED],
  ["UNABLE_TO_VERIFY_LEAF_SIGNATURE", NOT_TRUSTED],
]);

/** No answer came: the connection was refused, broke, or nothing was heard for too long. */
export class NoAnswerError extends Error {
  readonly url: string;
  /** Whether the request cannot have reached the node. */
  readonly isUnsent: boolean;
  /** Whether there is nobody, by the word of the system: no node had any work of it, not even a handshake. */
  readonly isNobodyThere: boolean;
  /** Whether the node had no part in it: the request waited for one of this program's own connections. */
  readonly isUnasked: boolean = false;
  /** What happened, without the URL: a code such as ECONNREFUSED, or words. */
  readonly why: string;

  /** @param isStarted Whether the request had a connection to go over; where that is not known, what the system says counts. */
  constructor(url: string, cause: Error & { code?: string; syscall?: string }, isStarted?: boolean) {
    const { code, syscall } = cause;
    const why = code === undefined || code.startsWith("UND_ERR_") ? cause.message : code;
    const hint = HINTS.get(code ?? "");
    super(`${url} does not answer: ${why}${hint === undefined ? "" : ` (${hint})`}`, { cause });
    this.name = "NoAnswerError";
    this.url = url;
    this.why = why;
    // A connection that was there says the same when its way is gone; the request may have arrived before.
    const isConnection = syscall === "read" || syscall === "write";
    this.isNobodyThere = isStarted !== true && !isConnection && NOBODY_CODES.has(code ?? "");
    this.isUnsent = isStarted === undefined ? this.isNobodyThere : !isStarted;
  }
}

/** The request was not sent: those that were before it had all connections to the node until its time was over. */
export class NotAskedError extends NoAnswerError {
  override readonly isUnasked = true;

  constructor(url: string, connectionsMax: number) {
    const which = connectionsMax === 1 ? "the 1 connection to it was" : `all ${connectionsMax} connections to it were`;
    const why = `${which} in use; ask less at once, or raise connectionsMax`;
    super(url, new Error(why), false);
    this.name = "NotAskedError";
    this.message = `${url} was not asked: ${why}`;
  }
}
