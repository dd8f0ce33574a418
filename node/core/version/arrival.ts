/**
 * Arrival: what a replica hears of after other events it remembers after them, whatever the clock said that stamped it.
 *
 * The oldest events are forgotten first (retention.ts). Among those that one replica stamped upon another's, their times tell
 * which that is. Of two that did not know of each other they tell only whose clock is behind: a stand-in's by a minute, and of a
 * write that has just come everything would be forgotten by the next one. So a replica puts what arrives after what it holds. That
 * another one put it elsewhere is settled by merge, where the later time of an event is taken.
 *
 * What it holds may have been written upon what arrives: then that came first, though this replica hears of it later.
 *
 * Source of the times: Kulkarni et al. 2014, "Logical Physical Clocks", §3.1, whose receive step this is, of one record.
 */
import { findByDot } from "./closure.ts";
import { compareDots, covers } from "./context.ts";
import { type KvRecord, mergeRecords, type WriteEvent } from "./record.ts";
import { EVENT_WINDOW_MS, isInWindow } from "./retention.ts";
import { counterOf } from "./vector.ts";

/**
 * The join of what was held and what arrived, with the events that were not known before in their places: those that what is
 * held was written upon before that, all others after what is held, each in the order of their times. Events beyond the window, by
 * this replica's clock, stay as they are: they are old, or of a wrong clock.
 *
 * @param held What the replica held.
 * @param joined That, joined with what arrived.
 * @param nowMs Wall clock, ms since 1970.
 * @returns `joined` itself when all are in order.
 */
export function inOrderOfArrival(held: KvRecord, joined: KvRecord, nowMs: number): KvRecord {
  if (joined === held || held.events.length === 0) return joined;
  const latestMs = latestOf(held.events, nowMs);
  const isUnknown = ({ dot }: WriteEvent) => counterOf(held.eventsSeen, dot) < dot.counter;
  const isEarlier = ({ dot }: WriteEvent) => covers(held.context, dot);
  const isToPlace = (event: WriteEvent) => event.stampedAtMs <= latestMs || isEarlier(event);
  if (!joined.events.some((event) => isInWindow(event, nowMs) && isUnknown(event) && isToPlace(event))) return joined;
  const inOrder = joined.events.filter((event) => isInWindow(event, nowMs)).sort(compareTimes);
  const arrived = inOrder.filter(isUnknown);
  const known = inOrder.filter((event) => !isUnknown(event));
  const times = timesAfterPast(held, known, arrived.filter(isEarlier), nowMs);
  let afterMs = Math.max(latestMs, ...times.values());
  for (const event of arrived) {
    if (isEarlier(event)) continue;
    afterMs = timeAfter(event, afterMs, nowMs);
    times.set(event, afterMs);
  }
  return withTimes(joined, times);
}

function latestOf(events: readonly WriteEvent[], nowMs: number): number {
  let latestMs = 0;
  for (const event of events)
    if (event.stampedAtMs > latestMs && isInWindow(event, nowMs)) latestMs = event.stampedAtMs;
  return latestMs;
}

function compareTimes(a: WriteEvent, b: WriteEvent): number {
  return a.stampedAtMs - b.stampedAtMs || compareDots(a.dot, b.dot);
}

function timeAfter(event: WriteEvent, afterMs: number, nowMs: number): number {
  return Math.max(event.stampedAtMs, Math.min(afterMs + 1, nowMs + EVENT_WINDOW_MS));
}

/**
 * The later times of held events that were written upon such as have arrived only now, and of those that came after them. A
 * client that had read elsewhere makes a replica hear of a write before it hears of what that was written upon; all of that was
 * replaced then, and its names are the first to be forgotten.
 */
function timesAfterPast(
  held: KvRecord,
  known: readonly WriteEvent[],
  earlier: readonly WriteEvent[],
  nowMs: number,
): Map<WriteEvent, number> {
  const times = new Map<WriteEvent, number>();
  if (earlier.length === 0) return times;
  let afterMs = 0;
  for (const event of known) {
    const past = findByDot(held.events, event.dot)?.past;
    if (past !== undefined)
      for (const { dot, stampedAtMs } of earlier) if (stampedAtMs > afterMs && covers(past, dot)) afterMs = stampedAtMs;
    if (event.stampedAtMs > afterMs) continue;
    afterMs = timeAfter(event, afterMs, nowMs);
    times.set(event, afterMs);
  }
  return times;
}

function withTimes(record: KvRecord, times: ReadonlyMap<WriteEvent, number>): KvRecord {
  let isChanged = false;
  const events = record.events.map((event) => {
    const stampedAtMs = times.get(event) ?? event.stampedAtMs;
    if (stampedAtMs === event.stampedAtMs) return event;
    isChanged = true;
    return { ...event, stampedAtMs };
  });
  return isChanged ? { ...record, events } : record;
}

/**
 * What a replica holds after a record came: the two joined, in the order of arrival.
 *
 * @param nowMs Wall clock, ms since 1970.
 * @returns `held` or `incoming` itself when that is the join.
 */
export function received(held: KvRecord, incoming: KvRecord, nowMs: number): KvRecord {
  return inOrderOfArrival(held, mergeRecords(held, incoming), nowMs);
}
