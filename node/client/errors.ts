/** What may go wrong with a request of the client library, as one family with stable codes. */
import type { ErrorCode, Outcome } from "../core/errors.ts";
import type { Sibling } from "./values.ts";

/** The nodes' own codes, and those of the client: no node answered; siblings and no way to settle; `close` was called. */
export type ClientErrorCode = ErrorCode | "UNREACHABLE" | "SIBLINGS" | "CLOSED";

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
