/**
 * Which write events a record keeps, decided only while a write is stamped.
 *
 * An event whose value is still there is kept with all its dots: dropping one would let a retry show the value twice, or a
 * value that fell (closure.ts) stand again. An event whose values were replaced is kept for a time and up to a number, so
 * that the record of a hot key stays small. Dropping spreads through merge like any other removal (record.ts);
 * merge itself never drops by age.
 */
import { eventName, findByDot } from "./closure.ts";
import type { CausalContext, Dot, EventKind, KvRecord, Sibling, WriteEvent } from "./record.ts";
import { counterOf, type VersionVector } from "./vector.ts";

/** How long the name of a replaced write is remembered at least: longer than clients, proxies and job queues retry one request. */
const PROMISED_MS = 600_000;
/** How far the wall clock of a node may be from the true time for that. */
const CLOCK_ERROR_MS_MAX = 300_000;
/** How long it is, by the clock of who stamps: what stamped the name may have been behind by as much as that is ahead. */
export const EVENT_WINDOW_MS = PROMISED_MS + 2 * CLOCK_ERROR_MS_MAX;

/**
 * The newest events of each kind that are remembered inside the window. A client's key is a promise to somebody, and a
 * pair whose writes carry keys remembers the last 32 of them. A forward id protects one retry within one request, and
 * every write that is passed on has one: with more of them a hot key would carry its own history to every replica.
 */
export const EVENTS_MAX: Readonly<Record<EventKind, number>> = { client: 32, forward: 8 };

/**
 * The events that stay in a record that is being stamped; those whose value was replaced without the past that is known by name:
 * of what has yet to be heard of, arrival.ts must tell that it came before.
 *
 * A stamp from the future beyond the window counts as old: only a clock that was wrong made it, and it would
 * otherwise take the place of true ones until that time has come.
 *
 * @param record As it is after the write.
 * @param nowMs Wall clock, ms since 1970.
 * @returns In dot order; the record's events themselves when nothing changes.
 */
export function retainEvents({ events, siblings, eventsSeen }: KvRecord, nowMs: number): readonly WriteEvent[] {
  const pinned = eventsOfValues(events, siblings);
  let retained: readonly WriteEvent[] = events;
  if (events.some((event) => !pinned.has(event) && !isInWindow(event, nowMs)))
    retained = events.filter((event) => pinned.has(event) || isInWindow(event, nowMs));
  retained = dropOldest(dropOldest(retained, pinned, "client"), pinned, "forward");
  return forgetPasts(retained, siblings, eventsSeen);
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

function forgetPasts(
  events: readonly WriteEvent[],
  siblings: readonly Sibling[],
  eventsSeen: VersionVector,
): readonly WriteEvent[] {
  const isReplaced = ({ dot }: WriteEvent) => findByDot(siblings, dot) === undefined;
  const pastOf = (event: WriteEvent) =>
    event.past && isReplaced(event) ? unheard(event.past, eventsSeen) : event.past;
  if (!events.some((event) => pastOf(event) !== event.past)) return events;
  return events.map((event) => {
    const past = pastOf(event);
    return past === event.past ? event : { ...event, past };
  });
}

/** The part of a past whose events have yet to be heard of; the past itself where that is all of it. */
function unheard(past: CausalContext, eventsSeen: VersionVector): CausalContext | undefined {
  const isUnheard = (dot: Dot) => counterOf(eventsSeen, dot) < dot.counter;
  const vector = past.vector.filter(isUnheard);
  const dots = past.dots.filter(isUnheard);
  if (vector.length + dots.length === 0) return undefined;
  return vector.length + dots.length === past.vector.length + past.dots.length ? past : { vector, dots };
}

/**
 * When an event is stamped by the clock of the events themselves: after all that the record remembers, whatever the
 * clocks of their replicas said, so that the oldest is the one that was stamped first.
 * Source: Kulkarni et al. 2014, "Logical Physical Clocks", §3.1, of one record and without its counter.
 *
 * @param nowMs Wall clock, ms since 1970.
 * @returns No earlier than `nowMs`, and no later than the window after it.
 */
export function eventTimeMs(events: readonly WriteEvent[], nowMs: number): number {
  let atMs = nowMs;
  for (const event of events) if (event.stampedAtMs >= atMs && isInWindow(event, nowMs)) atMs = event.stampedAtMs + 1;
  return Math.min(atMs, nowMs + EVENT_WINDOW_MS);
}

/** Whether an event is neither older than the window nor, by a wrong clock, beyond it. */
export function isInWindow(event: WriteEvent, nowMs: number): boolean {
  return Math.abs(nowMs - event.stampedAtMs) <= EVENT_WINDOW_MS;
}

/**
 * Drops the oldest events of one kind that are not pinned, until the count is met or only pinned ones are left.
 * Whoever stamped them: were it an equal share for each actor, a write would be forgotten the sooner the more replicas
 * had stamped the pair before it.
 */
function dropOldest(
  events: readonly WriteEvent[],
  pinned: ReadonlySet<WriteEvent>,
  kind: EventKind,
): readonly WriteEvent[] {
  let surplus = -EVENTS_MAX[kind];
  for (const event of events) if (event.kind === kind) surplus += 1;
  if (surplus <= 0) return events;
  const droppable = events.filter((event) => event.kind === kind && !pinned.has(event));
  // The sort is stable, so that of one instant the lowest dot goes first.
  droppable.sort((a, b) => a.stampedAtMs - b.stampedAtMs);
  const dropped = new Set(droppable.slice(0, surplus));
  return events.filter((event) => !dropped.has(event));
}
