/**
 * Which write events a record keeps, decided only while a write is stamped.
 *
 * An event whose value is still there is always kept: dropping it would let a retry show the value twice. An event whose
 * value was replaced is kept for a time and up to a number, so that the record of a hot key stays small. Dropping
 * spreads through merge like any other removal (record.ts); merge itself never drops by age.
 */
import { findByDot } from "./closure.ts";
import type { EventKind, Sibling, WriteEvent } from "./record.ts";

/** How long a replaced Idempotency-Key is remembered: longer than clients, proxies and job queues retry one request. */
export const CLIENT_EVENT_WINDOW_MS = 600_000;

/** How long a replaced forward id is remembered: a coordinator retries within one request's timeout, seconds at most. */
export const FORWARD_EVENT_WINDOW_MS = 60_000;

/**
 * The newest events of each kind that are remembered inside the window. Eight names of up to 64 bytes weigh no more
 * than a small value; with more, each write of a hot key would carry its own history to every replica.
 */
export const EVENTS_PER_KIND_MAX = 8;

/**
 * The events that stay in a record that is being stamped.
 *
 * A stamp from the future beyond the window counts as old: only a clock that was wrong made it, and it would
 * otherwise take the place of true ones until that time has come.
 *
 * @param events In dot order.
 * @param siblings The record's siblings after the write.
 * @param nowMs Wall clock, ms since 1970.
 * @returns In dot order; `events` itself when nothing is dropped.
 */
export function retainEvents(
  events: readonly WriteEvent[],
  siblings: readonly Sibling[],
  nowMs: number,
): readonly WriteEvent[] {
  let retained = events;
  for (const event of events) {
    if (isInWindow(event, nowMs) || findByDot(siblings, event.dot) !== undefined) continue;
    retained = retained.filter((other) => other !== event);
  }
  return dropOldest(dropOldest(retained, siblings, "client"), siblings, "forward");
}

function isInWindow(event: WriteEvent, nowMs: number): boolean {
  const windowMs = event.kind === "client" ? CLIENT_EVENT_WINDOW_MS : FORWARD_EVENT_WINDOW_MS;
  return Math.abs(nowMs - event.stampedAtMs) <= windowMs;
}

/** Drops replaced events of one kind, oldest first, until the count is met or only live ones are left. */
function dropOldest(
  events: readonly WriteEvent[],
  siblings: readonly Sibling[],
  kind: EventKind,
): readonly WriteEvent[] {
  let count = 0;
  for (const event of events) if (event.kind === kind) count += 1;
  const surplus = count - EVENTS_PER_KIND_MAX;
  if (surplus <= 0) return events;
  if (surplus === 1) {
    const oldest = oldestReplaced(events, siblings, kind);
    return oldest === undefined ? events : events.filter((event) => event !== oldest);
  }
  const replaced = events.filter((event) => event.kind === kind && findByDot(siblings, event.dot) === undefined);
  replaced.sort((a, b) => a.stampedAtMs - b.stampedAtMs);
  const dropped = new Set(replaced.slice(0, surplus));
  return events.filter((event) => !dropped.has(event));
}

/** The common case, one event too many, without sorting. */
function oldestReplaced(
  events: readonly WriteEvent[],
  siblings: readonly Sibling[],
  kind: EventKind,
): WriteEvent | undefined {
  let oldest: WriteEvent | undefined;
  for (const event of events) {
    if (event.kind !== kind || (oldest !== undefined && event.stampedAtMs >= oldest.stampedAtMs)) continue;
    if (findByDot(siblings, event.dot) === undefined) oldest = event;
  }
  return oldest;
}
