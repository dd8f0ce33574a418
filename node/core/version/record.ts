/**
 * What a replica holds for one key: concurrent values with their dots, and the causal past they stand on.
 *
 * Source: dotted version vector sets (Preguiça et al. 2010, Almeida et al. 2014) read as a causal store of two
 * dot-maps (siblings, write events) under a causal context each, so that merge is the join of a lattice: commutative,
 * associative, idempotent, whatever the order, number and age of the records that arrive.
 *
 * Invariants of a record, kept by `stampWrite` and `mergeRecords` and checked by the codec:
 * - every dot that `context` covers is a live sibling, or was replaced by a write that is covered too;
 * - every event whose dot `eventsSeen` covers is in `events`, or was dropped on purpose while stamping;
 * - siblings are covered by `context`, events by `eventsSeen`, and `eventsSeen` claims no more than `context`.
 *
 * The two contexts differ only while a replica has stamped a write whose client knew more than the replica did: it
 * then knows *of* those writes (they are replaced), but not under which idempotency keys they were sent. With one context for
 * both, merging would take every such key for one that was dropped, and a late retry would replace its own successor.
 */
import { compareBytes, equalBytes } from "../bytes.ts";
import { compareDots, contextDescends, covers, joinContexts } from "./context.ts";
import { mergeVectors, type VersionVector, vectorDescends } from "./vector.ts";

/** 32 hex digits, the id of a data directory. */
export type ActorId = string;

/** Name of one write event, made by the replica that stamped it. Counters grow over all keys of an actor. */
export type Dot = { readonly actor: ActorId; readonly incarnation: number; readonly counter: number };

/** A causal past: all dots at or under the vector's entries, and `dots` above them. */
export type CausalContext = {
  readonly vector: VersionVector;
  /** In dot order, none at or under the vector's entry. */
  readonly dots: readonly Dot[];
};

/** One of the concurrent values of a key; without `value` a tombstone. Never changed once made. */
export type Sibling = {
  readonly dot: Dot;
  readonly value: Uint8Array | undefined;
  readonly contentType: string;
  /** Wall clock of the replica that stamped it, ms since 1970. Shown to people, never used for ordering writes. */
  readonly writtenAtMs: number;
  /** From this instant the value is a tombstone of the same dot; undefined is never. */
  readonly expiresAtMs: number | undefined;
};

export type EventKind = "client" | "forward";

/** Longest idempotency key or forward id. */
export const EVENT_ID_BYTES_MAX = 64;

/** Remembers which write a client's key (or a coordinator's forward id) named, also after it was replaced. */
export type WriteEvent = {
  readonly dot: Dot;
  readonly kind: EventKind;
  /** 1 .. `EVENT_ID_BYTES_MAX` bytes. */
  readonly id: Uint8Array;
  /** By the wall clock of the replica that stamped it, but after every event that its record remembered then; ms since 1970. */
  readonly stampedAtMs: number;
  /** Whether it was a blind overwrite: one whose past is what its replica held, and so differs with each stamping. */
  readonly isOverwrite: boolean;
  /**
   * What the write replaced, if anything; kept while its value is live, for closure.ts to tell what came after what, and the part
   * of it that this record knows of and has not heard by name for as long as that is so, for arrival.ts.
   */
  readonly past: CausalContext | undefined;
};

/** Whether a remembered event is the one of this name. */
export function isEvent(held: WriteEvent, name: Pick<WriteEvent, "kind" | "id">): boolean {
  return held.kind === name.kind && equalBytes(held.id, name.id);
}

export type KvRecord = {
  readonly context: CausalContext;
  /** The dots whose events this record holds or has dropped on purpose; at most what `context` claims. */
  readonly eventsSeen: VersionVector;
  /** In dot order; at least one unless everything was collected. */
  readonly siblings: readonly Sibling[];
  /** In dot order. */
  readonly events: readonly WriteEvent[];
};

/** A list under its causal context: what the context covers and the list lacks was removed. */
type Dotted<T> = { readonly items: readonly T[]; readonly past: CausalContext };

/** A joined list, and whether it is just what one side held. */
type Joined<T> = { readonly items: readonly T[]; readonly isA: boolean; readonly isB: boolean };

/**
 * Joins two records of one key.
 *
 * Kept is what both hold, and what one holds and the other never knew of; what one holds and the other knew of and
 * no longer holds was replaced there. Siblings and events go by the same rule under their own context.
 *
 * @returns `a` (or `b`) itself when the other adds nothing, so that its encoded bytes can be used again.
 */
