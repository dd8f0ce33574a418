/**
 * Arrival: what a replica hears of after other events it remembers after them, whatever the clock said that stamped it.
 *
 * The oldest events are forgotten first (retention.ts). Among those that one replica stamped upon another's, their times tell
 * which that is. Of two that did not know of each other they tell only whose clock is behind: a stand-in's by a minute, and of a
 * write that has just come everything would be forgotten by the next one. So a replica puts what arrives after what it holds. That
 * another one put it elsewhere is settled by merge, where the later time of an event is taken.
 *
 * Source of the times: Kulkarni et al. 2014, "Logical Physical Clocks", §3.1, whose receive step this is, of one record.
 */
import { compareDots } from "./context.ts";
import { type KvRecord, mergeRecords, type WriteEvent } from "./record.ts";
import { EVENT_WINDOW_MS, isInWindow } from "./retention.ts";
import { counterOf } from "./vector.ts";

/**
 * The join of what was held and what arrived, with the events that were not known before after those that were, in the order
 * of their times. Events beyond the window, by this replica's clock, stay as they are: they are old, or of a wrong clock.
 *
 * @param held What the replica held.
 * @param joined That, joined with what arrived.
 * @param nowMs Wall clock, ms since 1970.
 * @returns `joined` itself when all are in order.
 */
export function inOrderOfArrival(held: KvRecord, joined: KvRecord, nowMs: number): KvRecord {
  if (joined === held || held.events.length === 0) return joined;
  let latestMs = 0;
  for (const event of held.events)
    if (event.stampedAtMs > latestMs && isInWindow(event, nowMs)) latestMs = event.stampedAtMs;
  const arrived = ({ dot }: WriteEvent) => counterOf(held.eventsSeen, dot) < dot.counter;
  if (!joined.events.some((event) => isInWindow(event, nowMs) && event.stampedAtMs <= latestMs && arrived(event)))
    return joined;
  const inOrder = joined.events
    .filter((event) => isInWindow(event, nowMs) && arrived(event))
    .sort((a, b) => a.stampedAtMs - b.stampedAtMs || compareDots(a.dot, b.dot));
  const times = new Map<WriteEvent, number>();
  for (const event of inOrder) {
    latestMs = Math.max(event.stampedAtMs, Math.min(latestMs + 1, nowMs + EVENT_WINDOW_MS));
    times.set(event, latestMs);
  }
  const events = joined.events.map((event) => {
    const stampedAtMs = times.get(event) ?? event.stampedAtMs;
    return stampedAtMs === event.stampedAtMs ? event : { ...event, stampedAtMs };
  });
  return { ...joined, events };
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
