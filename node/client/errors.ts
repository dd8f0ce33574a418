/** What may go wrong with a request of the client library, as one family with stable codes. */
import { ERROR_CODES, type ErrorCode, type Outcome } from "../core/errors.ts";
import type { Sibling } from "./values.ts";

/** What a node says of itself, or of bytes that were no request to it. */
type WireCode = "BUG" | "MALFORMED" | "REQUEST_TIMEOUT" | "EXPECTATION_FAILED" | "HEADERS_TOO_LARGE";

/** The nodes' own codes, and those of the client: no node answered; siblings and no way to settle; `close` was called. */
export type ClientErrorCode = ErrorCode | WireCode | "UNREACHABLE" | "SIBLINGS" | "CLOSED";

const NODES_CODES: Readonly<Record<ErrorCode | WireCode, true>> = {
  ...ERROR_CODES,
  BUG: true,
  MALFORMED: true,
  REQUEST_TIMEOUT: true,
  EXPECTATION_FAILED: true,
  HEADERS_TOO_LARGE: true,
};

/** Whether a text is a code of nodes that this library knows: a newer node may have others. */
export function isNodesCode(text: string): text is ErrorCode | WireCode {
  return Object.hasOwn(NODES_CODES, text);
}

export type ClientErrorDetails = {
  /** HTTP status of the last answer; undefined when there was none. */
  readonly status?: number | undefined;
  /** "unknown": a replica may hold the write, and it can surface later. */
  readonly outcome?: Outcome;
  /** The member that answered last. */
  readonly node?: string | undefined;
  /** Requests that were sent, or tried to be. */
  readonly attempts?: number;
  /** Acknowledgements that were asked for, and those that came. */
  readonly required?: number | undefined;
  readonly acknowledged?: number | undefined;
  /** Context of what the answer showed, where it had one. */
  readonly context?: string | undefined;
  /** Name of the write that was not done. */
  readonly idempotencyKey?: string | undefined;
  readonly cause?: unknown;
};

/** A request that was not done. `code` says why, `outcome` whether it may still take effect. */
export class AnnulusError extends Error {
  readonly code: ClientErrorCode;
  readonly status: number | undefined;
  readonly outcome: Outcome;
  readonly node: string | undefined;
  readonly attempts: number;
  readonly required: number | undefined;
  readonly acknowledged: number | undefined;
  readonly context: string | undefined;
  /** Of a write its name, given or random: sent again with it, it stays one write. */
  readonly idempotencyKey: string | undefined;

  constructor(code: ClientErrorCode, message: string, details: ClientErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = new.target.name;
    this.code = code;
    this.status = details.status;
    this.outcome = details.outcome ?? "none";
    this.node = details.node;
    this.attempts = details.attempts ?? 0;
    this.required = details.required;
    this.acknowledged = details.acknowledged;
    this.context = details.context;
    this.idempotencyKey = details.idempotencyKey;
  }
}

/** A key has siblings, and neither the call nor the client has a `resolve` for them. */
export class SiblingsError extends AnnulusError {
  readonly siblings: readonly Sibling[];

  constructor(siblings: readonly Sibling[], context: string | undefined, node: string | undefined) {
    const message = `Cannot give one value: the key has ${siblings.length} siblings; give a resolve function.`;
    super("SIBLINGS", message, { context, node, status: 300, attempts: 1 });
    this.siblings = siblings;
  }
}