export function mergeRecords(a: KvRecord, b: KvRecord): KvRecord {
  if (a === b) return a;
  const context = joinContexts(a.context, b.context);
  const siblings = joinDotted(dottedSiblings(a), dottedSiblings(b), compareSiblings);
  const events = joinDotted(dottedEvents(a), dottedEvents(b), compareEvents);
  if (siblings.isA && events.isA && context === a.context && vectorDescends(a.eventsSeen, b.eventsSeen)) return a;
  if (siblings.isB && events.isB && contextDescends(b.context, a.context) && vectorDescends(b.eventsSeen, a.eventsSeen))
    return b;
  const eventsSeen = mergeVectors(a.eventsSeen, b.eventsSeen);
  return { context, eventsSeen, siblings: siblings.items, events: events.items };
}

function dottedSiblings(record: KvRecord): Dotted<Sibling> {
  return { items: record.siblings, past: record.context };
}

function dottedEvents(record: KvRecord): Dotted<WriteEvent> {
  return { items: record.events, past: { vector: record.eventsSeen, dots: [] } };
}

/**
 * The join of a causal store of dotted items. `compare` orders two items of one dot by content: they are equal unless
 * a peer is broken, and then the larger one is taken, so that all replicas take the same.
 */
function joinDotted<T extends { readonly dot: Dot }>(
  a: Dotted<T>,
  b: Dotted<T>,
  compare: (x: T, y: T) => number,
): Joined<T> {
  if (a.items.length === 0 && b.items.length === 0) return { items: a.items, isA: true, isB: true };
  const items: T[] = [];
  let isA = true;
  let isB = true;
  let inA = 0;
  let inB = 0;
  for (;;) {
    const left = a.items[inA];
    const right = b.items[inB];
    if (left === undefined && right === undefined) return { items, isA, isB };
    const order = left === undefined ? 1 : right === undefined ? -1 : compareDots(left.dot, right.dot);
    if (order <= 0) inA += 1;
    if (order >= 0) inB += 1;
    if (left !== undefined && right !== undefined && order === 0) {
      const content = left === right ? 0 : compare(left, right);
      if (content < 0) isA = false;
      if (content > 0) isB = false;
      items.push(content >= 0 ? left : right);
    } else if (left !== undefined && order < 0) {
      if (covers(b.past, left.dot)) isA = false;
      else {
        isB = false;
        items.push(left);
      }
    } else if (right !== undefined) {
      if (covers(a.past, right.dot)) isB = false;
      else {
        isA = false;
        items.push(right);
      }
    }
  }
}

function compareSiblings(a: Sibling, b: Sibling): number {
  if (a.writtenAtMs !== b.writtenAtMs) return a.writtenAtMs - b.writtenAtMs;
  if (a.expiresAtMs !== b.expiresAtMs) return compareOptional(a.expiresAtMs, b.expiresAtMs);
  if (a.contentType !== b.contentType) return a.contentType < b.contentType ? -1 : 1;
  if (a.value === undefined || b.value === undefined) return compareOptional(a.value?.length, b.value?.length);
  return compareBytes(a.value, b.value);
}

function compareEvents(a: WriteEvent, b: WriteEvent): number {
  if (a.stampedAtMs !== b.stampedAtMs) return a.stampedAtMs - b.stampedAtMs;
  if (a.kind !== b.kind) return a.kind < b.kind ? -1 : 1;
  if (a.isOverwrite !== b.isOverwrite) return Number(a.isOverwrite) - Number(b.isOverwrite);
  if (!equalBytes(a.id, b.id)) return compareBytes(a.id, b.id);
  return comparePasts(a.past, b.past);
}

/**
 * A past is given up once the value is replaced, as far as it was heard of, so the shorter is the later state, and none the last.
 * Of two of one length either will do: what the one lacks was heard of where that is, and so it is in the joined record.
 */
function comparePasts(a: CausalContext | undefined, b: CausalContext | undefined): number {
  if (a === undefined || b === undefined) return Number(a === undefined) - Number(b === undefined);
  const shorter = b.vector.length + b.dots.length - a.vector.length - a.dots.length;
  return shorter || compareDotLists(a.vector, b.vector) || compareDotLists(a.dots, b.dots);
}

function compareDotLists(a: readonly Dot[], b: readonly Dot[]): number {
  for (let index = 0; index < a.length && index < b.length; index++) {
    const order = compareDots(a[index] as Dot, b[index] as Dot);
    if (order !== 0) return order;
  }
  return a.length - b.length;
}

function compareOptional(a: number | undefined, b: number | undefined): number {
  return (a ?? -1) - (b ?? -1);
}
