/** Version vectors over (actor, incarnation): two incarnations of one actor are two entries, never compared. */

/** One entry: every dot of this actor and incarnation for the key, up to `counter`, has been seen. */
export type VectorEntry = { readonly actor: string; readonly incarnation: number; readonly counter: number };

/** Sorted by actor, then incarnation; each pair at most once; counters at least 1. */
export type VersionVector = readonly VectorEntry[];
