/** What the examples of this folder have in common: three replicas, and writes in one line each. */
import { EMPTY_CONTEXT } from "../../../node/core/version/context.ts";
import type { CausalContext, Dot, EventKind, KvRecord, Sibling } from "../../../node/core/version/record.ts";
import { type StampBase, type Stamped, stampWrite } from "../../../node/core/version/stamp.ts";

export const A = "a0".repeat(16);
export const B = "b0".repeat(16);
export const C = "c0".repeat(16);
export const NOW_MS = 1_760_000_000_000;

export function dot(actor: string, counter: number, incarnation = 1): Dot {
  return { actor, incarnation, counter };
}

export function bytes(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text));
}

export const OVERWRITE: StampBase = { kind: "overwrite" };
export const SIBLING: StampBase = { kind: "sibling" };

export function withContext(context: CausalContext): StampBase {
  return { kind: "context", context };
}

export type WriteOptions = {
  readonly base?: StampBase;
  readonly value?: string | undefined;
  readonly contentType?: string;
  readonly expiresAtMs?: number;
  readonly event?: string;
  readonly kind?: EventKind;
  readonly nowMs?: number;
  readonly siblingsMax?: number;
  readonly siblingBytesMax?: number;
};

/** Stamps one write; without options a blind overwrite with the dot's counter as its value. */
export function write(record: KvRecord | undefined, at: Dot, options: WriteOptions = {}): Stamped {
  const { base = OVERWRITE, contentType = "text/plain", expiresAtMs, event, kind = "client", nowMs = NOW_MS } = options;
  const value = "value" in options ? options.value : `value ${at.counter}`;
  return stampWrite({
    record,
    dot: at,
    base,
    content: { value: value === undefined ? undefined : bytes(value), contentType, expiresAtMs },
    event: event === undefined ? undefined : { kind, id: bytes(event) },
    nowMs,
    limits: { siblingsMax: options.siblingsMax ?? 50, siblingBytesMax: options.siblingBytesMax ?? 1_000 },
  });
}

/** Values as text; a tombstone is "deleted". */
export function texts(siblings: readonly Sibling[]): readonly string[] {
  return siblings.map(({ value }) => (value === undefined ? "deleted" : Buffer.from(value).toString()));
}

export const NEVER_WRITTEN: KvRecord = { context: EMPTY_CONTEXT, eventsSeen: [], siblings: [], events: [] };
