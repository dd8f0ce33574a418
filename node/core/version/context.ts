/**
 * Causal contexts: which writes of one key somebody knows of. A version vector, and single dots above it.
 *
 * The vector's entry for an actor claims *every* dot of that actor for the key up to its counter. Counters belong to
 * the actor and grow over all its keys, so the dots of one key have gaps and a dot is never folded into the vector
 * because its counter looks like the next one: it leaves `dots` only when an entry that somebody was entitled to
 * claim (the actor itself, when it stamps) reaches it. Source: Almeida et al. 2014, "Scalable and accurate causality
 * tracking", the dotted version vector set read as vector + dot cloud.
 *
 * What this is not: the codec (context-codec.ts) and the values themselves (record.ts).
 */
import type { CausalContext, Dot } from "./record.ts";
import { compareSources, counterOf, EMPTY_VECTOR, mergeVectors, raiseEntry, vectorDescends } from "./vector.ts";

const NO_DOTS: readonly Dot[] = [];

/** Knows of no write. */
export const EMPTY_CONTEXT: CausalContext = { vector: EMPTY_VECTOR, dots: NO_DOTS };

/** Order of dots, the same on every node: actor, incarnation, counter. Says nothing about time or causality. */
export function compareDots(a: Dot, b: Dot): number {
  return compareSources(a, b) || a.counter - b.counter;
}

/** Whether the sorted list holds the dot. */
function includesDot(dots: readonly Dot[], dot: Dot): boolean {
  let low = 0;
  let high = dots.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const order = compareDots(dots[middle] as Dot, dot);
    if (order === 0) return true;
    if (order < 0) low = middle + 1;
    else high = middle;
  }
  return false;
}

/** Whether the context knows of the write that the dot names. */
export function covers(context: CausalContext, dot: Dot): boolean {
  return counterOf(context.vector, dot) >= dot.counter || includesDot(context.dots, dot);
}

/** Whether `a` claims all that `b` claims: then joining `b` into it changes nothing. */
export function contextDescends(a: CausalContext, b: CausalContext): boolean {
  if (a === b) return true;
  if (!vectorDescends(a.vector, b.vector)) return false;
  for (const dot of b.dots) if (!covers(a, dot)) return false;
  return true;
}

/** What either knows of. Returns `a` (or `b`) itself when the other adds nothing. */
export function joinContexts(a: CausalContext, b: CausalContext): CausalContext {
  if (contextDescends(a, b)) return a;
  if (contextDescends(b, a)) return b;
  const vector = mergeVectors(a.vector, b.vector);
  const dots: Dot[] = [];
  let inA = 0;
  let inB = 0;
  for (;;) {
    const left = a.dots[inA];
    const right = b.dots[inB];
    const next = left === undefined || (right !== undefined && compareDots(right, left) < 0) ? right : left;
    if (next === undefined) return { vector, dots: dots.length === 0 ? NO_DOTS : dots };
    if (left !== undefined && compareDots(left, next) === 0) inA += 1;
    if (right !== undefined && compareDots(right, next) === 0) inB += 1;
    if (counterOf(vector, next) < next.counter) dots.push(next);
  }
}

/** The context that also claims every dot of this actor and incarnation for the key up to the dot's counter. */
export function withEntry(context: CausalContext, dot: Dot): CausalContext {
  const vector = raiseEntry(context.vector, dot);
  if (vector === context.vector) return context;
  if (context.dots.length === 0) return { vector, dots: NO_DOTS };
  return { vector, dots: context.dots.filter((isolated) => counterOf(vector, isolated) < isolated.counter) };
}

/** The context that also knows of this one write, and of none before it. */
export function withDot(context: CausalContext, dot: Dot): CausalContext {
  return joinContexts(context, { vector: EMPTY_VECTOR, dots: [dot] });
}
