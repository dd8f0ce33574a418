/**
 * One event, several dots: the rule that makes a retried write count once, whichever replicas it reached.
 *
 * A write that is sent again after a broken link may be stamped at two replicas before either hears of the other. Both
 * dots carry the same idempotency key (or forward id), and if either is replaced, so is the other: whoever replaced the
 * one had seen the write. A sibling therefore no longer stands when a dot with the same name is known and no longer
 * live. The rule is not applied in merge, where it would break associativity (a dead sibling is needed to recognise
 * itself), but wherever a record is looked at or stamped.
 *
 * The exception is a second stamping that itself replaced the first one's successors: a blind overwrite at a replica
 * that knew, from a client's context, that the first dot was replaced, but not under which key it was sent. What it
 * replaced now lives on only in it, so the first dot's end is not its own (`WriteEvent.past`). Source: design §4.
 */
import { compareDots, covers } from "./context.ts";
import type { Dot, KvRecord, Sibling, WriteEvent } from "./record.ts";

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

/**
 * The siblings that stand: those whose event has not been replaced under another of its dots.
 *
 * When no sibling would stand, all do: what replaced their event must be held somewhere in the record, and nothing
 * else is.
 *
 * @returns In dot order; `record.siblings` itself when all stand.
 */
export function standingSiblings(record: KvRecord): readonly Sibling[] {
  const { siblings, events } = record;
  if (siblings.length < 2 || events.length < 2) return siblings;
  const byName = groupByName(events);
  if (byName.size === events.length) return siblings;
  const standing = siblings.filter((sibling) => stands(sibling, record, byName));
  return standing.length === 0 || standing.length === siblings.length ? siblings : standing;
}

function stands(sibling: Sibling, record: KvRecord, byName: ReadonlyMap<string, readonly WriteEvent[]>): boolean {
  const event = findByDot(record.events, sibling.dot);
  if (event === undefined) return true;
  for (const same of byName.get(nameOf(event)) ?? []) {
    if (findByDot(record.siblings, same.dot) !== undefined) continue;
    if (event.past === undefined || !covers(event.past, same.dot)) return false;
  }
  return true;
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
    const name = nameOf(event);
    if (seen.has(name)) return false;
    seen.add(name);
    return true;
  });
  return once.length === siblings.length ? siblings : once;
}

function groupByName(events: readonly WriteEvent[]): ReadonlyMap<string, readonly WriteEvent[]> {
  const byName = new Map<string, WriteEvent[]>();
  for (const event of events) {
    const name = nameOf(event);
    const group = byName.get(name);
    if (group === undefined) byName.set(name, [event]);
    else group.push(event);
  }
  return byName;
}

/** A client's key and a forward id with the same bytes are different names. */
function nameOf(event: WriteEvent): string {
  return event.kind + Buffer.from(event.id).toString("latin1");
}
