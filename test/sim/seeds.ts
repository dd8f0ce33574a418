/**
 * Seeds that once broke a promise, and why; every test run tries them again.
 *
 * A seed draws the same run only as long as the simulator draws in the same order. The short ones are older than the
 * present faults and meet other runs now; the planted faults of their kind are what still looks for such bugs.
 */
import type { Size } from "./scenario.ts";

export const SEEDS: readonly { readonly seed: number; readonly size: Size; readonly why: string }[] = [
  { seed: 10, size: "short", why: "two writes that waited for one read of the disk both built on what it found" },
  { seed: 13, size: "short", why: "a blind overwrite that a cut had held back replaced what was written since" },
  { seed: 147, size: "short", why: "a replica with a slow clock lost the name of a write before older ones" },
  {
    seed: 1088,
    size: "short",
    why: "a hint of a failed batch surfaced when the store was opened again, and nobody knew of it",
  },
  {
    seed: 2077,
    size: "short",
    why: "a home and its stand-in both counted, and then the stand-in gave its copy to the home",
  },
  {
    seed: 2281,
    size: "short",
    why: "a hint was built upon one turn of promises after it was looked at, and lost what came between",
  },
  {
    seed: 133,
    size: "short",
    why: "a member with a new disk was believed, for it asked one that had lost its own and knew nobody",
  },
  {
    seed: 32,
    size: "counted",
    why: "while hints were counted anew after a failed batch, their budget was as good as unused",
  },
  {
    seed: 330,
    size: "counted",
    why: "a member that came back without a ring waited a minute for its first scrub, whatever its interval",
  },
];

/** The same of runs in which the ring changes. */
export const CHURN_SEEDS: typeof SEEDS = [
  {
    seed: 20039,
    size: "counted",
    why: "what a read showed of the present homes, unacknowledged, was missed by the next one, of the homes to be",
  },
  { seed: 511, size: "short", why: "a damaged record of a partition to give up could neither be offered nor dropped" },
  { seed: 29, size: "short", why: "a change waited in switch for a member that was lost for good" },
  {
    seed: 141,
    size: "short",
    why: "a member that joins had a ring chosen, and the others knew no address at which to ask it",
  },
];
