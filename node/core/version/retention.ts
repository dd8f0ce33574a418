/**
 * Which write events a record keeps, decided only while a write is stamped.
 *
 * An event whose value is still there is kept with all its dots: dropping one would let a retry show the value twice, or a
 * value that fell (closure.ts) stand again. An event whose values were replaced is kept for a time and up to a number, so
 * that the record of a hot key stays small. Dropping spreads through merge like any other removal (record.ts);
 * merge itself never drops by age.
 */
import { eventName, findByDot } from "./closure.ts";
import type { EventKind, Sibling, WriteEvent } from "./record.ts";

/**
 * How long the name of a replaced write is remembered: longer than clients, proxies and job queues retry one request.
 * Measured by wall clocks, which therefore have to agree to within some minutes.
 */
export const EVENT_WINDOW_MS = 600_000;

/**
 * The newest events of each kind that are remembered inside the window. A client's key is a promise to somebody, and a
 * pair whose writes carry keys remembers the last 32 of them. A forward id protects one retry within one request, and
 * every write that is passed on has one: with more of them a hot key would carry its own history to every replica.
 */
export const EVENTS_MAX: Readonly<Record<EventKind, number>> = { client: 32, forward: 8 };

/**
 * The events that stay in a record that is being stamped; those whose value was replaced without their past.
 *
 * A stamp from the future beyond the window counts as old: only a clock that was wrong made it, and it would
 * otherwise take the place of true ones until that time has come.
 *
 * @param events In dot order.
 * @param siblings The record's siblings after the write.
 * @param nowMs Wall clock, ms since 1970.
 * @returns In dot order; `events` itself when nothing changes.
 */
export function retainEvents(
  events: readonly WriteEvent[],
  siblings: readonly Sibling[],
  nowMs: number,
): readonly WriteEvent[] {
  const pinned = eventsOfValues(events, siblings);
  let retained: readonly WriteEvent[] = events;
  if (events.some((event) => !pinned.has(event) && !isInWindow(event, nowMs)))
    retained = events.filter((event) => pinned.has(event) || isInWindow(event, nowMs));
  retained = dropOldest(dropOldest(retained, pinned, "client"), pinned, "forward");
  return forgetPasts(retained, siblings);
}

/** The events of values that are there, with every dot of theirs. */
function eventsOfValues(events: readonly WriteEvent[], siblings: readonly Sibling[]): ReadonlySet<WriteEvent> {
  const pinned = new Set<WriteEvent>();
  for (const { dot } of siblings) {
    const event = findByDot(events, dot);
    if (event !== undefined) pinned.add(event);
  }
  // A value that is alone was stamped just now, under a name that no other event has.
  if (siblings.length < 2 || pinned.size === 0) return pinned;
  const names = new Set([...pinned].map(eventName));
  for (const event of events) if (names.has(eventName(event))) pinned.add(event);
  return pinned;
}

function forgetPasts(events: readonly WriteEvent[], siblings: readonly Sibling[]): readonly WriteEvent[] {
  const isStale = (event: WriteEvent): boolean =>
    event.past !== undefined && findByDot(siblings, event.dot) === undefined;
  if (!events.some(isStale)) return events;
  return events.map((event) => (isStale(event) ? { ...event, past: undefined } : event));
}

function isInWindow(event: WriteEvent, nowMs: number): boolean {
  return Math.abs(nowMs - event.stampedAtMs) <= EVENT_WINDOW_MS;
}

/**
 * Drops events of one kind that are not pinned, until the count is met or only pinned ones are left: each time the
 * lowest counter of the actor that has most of them. Counters of one actor follow one another whatever its clock says;
 * by their times, a new event of a replica whose clock is behind would go first.
 */
function dropOldest(
  events: readonly WriteEvent[],
  pinned: ReadonlySet<WriteEvent>,
  kind: EventKind,
): readonly WriteEvent[] {
  let surplus = -EVENTS_MAX[kind];
  for (const event of events) if (event.kind === kind) surplus += 1;
  if (surplus <= 0) return events;
  const droppable = new Map<string, WriteEvent[]>();
  for (const event of events) {
    if (event.kind !== kind || pinned.has(event)) continue;
    const ofActor = droppable.get(event.dot.actor);
    if (ofActor === undefined) droppable.set(event.dot.actor, [event]);
    else ofActor.push(event);
  }
  const dropped = new Set<WriteEvent>();
  for (; surplus > 0; surplus--) {
    let most: WriteEvent[] = [];
    for (const ofActor of droppable.values()) if (ofActor.length > most.length) most = ofActor;
    // In dot order, so the first one is the actor's oldest.
    const oldest = most.shift();
    if (oldest === undefined) break;
    dropped.add(oldest);
  }
  return events.filter((event) => !dropped.has(event));
}
