/**
 * Stamping: the one place where a write gets its dot and takes its place in the key's causal history (design §4).
 *
 *   record + what the write replaces + dot  →  the next record, and the token that covers just this write
 *
 * Done by one replica per write, under the key's lock, with a dot that it never used before. Everybody else merges.
 * What this is not: durable (the replica stores the record before it answers) or pruning (prune.ts).
 */
import { KvError } from "../errors.ts";
import { findByDot, insertByDot, standingSiblings } from "./closure.ts";
import { covers, EMPTY_CONTEXT, joinContexts, withDot, withEntry } from "./context.ts";
import {
  type CausalContext,
  type Dot,
  EVENT_ID_BYTES_MAX,
  type EventKind,
  isEvent,
  type KvRecord,
  type Sibling,
  type WriteEvent,
} from "./record.ts";
import { eventTimeMs, retainEvents } from "./retention.ts";
import { CONTENT_TYPE_CHARACTERS_MAX, checkSiblingLimits, type SiblingLimits } from "./sibling-limits.ts";
import { compareSources, EMPTY_VECTOR, raiseEntry, type VersionVector, vectorDescends } from "./vector.ts";

/** Siblings of one key from which a metric and a log line should point at its clients. */
export const SIBLINGS_WARN = 10;

/** What a write replaces: what its context covers, all that the stamping replica holds, or nothing. */
export type StampBase =
  | { readonly kind: "context"; readonly context: CausalContext }
  | { readonly kind: "overwrite" }
  | { readonly kind: "sibling" };

export type StampOptions = {
  /** What the stamping replica holds for the key. */
  readonly record: KvRecord | undefined;
  /** A dot of the stamping replica whose counter is above all that this actor and incarnation ever used. */
  readonly dot: Dot;
  readonly base: StampBase;
  /** Without `value` a tombstone. The arrays belong to the record from here on. */
  readonly content: {
    readonly value: Uint8Array | undefined;
    readonly contentType: string;
    readonly expiresAtMs: number | undefined;
  };
  /** Name of the write if it may be sent more than once. */
  readonly event?: { readonly kind: EventKind; readonly id: Uint8Array } | undefined;
  /** Wall clock, ms since 1970. */
  readonly nowMs: number;
  readonly limits: SiblingLimits;
};

export type Stamped = {
  readonly record: KvRecord;
  /** Covers exactly the write and what it replaced. */
  readonly token: CausalContext;
  /** The write had been stamped before: `record` is the one that was given, and there is nothing to store. */
  readonly repeated: boolean;
};

const EMPTY_RECORD: KvRecord = { context: EMPTY_CONTEXT, eventsSeen: EMPTY_VECTOR, siblings: [], events: [] };

/**
 * Stamps one client's write.
 *
 * @throws {KvError} INVALID_REQUEST for a content type, id or expiry out of bounds; INVALID_CONTEXT when the context
 *   claims a write that this replica has not made yet; CONFLICT when the write would add to the siblings past a limit;
 *   STORAGE_FAILED when the stored record claims the dot already. Nothing is stamped then; the dot is spent.
 */
export function stampWrite(options: StampOptions): Stamped {
  const { dot, base, event } = options;
  const record = options.record ?? EMPTY_RECORD;
  checkBounds(options);
  if (event !== undefined && options.record !== undefined) {
    const earlier = options.record.events.filter((held) => isEvent(held, event));
    if (earlier.length > 0) return { record, token: tokenOfRepeated(record, earlier, base), repeated: true };
  }
  checkUnstamped(record, dot, base);
  const past = base.kind === "context" ? base.context : base.kind === "overwrite" ? record.context : EMPTY_CONTEXT;
  const context = withEntry(joinContexts(record.context, past), dot);
  const eventsSeen = shared(raiseEntry(record.eventsSeen, dot), context.vector);
  const draft: KvRecord = {
    context,
    eventsSeen,
    siblings: insertByDot(survivors(record.siblings, base), siblingOf(options)),
    events: event === undefined ? record.events : insertByDot(record.events, eventOf(options, event, past)),
  };
  const standing = standingSiblings(draft);
  checkSiblingLimits({ before: record, after: draft, standing, actor: dot.actor }, options.limits);
  const events = retainEvents(draft, options.nowMs);
  // Alone, the value stands for everything the record covers. Beside others it may claim only its own past: a vector
  // entry that reaches its dot would claim a sibling of the same actor too, and replace that unseen elsewhere.
  const token = standing.length === 1 ? context : withDot(past, dot);
  return { record: events === draft.events ? draft : { ...draft, events }, token, repeated: false };
}

