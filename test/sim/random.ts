/**
 * The simulator's randomness: one seed gives one run.
 *
 * Each concern draws from a stream of its own, named by a path ("network/a-b"), so that one more draw in one place
 * does not shift all the others and a failing run stays the same run while it is studied. The generator is sfc32
 * (Chris Doty-Humphrey, PractRand): 128 bits of state, integers only. Probabilities are exact ratios, never floats.
 * It is not for secrets.
 */
import assert from "node:assert/strict";
import type { Random } from "../../node/ports.ts";

/** Numerator and denominator of a probability: [1, 100] is one in a hundred. */
export type Ratio = readonly [numerator: number, denominator: number];

export type SeededRandom = Random & {
  /** An independent stream; the same name gives the same stream, whatever was drawn here before. */
  stream(name: string): SeededRandom;
  /** A whole number from 0 to `bound` − 1, all equally likely; `bound` 1 .. 2^32. */
  below(bound: number): number;
  /** A whole number from `min` to `max`, both included. */
  between(min: number, max: number): number;
  /** True with the given probability. */
  chance(ratio: Ratio): boolean;
  /** One of the items, of which there is at least one. */
  pick<T>(items: readonly T[]): T;
  /** A copy in another order. */
  shuffle<T>(items: readonly T[]): T[];
};

/** @param seed Any whole number; its lower 53 bits count. */
export function createSeededRandom(seed: number): SeededRandom {
  return new Sfc32(`seed ${Math.trunc(seed)}`);
}

const TWO_TO_32 = 2 ** 32;

class Sfc32 implements SeededRandom {
  readonly #path: string;
  #a: number;
  #b: number;
  #c: number;
  #counter = 1;

  constructor(path: string) {
    this.#path = path;
    this.#a = hash(path, 0x9e3779b9);
    this.#b = hash(path, 0x243f6a88);
    this.#c = hash(path, 0xb7e15162);
    // The first draws still show how alike two paths are.
    for (let round = 0; round < 16; round++) this.uint32();
  }

  uint32(): number {
    const sum = (this.#a + this.#b + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + sum) | 0;
    return sum >>> 0;
  }

  bytes(count: number): Uint8Array {
    const bytes = new Uint8Array(count);
    for (let index = 0; index < count; index += 4) {
      const word = this.uint32();
      for (let byte = 0; byte < 4 && index + byte < count; byte++) bytes[index + byte] = word >>> (8 * byte);
    }
    return bytes;
  }

  stream(name: string): SeededRandom {
    return new Sfc32(`${this.#path}/${name}`);
  }

  below(bound: number): number {
    assert(Number.isInteger(bound) && bound >= 1 && bound <= TWO_TO_32, "a bound is 1 .. 2^32");
    // Draws from the last, incomplete round of the bound are thrown away: they would favour small numbers.
    const complete = TWO_TO_32 - (TWO_TO_32 % bound);
    let draw = this.uint32();
    while (draw >= complete) draw = this.uint32();
    return draw % bound;
  }

  between(min: number, max: number): number {
    return min + this.below(max - min + 1);
  }

  chance([numerator, denominator]: Ratio): boolean {
    // Nothing is drawn for what cannot happen, so that a fault that is off does not change the run.
    return numerator > 0 && this.below(denominator) < numerator;
  }

  pick<T>(items: readonly T[]): T {
    assert(items.length > 0, "there is something to pick from");
    return items[this.below(items.length)] as T;
  }

  shuffle<T>(items: readonly T[]): T[] {
    const shuffled = [...items];
    for (let last = shuffled.length - 1; last > 0; last--) {
      const other = this.below(last + 1);
      [shuffled[last], shuffled[other]] = [shuffled[other] as T, shuffled[last] as T];
    }
    return shuffled;
  }
}

/** FNV-1a over UTF-16 units, with the finalizer of MurmurHash3 so that every bit of the text reaches every bit. */
function hash(text: string, basis: number): number {
  let state = basis | 0;
  for (let index = 0; index < text.length; index++) state = Math.imul(state ^ text.charCodeAt(index), 0x01000193);
  state = Math.imul(state ^ (state >>> 16), 0x85ebca6b);
  state = Math.imul(state ^ (state >>> 13), 0xc2b2ae35);
  return state ^ (state >>> 16);
}
