/** Coordinates one client request: who is asked, what counts, when to answer. */
import type { Receipt } from "../core/errors.ts";
import type { Mode } from "../core/ring/document.ts";
import type { Sibling } from "../core/version/record.ts";

/** Per-request choices; what is undefined comes from the ring document and the configuration. */
export type RequestOptions = {
  /** Replies that a read waits for, 1 .. N. */
  readonly readQuorum?: number | undefined;
  /** Acknowledgements that a write waits for, 1 .. N. */
  readonly writeQuorum?: number | undefined;
  readonly mode?: Mode | undefined;
  /** The acknowledgements that count must come from at least this many zones. */
  readonly zones?: number | undefined;
  readonly timeoutMs?: number | undefined;
};

/** What a write replaces. A context is the token as the client sent it. */
export type Base = { readonly context: string } | "overwrite" | "sibling";

export type PutCommand = {
  readonly key: Uint8Array;
  /** Owned by the callee from here on. */
  readonly value: Uint8Array;
  readonly contentType: string;
  readonly base: Base;
  readonly ttlS?: number | undefined;
  /** Client's Idempotency-Key, 1 .. 64 bytes. */
  readonly idempotencyKey?: Uint8Array | undefined;
  /** `If-None-Match: *`. */
  readonly onlyIfAbsent?: boolean | undefined;
};

export type DeleteCommand = {
  readonly key: Uint8Array;
  /** Undefined is a blind delete: it deletes what a read would see now. */
  readonly context?: string | undefined;
  readonly idempotencyKey?: Uint8Array | undefined;
};

export type ReadAnswer = {
  /**
   * What a client is shown, in the order that is the same on every node: empty when the key was never written;
   * only tombstones (or one) when it is deleted; equal concurrent values once.
   */
  readonly siblings: readonly Sibling[];
  /** Token of everything the read saw; undefined when the key was never written. */
  readonly context: string | undefined;
  readonly receipt: Receipt;
};

export type WriteAnswer = {
  /** Token that covers exactly what was written and what it replaced. */
  readonly context: string;
  readonly receipt: Receipt;
};

/** The data API behind HTTP. Every method rejects with a `KvError` and with nothing else but a failed assertion. */
export type Coordinator = {
  get(key: Uint8Array, options: RequestOptions): Promise<ReadAnswer>;
  put(command: PutCommand, options: RequestOptions): Promise<WriteAnswer>;
  delete(command: DeleteCommand, options: RequestOptions): Promise<WriteAnswer>;
};
