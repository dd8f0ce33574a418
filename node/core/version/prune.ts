/**
 * Pruning: forgetting vector entries of actors that are gone for good.
 *
 * Tried only while a client's write is stamped, never in merge, and never by size or age alone: an entry that some
 * replica still needs, once dropped, brings replaced and deleted values back. Who may be forgotten is known from
 * full comparisons of all home replicas (design §4); this file only applies it.
 */
import type { CausalContext, Dot, KvRecord, WriteEvent } from "./record.ts";
import { compareSources, EMPTY_VECTOR } from "./vector.ts";

export type PruneOptions = {
  /** Entries and isolated dots of a context up to which nothing is tried. */
  readonly entriesMax: number;
  /**
   * Whether the actor left the ring, a full comparison of all homes after its last write was equal, and no hints
   * remain. Called only for actors that no value and no event of the record names.
   */
  readonly mayForget: (actor: string, incarnation: number) => boolean;
};

/**
 * Removes as many entries as it takes to come down to `entriesMax`, in vector order (so an actor's older incarnations
 * first), but none that `mayForget` does not allow or that a sibling or event of the record stands on.
 *
 * @returns `record` itself when nothing is removed.
 */
export function pruneContext(record: KvRecord, { entriesMax, mayForget }: PruneOptions): KvRecord {
  const { context } = record;
  let surplus = context.vector.length + context.dots.length - entriesMax;
  if (surplus <= 0) return record;
  const forgotten: Dot[] = [];
  for (const entry of distinctSources(context)) {
    if (surplus <= 0) break;
    if (isNamed(record, entry) || !mayForget(entry.actor, entry.incarnation)) continue;
    forgotten.push(entry);
    surplus -= countOf(context, entry);
  }
  if (forgotten.length === 0) return record;
  const pruned = without(context, forgotten);
  return {
    context: pruned,
    eventsSeen:
      record.eventsSeen === context.vector
        ? pruned.vector
        : without({ vector: record.eventsSeen, dots: [] }, forgotten).vector,
    siblings: record.siblings,
    events: record.events.map((event) => withoutPast(event, forgotten)),
  };
}

/** One entry or dot of each actor and incarnation that the context names, in vector order. */
function distinctSources({ vector, dots }: CausalContext): readonly Dot[] {
  if (dots.length === 0) return vector;
  const all = [...vector, ...dots].sort(compareSources);
  return all.filter((source, index) => index === 0 || compareSources(all[index - 1] as Dot, source) !== 0);
}

function countOf(context: CausalContext, source: Dot): number {
  let count = 0;
  for (const entry of context.vector) if (compareSources(entry, source) === 0) count += 1;
  for (const dot of context.dots) if (compareSources(dot, source) === 0) count += 1;
  return count;
}

function isNamed(record: KvRecord, source: Dot): boolean {
  for (const { dot } of record.siblings) if (compareSources(dot, source) === 0) return true;
  for (const { dot } of record.events) if (compareSources(dot, source) === 0) return true;
  return false;
}

function without({ vector, dots }: CausalContext, forgotten: readonly Dot[]): CausalContext {
  const isKept = (source: Dot): boolean => !forgotten.some((gone) => compareSources(gone, source) === 0);
  const kept = vector.filter(isKept);
  return { vector: kept.length === 0 ? EMPTY_VECTOR : kept, dots: dots.filter(isKept) };
}

function withoutPast(event: WriteEvent, forgotten: readonly Dot[]): WriteEvent {
  return event.past === undefined ? event : { ...event, past: without(event.past, forgotten) };
}
