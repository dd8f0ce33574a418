/**
 * When ring 1 may be made (design: a ring is made once and from then on only agreed upon).
 *
 * A directory without a ring may be new, or it may be what is left of a member whose disk was lost. Its owner therefore
 * asks every other first member before it believes its settings: whoever has a ring gives it, and whoever once had one
 * and has it no more is a reason to wait for somebody who still does. Only when a majority of the first members,
 * this one included, never had a ring, and nobody who answers says otherwise, is there none to be found. Whoever is silent is
 * waited for first: members are started together, and the last one to open its store may be the only one that still knows.
 */
import assert from "node:assert/strict";
import type { RingDocument } from "./document.ts";

/** What one first member says of the ring. `silent`: it cannot be reached, or gave no answer that could be read. */
export type Testimony =
  | { readonly kind: "ring"; readonly document: RingDocument }
  | { readonly kind: "never" }
  | { readonly kind: "lost" }
  | { readonly kind: "silent" };

export type Founding =
  | { readonly kind: "adopt"; readonly document: RingDocument }
  | { readonly kind: "found" }
  /** Ask again. `isForSilent`: nothing but the silence of others stands in the way. */
  | { readonly kind: "wait"; readonly why: string; readonly isForSilent: boolean };

/**
 * @param others What the other first members say, one each.
 * @param hadRing Whether this directory itself remembers that it had a ring.
 * @param isPatienceOver Whether those who are silent have been waited for: a majority may go on without them then.
 */
export function judgeFounding(
  others: readonly Testimony[],
  { hadRing, isPatienceOver }: { readonly hadRing: boolean; readonly isPatienceOver: boolean },
): Founding {
  let newest: RingDocument | undefined;
  let never = hadRing ? 0 : 1;
  let lost = hadRing ? 1 : 0;
  for (const testimony of others) {
    if (testimony.kind === "ring" && (newest === undefined || testimony.document.epoch > newest.epoch))
      newest = testimony.document;
    if (testimony.kind === "never") never += 1;
    if (testimony.kind === "lost") lost += 1;
  }
  const members = others.length + 1;
  assert(never + lost <= members, "each first member speaks once");
  if (newest !== undefined) return { kind: "adopt", document: newest };
  if (lost > 0) return wait(`${lost} of ${members} first members had a ring and have it no more`);
  if (never * 2 <= members) return wait(`${never} of ${members} first members can be reached, a majority is needed`);
  if (never < members && !isPatienceOver)
    return { ...wait(`${members - never} of ${members} first members cannot be reached yet`), isForSilent: true };
  return { kind: "found" };
}

function wait(why: string) {
  return { kind: "wait", why, isForSilent: false } as const;
}
