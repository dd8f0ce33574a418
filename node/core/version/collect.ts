/**
 * Which tombstones may go: a horizon for each partition, over dots and not over clocks.
 *
 * A deleted key keeps its tombstone so that an older value that some replica still holds does not come back. Once all
 * homes of a partition were found equal, and no member holds a hint for it, no older value is left anywhere; from then on
 * every tombstone that stood then may be forgotten. What stood then is told by one version vector, the *horizon*: counters
 * of an actor grow over all its keys, so everything that it stamped up to the entry's counter was stamped before.
 * Horizons only grow, and all homes of a partition apply the same one; how it is agreed is `services/tombstones.ts`'s affair.
 *
 * A record is collected as a whole, when nothing of it stands and the horizon covers everything that it knows of. Beside
 * a value a covered tombstone is left out of view and of the next record, or a key that was written anew at a home that
 * had already forgotten its tombstone would show a deletion beside the value.
 */
import { findByDot, standingSiblings } from "./closure.ts";
import { type CausalContext, type KvRecord, mergeRecords, type Sibling } from "./record.ts";
import { counterOf, mergeVectors, raiseEntry, type VersionVector, vectorDescends } from "./vector.ts";
import { isTombstone } from "./view.ts";

/** One replicated fact of a partition; of two such facts the join is one as well. */
export type Horizon = {
  /** Every write of the partition up to these counters is known to all its homes, or was refused. */
  readonly vector: VersionVector;
  /** Values that expired before this instant count as deleted; ms since 1970. One instant for all, whatever their clocks. */
  readonly expiredBeforeMs: number;
};

/** Both facts as one; `a` (or `b`) itself when the other adds nothing. */
export function joinHorizons(a: Horizon, b: Horizon): Horizon {
  if (horizonDescends(a, b)) return a;
  if (horizonDescends(b, a)) return b;
  const expiredBeforeMs = Math.max(a.expiredBeforeMs, b.expiredBeforeMs);
  return { vector: mergeVectors(a.vector, b.vector), expiredBeforeMs };
}

/** Whether `a` says all that `b` says. */
export function horizonDescends(a: Horizon, b: Horizon): boolean {
  return a.expiredBeforeMs >= b.expiredBeforeMs && vectorDescends(a.vector, b.vector);
}

/** Whether the horizon covers everything that the context knows of. */
function coversContext(horizon: VersionVector, { vector, dots }: CausalContext): boolean {
  for (const entry of vector) if (counterOf(horizon, entry) < entry.counter) return false;
  for (const dot of dots) if (counterOf(horizon, dot) < dot.counter) return false;
  return true;
}

/**
 * Whether no value of the record stands: all that does are deletions, and values whose time has come. A value that fell with
 * its event (closure.ts) may be held beside them.
 */
export function isDeleted(record: KvRecord, nowMs: number): boolean {
  return standingSiblings(record).every((sibling) => isTombstone(sibling, nowMs));
}

/** Whether the horizon covers everything that the record knows of. */
export function isCovered(record: KvRecord, horizon: VersionVector): boolean {
  return coversContext(horizon, record.context);
}

/**
 * Whether nothing would be missed if the record were forgotten.
 *
 * @param horizon What all homes held when they were found equal.
 * @param nowMs Wall clock, ms since 1970: decides which values have expired.
 */
export function isCollectable(record: KvRecord, horizon: VersionVector, nowMs: number): boolean {
  return isDeleted(record, nowMs) && isCovered(record, horizon);
}

/**
 * The record without the tombstones that the horizon covers, and without the values that it covers and counts as deleted, as
 * long as something else stands; the context stays, so that what they replaced stays replaced. A value that fell with its
 * event is no reason to leave them out: alone, it would stand again.
 *
 * @returns `record` itself when nothing is left out.
 */
export function withoutCollected(record: KvRecord, { vector, expiredBeforeMs }: Horizon): KvRecord {
  if (record.siblings.length < 2) return record;
  const isKept = (sibling: Sibling) =>
    !isTombstone(sibling, expiredBeforeMs) || counterOf(vector, sibling.dot) < sibling.dot.counter;
  const kept = record.siblings.filter(isKept);
  if (kept.length === record.siblings.length || !standingSiblings(record).some(isKept)) return record;
  return { ...record, siblings: kept };
}

/** The horizon raised so that it covers everything that the record knows of; `horizon` itself when it does. */
export function raiseHorizon(horizon: VersionVector, { context }: KvRecord): VersionVector {
  let raised = mergeVectors(horizon, context.vector);
  for (const dot of context.dots) raised = raiseEntry(raised, dot);
  return raised;
}

/**
 * The horizon `wanted`, as far as it goes by writes that were really made.
 *
 * A record's context holds whatever its client claimed to have seen. A horizon that took such a claim over would have writes of
 * all keys refused that are still to be made. What a record's `eventsSeen` covers was stamped.
 *
 * @param stamped Joined from the `eventsSeen` of all records of the partition.
 */
export function withinStamped(wanted: VersionVector, stamped: VersionVector): VersionVector {
  return wanted.flatMap((entry) => {
    const counter = Math.min(entry.counter, counterOf(stamped, entry));
    return counter === 0 ? [] : [{ ...entry, counter }];
  });
}

/**
 * What a home holds after a record came, where the partition has a horizon.
 *
 * A home that *vouches* held all that the horizon covers when it took it over, and has lost nothing since. What such a home
 * does not hold and the horizon covers was therefore replaced or deleted, however long ago that was forgotten: values of
 * that kind, from an old hint or a late repair, are left out. A home that does not vouch takes them, for it may be the one
 * that lost them; it is told by the next comparison with one that does.
 *
 * @param held What is there for the key; undefined when nothing is.
 * @returns The record to keep; undefined when the key is to be forgotten, or to stay so.
 */
export function joinUnderHorizon(
  horizon: Horizon,
  held: KvRecord | undefined,
  incoming: KvRecord,
  vouches: boolean,
): KvRecord | undefined {
  const taken = vouches ? withoutForgotten(incoming, held, horizon.vector) : incoming;
  return settled(held === undefined ? taken : mergeRecords(held, taken), horizon);
}

/** The record as a home holds it that has applied the horizon; undefined when it is collected as a whole. */
export function settled(record: KvRecord, horizon: Horizon): KvRecord | undefined {
  const kept = withoutCollected(record, horizon);
  if (kept.siblings.length === 0 || isCollectable(kept, horizon.vector, horizon.expiredBeforeMs)) return undefined;
  return kept;
}

/**
 * Without the siblings that the horizon covers and `held` lacks; `record` itself when there are none. What fell with its
 * event would stand again alone: it comes with the tombstones that replaced it, or not at all.
 */
function withoutForgotten(record: KvRecord, held: KvRecord | undefined, horizon: VersionVector): KvRecord {
  const isKept = ({ dot }: Sibling) =>
    counterOf(horizon, dot) < dot.counter || (held !== undefined && findByDot(held.siblings, dot) !== undefined);
  const kept = record.siblings.filter(isKept);
  if (kept.length === record.siblings.length) return record;
  if (kept.length === 0) return { ...record, siblings: kept };
  const standing = standingSiblings(record);
  if (standing.some(isKept)) return { ...record, siblings: kept };
  const tombstones = standing.filter(({ value }) => value === undefined);
  if (tombstones.length === 0) return { ...record, siblings: [] };
  return { ...record, siblings: record.siblings.filter((one) => kept.includes(one) || tombstones.includes(one)) };
}