/** The siblings that the write leaves in place. */
function survivors(siblings: readonly Sibling[], base: StampBase): readonly Sibling[] {
  if (base.kind === "overwrite") return [];
  if (base.kind === "sibling" || siblings.length === 0) return siblings;
  return siblings.filter((sibling) => !covers(base.context, sibling.dot));
}

function siblingOf({ dot, content, nowMs }: StampOptions): Sibling {
  const expiresAtMs = content.value === undefined ? undefined : content.expiresAtMs;
  return { dot, value: content.value, contentType: content.contentType, writtenAtMs: nowMs, expiresAtMs };
}

function eventOf(
  { dot, base, record, nowMs }: StampOptions,
  { kind, id }: { readonly kind: EventKind; readonly id: Uint8Array },
  past: CausalContext,
): WriteEvent {
  const replacedSomething = past.vector.length + past.dots.length > 0;
  const isOverwrite = base.kind === "overwrite";
  const stampedAtMs = eventTimeMs(record?.events ?? [], nowMs);
  return { dot, kind, id, stampedAtMs, isOverwrite, past: replacedSomething ? past : undefined };
}

/**
 * The token for a write that was stamped before.
 *
 * If its value is all that is left, everything the record covers was replaced by it. Otherwise it covers the write,
 * what it replaced (known as long as its value is live) and what the client itself says that it saw. It
 * must not cover more: that would later remove, elsewhere, a value that its holder never saw. Once the value was
 * replaced it may cover less, and then at worst the client's next write stands beside a value that this one had replaced
 * until the two records meet.
 */
function tokenOfRepeated(record: KvRecord, earlier: readonly WriteEvent[], base: StampBase): CausalContext {
  const standing = standingSiblings(record);
  if (standing.length > 0 && standing.every((sibling) => findByDot(earlier, sibling.dot) !== undefined))
    return record.context;
  let token = base.kind === "context" ? base.context : EMPTY_CONTEXT;
  for (const { dot, past } of earlier) {
    if (past !== undefined && findByDot(record.siblings, dot) !== undefined) token = joinContexts(token, past);
    token = withDot(token, dot);
  }
  return token;
}

/** One array where two are equal: the codec then stores it once and merges compare it by identity. */
function shared(vector: VersionVector, with_: VersionVector): VersionVector {
  return vectorDescends(vector, with_) ? with_ : vector;
}

function checkBounds({ content, event, nowMs }: StampOptions): void {
  const { contentType, expiresAtMs } = content;
  if (contentType.length > CONTENT_TYPE_CHARACTERS_MAX)
    throw new KvError(
      "INVALID_REQUEST",
      `Cannot store the value: a content type has at most ${CONTENT_TYPE_CHARACTERS_MAX} characters, found ${contentType.length}`,
    );
  if (expiresAtMs !== undefined && !isInstant(expiresAtMs))
    throw new KvError("INVALID_REQUEST", `Cannot store the value: ${expiresAtMs} is no instant in ms since 1970`);
  if (!isInstant(nowMs))
    throw new KvError("STORAGE_FAILED", `Cannot stamp the write: this node's clock shows ${nowMs} ms since 1970`);
  if (event !== undefined && (event.id.length === 0 || event.id.length > EVENT_ID_BYTES_MAX))
    throw new KvError(
      "INVALID_REQUEST",
      `Cannot name the write: an idempotency key has 1 to ${EVENT_ID_BYTES_MAX} bytes, found ${event.id.length}`,
    );
}

function isInstant(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}

/** A dot that somebody claims to know before it was made would be taken for replaced wherever that claim has spread. */
function checkUnstamped(record: KvRecord, dot: Dot, base: StampBase): void {
  if (base.kind === "context" && claimsFrom(base.context, dot))
    throw new KvError(
      "INVALID_CONTEXT",
      "Cannot use the context: it names a write that was never made. Read the key and write with the context of that answer",
    );
  if (covers(record.context, dot))
    throw new KvError(
      "STORAGE_FAILED",
      `Cannot stamp the write: the stored record already claims counter ${dot.counter} of incarnation ${dot.incarnation} of this node; it needs a new incarnation`,
    );
}

/** Whether the context claims this dot or a later one of the same actor and incarnation. */
function claimsFrom(context: CausalContext, dot: Dot): boolean {
  if (covers(context, dot)) return true;
  return context.dots.some((isolated) => compareSources(isolated, dot) === 0 && isolated.counter > dot.counter);
}
