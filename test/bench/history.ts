/**
 * What a load wrote, and whether what it reads back can be true.
 *
 * Every write has a sequence number of its own; its value's bytes are derived from space, key and sequence number, so
 * that each byte of each answer is checked. The history keeps when each write was begun and when it was answered, by a
 * counter that grows with every such event: all writers and readers of a space live in one process, so the order is
 * exact.
 *
 * Let `floor` be the latest beginning among the writes of a key that were acknowledged before a read began. What the
 * read returns is stale when the write that made it had ended before `floor`: then some acknowledged write began after
 * its end and before the read, and the read saw neither that write nor one concurrent with it or later. With siblings
 * one fresh value is enough. A write with an unknown outcome has no end: it may surface at any time, unless
 * `endUnknown` is told that nothing of it can still be on its way.
 *
 * This is the pairwise part of linearizability, exact for what R + W > N promises; it is not a full linearizability
 * check (it does not relate reads to each other).
 */
import assert from "node:assert/strict";
import { seededUniform, type Uniform } from "./keys.ts";

/** Bytes in front of a value's filler: space, key, sequence number. */
export const VALUE_HEADER_BYTES = 12;

const FILLER_BYTES = 131_072;
const OPEN = Number.POSITIVE_INFINITY;

/** `stale`: an acknowledged write is hidden. `wrong`: bytes that nobody wrote, or that were refused. */
export type Verdict = "fresh" | "stale" | "wrong";

export class History {
  readonly keyCount: number;
  /** Writes begun so far; the next write's sequence number. */
  writeCount = 0;
  acknowledgedCount = 0;
  unknownCount = 0;

  readonly #space: number;
  readonly #filler: Buffer;
  #now = 1;
  /** By key: the latest beginning among its acknowledged writes, 0 before the first. */
  readonly #floors: Float64Array;
  /** By sequence number. */
  #keys = new Uint32Array(1024);
  #sizesBytes = new Uint32Array(1024);
  #begins = new Float64Array(1024);
  /** 0: answered that it was not applied. */
  #ends = new Float64Array(1024);
  readonly #unknown = new Set<number>();

  /**
   * @param space Tells this history's values from those of another in the same cluster.
   * @param keyCount Keys 0 .. keyCount − 1.
   */
  constructor(space: number, keyCount: number) {
    this.keyCount = keyCount;
    this.#space = space;
    this.#floors = new Float64Array(keyCount);
    this.#filler = incompressible(seededUniform(space + 1));
  }

  /** Begins a write and gives its sequence number. `sizeBytes` is VALUE_HEADER_BYTES .. 65,536. */
  beginWrite(key: number, sizeBytes: number): number {
    assert(sizeBytes >= VALUE_HEADER_BYTES && sizeBytes <= FILLER_BYTES / 2, "a value's size is out of its bounds");
    if (this.writeCount === this.#keys.length) this.#grow();
    const write = this.writeCount++;
    this.#keys[write] = key;
    this.#sizesBytes[write] = sizeBytes;
    this.#begins[write] = this.#now++;
    this.#ends[write] = OPEN;
    return write;
  }

  /** Writes the value of a write that was begun into `target` at `offset`. */
  fill(target: Buffer, offset: number, write: number): void {
    const sizeBytes = this.#sizesBytes[write] ?? 0;
    target.writeUInt32BE(this.#space, offset);
    target.writeUInt32BE(this.#keys[write] ?? 0, offset + 4);
    target.writeUInt32BE(write, offset + 8);
    const from = fillerOffset(write);
    this.#filler.copy(target, offset + VALUE_HEADER_BYTES, from, from + sizeBytes - VALUE_HEADER_BYTES);
  }

  acknowledged(write: number): void {
    const key = this.#keys[write] ?? 0;
    this.acknowledgedCount++;
    this.#ends[write] = this.#now++;
    const begin = this.#begins[write] ?? 0;
    if (begin > (this.#floors[key] ?? 0)) this.#floors[key] = begin;
  }

  /** The answer said that the write was not applied and never will be. */
  refused(write: number): void {
    this.#ends[write] = 0;
  }

  /** The write may have been applied, and may still be. */
  unknown(write: number): void {
    this.unknownCount++;
    this.#unknown.add(write);
  }

  /** Nothing of the writes with an unknown outcome is on its way any more: each is applied by now, or never. */
  endUnknown(): void {
    const end = this.#now++;
    for (const write of this.#unknown) this.#ends[write] = end;
    this.#unknown.clear();
  }

  /** What a read of `key` that begins now must not fall behind; to be given to `check`. */
  beginRead(key: number): number {
    return this.#floors[key] ?? 0;
  }

  /** Judges what a read that began at `floor` returned: no value (not found), one, or siblings. */
  check(key: number, floor: number, values: readonly Buffer[]): Verdict {
    let fresh = floor === 0;
    for (const value of values) {
      const write = this.#writeOf(key, value);
      if (write === undefined) return "wrong";
      if ((this.#ends[write] ?? 0) >= floor) fresh = true;
    }
    return fresh ? "fresh" : "stale";
  }

  /** The write that made these bytes for this key, or undefined when there was none. */
  #writeOf(key: number, value: Buffer): number | undefined {
    if (value.length < VALUE_HEADER_BYTES) return undefined;
    const write = value.readUInt32BE(8);
    if (value.readUInt32BE(0) !== this.#space || value.readUInt32BE(4) !== key) return undefined;
    if (write >= this.writeCount || this.#keys[write] !== key || this.#ends[write] === 0) return undefined;
    if (this.#sizesBytes[write] !== value.length) return undefined;
    const from = fillerOffset(write);
    const until = from + value.length - VALUE_HEADER_BYTES;
    return this.#filler.compare(value, VALUE_HEADER_BYTES, value.length, from, until) === 0 ? write : undefined;
  }

  #grow(): void {
    const length = this.#keys.length * 2;
    this.#keys = copyInto(new Uint32Array(length), this.#keys);
    this.#sizesBytes = copyInto(new Uint32Array(length), this.#sizesBytes);
    this.#begins = copyInto(new Float64Array(length), this.#begins);
    this.#ends = copyInto(new Float64Array(length), this.#ends);
  }
}

function copyInto<A extends Uint32Array | Float64Array>(target: A, source: A): A {
  target.set(source);
  return target;
}

/** Where in the filler a write's bytes begin; neighbours in sequence begin far apart. */
function fillerOffset(write: number): number {
  return (Math.imul(write + 1, 0x9e3779b1) >>> 0) % (FILLER_BYTES / 2);
}

/** Random bytes, so that compression cannot make the work smaller than it is for a user's worst data. */
function incompressible(uniform: Uniform): Buffer {
  const bytes = Buffer.allocUnsafe(FILLER_BYTES);
  for (let offset = 0; offset < FILLER_BYTES; offset += 4) {
    bytes.writeUInt32BE(Math.floor(uniform() * 4_294_967_296), offset);
  }
  return bytes;
}
