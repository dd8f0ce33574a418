/**
 * Which key a load touches next: uniform, or zipfian as web loads are.
 *
 * The zipfian generator is the constant-time approximation of Gray et al. 1994, "Quickly Generating Billion-Record
 * Synthetic Databases", §3.2, as YCSB uses it (Cooper et al. 2010, §4.1). Popular keys are scattered over the key
 * space by a seeded permutation, so that they are neighbours neither on the ring nor on disk. Not a general source of
 * randomness: everything here is seeded, so that a run can be repeated.
 */
import assert from "node:assert/strict";

/** Uniform over [0, 1). */
export type Uniform = () => number;

/** The next key's index, 0 .. keyCount − 1. */
export type KeyChooser = () => number;

/** A seeded generator (mulberry32): one seed gives one sequence. */
export function seededUniform(seed: number): Uniform {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** Every key equally often. */
export function uniformKeys(keyCount: number, uniform: Uniform): KeyChooser {
  return () => Math.floor(uniform() * keyCount);
}

/**
 * The k-th most popular key with a probability proportional to 1 / k^theta.
 *
 * @param keyCount 2 .. 2^32 keys.
 * @param theta 0 (uniform) .. below 1; 0.99 is YCSB's.
 */
export function zipfianKeys(keyCount: number, uniform: Uniform, theta = 0.99): KeyChooser {
  assert(keyCount >= 2 && theta >= 0 && theta < 1, "a zipfian choice needs two keys and 0 <= theta < 1");
  let zeta = 0;
  for (let rank = 1; rank <= keyCount; rank++) zeta += rank ** -theta;
  const zetaOfTwo = 1 + 2 ** -theta;
  const alpha = 1 / (1 - theta);
  const eta = (1 - (2 / keyCount) ** (1 - theta)) / (1 - zetaOfTwo / zeta);
  const keyOfRank = permutation(keyCount, uniform);
  return () => {
    const drawn = uniform();
    const scaled = drawn * zeta;
    let rank = 0;
    if (scaled >= zetaOfTwo) rank = Math.min(keyCount - 1, Math.floor(keyCount * (eta * drawn - eta + 1) ** alpha));
    else if (scaled >= 1) rank = 1;
    return keyOfRank[rank] ?? 0;
  };
}

/** The numbers 0 .. count − 1 in random order (Fisher and Yates). */
function permutation(count: number, uniform: Uniform): Uint32Array {
  const order = Uint32Array.from({ length: count }, (_, index) => index);
  for (let last = count - 1; last > 0; last--) {
    const other = Math.floor(uniform() * (last + 1));
    const kept = order[last] ?? 0;
    order[last] = order[other] ?? 0;
    order[other] = kept;
  }
  return order;
}
