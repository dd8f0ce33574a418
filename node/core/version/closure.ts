/**
 * One event, several dots: the rule that makes a retried write count once, whichever replicas it reached.
 *
 * A write that is sent again after a broken link may be stamped at two replicas before either hears of the other. Both
 * dots carry the same idempotency key (or forward id), and if either is replaced, so is the other: whoever replaced the
 * one had seen the write. A sibling therefore no longer stands when a dot with the same name is known and no longer
 * live. The rule is applied wherever a record is looked at, and only there. Merge that applied it would not be associative,
 * and a stamp that removed fallen siblings would leave their dots looking replaced, as if by what is shown then.
 *
 * The exceptions come from blind overwrites, which replace what they find. Stamped a second time, such a write may have
 * replaced the very successors of its first dot; then they live on only in it, and the first dot's end is not its own.
 * It cannot be told for sure from what a record keeps, but it leaves one of two traces in the second dot's past: it covers
 * the first dot, or it covers just one of two dots of another event. A sibling with such a trace stays: at worst
 * a value is shown beside its successor until the next write, where otherwise an acknowledged one could be lost.
 * Source: design §4.
 */
import { compareDots, covers } from "./context.ts";
import type { CausalContext, Dot, KvRecord, Sibling, WriteEvent } from "./record.ts";

type Dotted = { readonly dot: Dot };

/** The item of a list in dot order that the dot names. */
export function findByDot<T extends Dotted>(items: readonly T[], dot: Dot): T | undefined {
  let low = 0;
  let high = items.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const item = items[middle] as T;
    const order = compareDots(item.dot, dot);
    if (order === 0) return item;
    if (order < 0) low = middle + 1;
    else high = middle;
  }
  return undefined;
}

/** The list in dot order with one more item. */
export function insertByDot<T extends Dotted>(items: readonly T[], item: T): readonly T[] {
  let at = items.length;
  while (at > 0 && compareDots((items[at - 1] as T).dot, item.dot) > 0) at -= 1;
  const longer = items.slice();
  longer.splice(at, 0, item);
  return longer;
}

/** All dots of one event that the record knows of. */
type Stampings = { readonly live: WriteEvent[]; readonly replaced: WriteEvent[] };

/**
 * The siblings that stand: those whose event has not been replaced under another of its dots.
 *
 * An event stands or falls with all its dots. When no sibling would stand, all do: what replaced their events must be
 * held somewhere in the record, and nothing else is.
 *
 * @returns In dot order; `record.siblings` itself when all stand.
 */
export function standingSiblings(record: KvRecord): readonly Sibling[] {
  const { siblings, events } = record;
  if (siblings.length < 2 || events.length < 2) return siblings;
  const byName = groupByName(record);
  if (byName.size === events.length) return siblings;
  const fallen = fallenEvents(byName);
  if (fallen.size === 0) return siblings;
  const standing = siblings.filter((sibling) => {
    const event = findByDot(events, sibling.dot);
    return event === undefined || !fallen.has(eventName(event));
  });
  return standing.length === 0 ? siblings : standing;
}

function groupByName({ siblings, events }: KvRecord): ReadonlyMap<string, Stampings> {
  const byName = new Map<string, Stampings>();
  for (const event of events) {
    const name = eventName(event);
    const stampings = byName.get(name) ?? { live: [], replaced: [] };
    byName.set(name, stampings);
    if (findByDot(siblings, event.dot) === undefined) stampings.replaced.push(event);
    else stampings.live.push(event);
  }
  return byName;
}

function fallenEvents(byName: ReadonlyMap<string, Stampings>): ReadonlySet<string> {
  const fallen = new Set<string>();
  for (const [name, { live, replaced }] of byName) {
    if (live.length === 0 || !replaced.some(({ dot }) => isReplacedByOthers(dot, live))) continue;
    if (!live.some(({ past, isOverwrite }) => isOverwrite && splitsAnEvent(past, name, byName))) fallen.add(name);
  }
  return fallen;
}

/** Whether a dot of an event was replaced by somebody else than the event's own live dots. */
function isReplacedByOthers(dot: Dot, live: readonly WriteEvent[]): boolean {
  return !live.some(({ past }) => past !== undefined && covers(past, dot));
}

/** Whether the past covers one dot of some other event and not another of it. */
function splitsAnEvent(past: CausalContext | undefined, name: string, byName: ReadonlyMap<string, Stampings>): boolean {
  if (past === undefined) return false;
  for (const [other, { live, replaced }] of byName) {
    if (other === name || live.length + replaced.length < 2) continue;
    let coveredCount = 0;
    for (const { dot } of live) if (covers(past, dot)) coveredCount += 1;
    for (const { dot } of replaced) if (covers(past, dot)) coveredCount += 1;
    if (coveredCount > 0 && coveredCount < live.length + replaced.length) return true;
  }
  return false;
}

/**
 * Of several siblings that are one event, the one with the smallest dot; all others as they are.
 *
 * @param siblings In dot order, of a record with these `events`.
 * @returns In dot order; `siblings` itself when no two are one event.
 */
export function oncePerEvent(siblings: readonly Sibling[], events: readonly WriteEvent[]): readonly Sibling[] {
  if (siblings.length < 2 || events.length < 2) return siblings;
  const seen = new Set<string>();
  const once = siblings.filter((sibling) => {
    const event = findByDot(events, sibling.dot);
    if (event === undefined) return true;
    const name = eventName(event);
    if (seen.has(name)) return false;
    seen.add(name);
    return true;
  });
  return once.length === siblings.length ? siblings : once;
}

/** What all dots of one event share. A client's key and a forward id with the same bytes are different names. */
export function eventName(event: WriteEvent): string {
  return event.kind + Buffer.from(event.id).toString("latin1");
}
