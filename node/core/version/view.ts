/**
 * What a client is shown of a record: the concurrent values in an order that is the same on every node.
 *
 * Shown is what stands (closure.ts), each event once, equal concurrent values once, expired values as the tombstones
 * that they have become, and one tombstone for all. Nothing here changes the record; the context that goes with the
 * view covers everything in it, also what is not shown, so that a write with it settles all of it.
 */
import { equalBytes } from "../bytes.ts";
import { oncePerEvent, standingSiblings } from "./closure.ts";
import { compareDots, EMPTY_CONTEXT } from "./context.ts";
import type { CausalContext, KvRecord, Sibling } from "./record.ts";

export type RecordView = {
  /** By the time they were written, then by dot. Empty when the key was never written. */
  readonly siblings: readonly Sibling[];
  /** Everything that the record covers. */
  readonly context: CausalContext;
};

const NOTHING: RecordView = { siblings: [], context: EMPTY_CONTEXT };

/** Whether the sibling is a deletion, or a value whose time has come. */
export function isTombstone(sibling: Sibling, nowMs: number): boolean {
  return sibling.value === undefined || (sibling.expiresAtMs !== undefined && nowMs >= sibling.expiresAtMs);
}

/**
 * The view of a record at an instant.
 *
 * @param nowMs Wall clock, ms since 1970: decides which values have expired.
 */
export function viewRecord(record: KvRecord | undefined, nowMs: number): RecordView {
  if (record === undefined) return NOTHING;
  const only = record.siblings[0];
  if (only === undefined || record.siblings.length === 1) {
    const isShownAsHeld = only === undefined || only.value === undefined || !isTombstone(only, nowMs);
    return { siblings: isShownAsHeld ? record.siblings : [expired(only)], context: record.context };
  }
  const shown: Sibling[] = [];
  for (const sibling of displayOrder(oncePerEvent(standingSiblings(record), record.events))) {
    const now = sibling.value !== undefined && isTombstone(sibling, nowMs) ? expired(sibling) : sibling;
    if (!shown.some((earlier) => looksEqual(earlier, now))) shown.push(now);
  }
  return { siblings: shown, context: record.context };
}

function expired(sibling: Sibling): Sibling {
  return { ...sibling, value: undefined };
}

function displayOrder(siblings: readonly Sibling[]): readonly Sibling[] {
  return siblings.toSorted((a, b) => a.writtenAtMs - b.writtenAtMs || compareDots(a.dot, b.dot));
}

function looksEqual(a: Sibling, b: Sibling): boolean {
  if (a.value === undefined || b.value === undefined) return a.value === b.value;
  return a.contentType === b.contentType && equalBytes(a.value, b.value);
}
