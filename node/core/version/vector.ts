/**
 * Version vectors over (actor, incarnation): two incarnations of one actor are two entries, never compared.
 *
 * Source: Parker et al. 1983 (version vectors), with Dynamo's and Riak's rule that an entry belongs to a replica and
 * not to a client, so that a vector's length is bounded by the replicas. All functions return one of their arguments
 * when that is the result, so that callers can tell by identity that nothing changed.
 */

/** One entry: every dot of this actor and incarnation for the key, up to `counter`, has been seen. */
export type VectorEntry = { readonly actor: string; readonly incarnation: number; readonly counter: number };

/** Sorted by actor, then incarnation; each pair at most once; counters at least 1. */
export type VersionVector = readonly VectorEntry[];

export const EMPTY_VECTOR: VersionVector = [];

type Source = { readonly actor: string; readonly incarnation: number };

/** Order of (actor, incarnation) pairs: negative when `a` comes first, 0 when they are the same. */
export function compareSources(a: Source, b: Source): number {
  if (a.actor === b.actor) return a.incarnation - b.incarnation;
  return a.actor < b.actor ? -1 : 1;
}

/** The counter up to which the vector has seen the actor's incarnation; 0 when it has no such entry. */
export function counterOf(vector: VersionVector, source: Source): number {
  let low = 0;
  let high = vector.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const entry = vector[middle] as VectorEntry;
    const order = compareSources(entry, source);
    if (order === 0) return entry.counter;
    if (order < 0) low = middle + 1;
    else high = middle;
  }
  return 0;
}

/** Whether `a` has seen everything that `b` has. */
export function vectorDescends(a: VersionVector, b: VersionVector): boolean {
  if (a === b) return true;
  if (a.length < b.length) return false;
  let at = 0;
  for (const entry of b) {
    let mine = a[at];
    while (mine !== undefined && compareSources(mine, entry) < 0) mine = a[++at];
    if (mine === undefined || compareSources(mine, entry) !== 0 || mine.counter < entry.counter) return false;
    at += 1;
  }
  return true;
}

/** What either has seen: the larger counter of each entry. */
export function mergeVectors(a: VersionVector, b: VersionVector): VersionVector {
  if (vectorDescends(a, b)) return a;
  if (vectorDescends(b, a)) return b;
  const merged: VectorEntry[] = [];
  let inA = 0;
  let inB = 0;
  for (;;) {
    const left = a[inA];
    const right = b[inB];
    if (left === undefined && right === undefined) return merged;
    const order = left === undefined ? 1 : right === undefined ? -1 : compareSources(left, right);
    if (order <= 0) inA += 1;
    if (order >= 0) inB += 1;
    if (left !== undefined && (order < 0 || (order === 0 && left.counter >= (right?.counter ?? 0)))) merged.push(left);
    else if (right !== undefined) merged.push(right);
  }
}

/** The vector with the entry's counter raised to at least the one given. */
export function raiseEntry(vector: VersionVector, entry: VectorEntry): VersionVector {
  return mergeVectors(vector, [entry]);
}
