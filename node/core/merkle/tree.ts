/**
 * What a replica holds of one partition, summed up so that two replicas find where they differ by sending little.
 *
 * A leaf is a run of places (the top bits of a key's place, see `core/keyspace.ts`), and its sum is the sum of the
 * fingerprints of its records, each of four lanes modulo 2^32. Adding has an inverse and no order, so that a write
 * changes one leaf in O(1), and it does not cancel out as XOR does when a thing is there twice. An inner node is the sum of its
 * children: trees of different resolution agree on every node that both have, and a finer one folds into a coarser.
 *
 * Sources: Merkle 1987 for the tree; Bellare and Micciancio 1997 ("AdHash") for sums as hashes of sets; DeCandia et
 * al. 2007, §4.7 for its use between replicas.
 */
import assert from "node:assert/strict";
import type { Fingerprint } from "./fingerprint.ts";

/** Finest and coarsest resolution, as the number of a place's top bits that name a leaf. */
export const LEAF_BITS_MAX = 16;
export const LEAF_BITS_MIN = 4;
/** A tree with more keys a leaf than this, on average, should be made anew with more leaves. */
export const KEYS_PER_LEAF_MAX = 64;
/** Levels that one step of a comparison goes down at most: a fan-out of 16. */
export const STEP_BITS = 4;
/** A sum as bytes. */
export const SUM_BYTES = 16;

const LANES = 4;
const PLACE_BITS = 32;

/** Places `from` .. `until` − 1 of a node. */
export type Places = { readonly from: number; readonly until: number };

/** The resolution for so many keys: half full, so that it need not grow soon. */
export function leafBitsFor(keys: number): number {
  let bits = LEAF_BITS_MIN;
  while (bits < LEAF_BITS_MAX && keys > (KEYS_PER_LEAF_MAX / 2) << bits) bits += 1;
  return bits;
}

/**
 * The run of places that a node stands for.
 *
 * @param depth 0 (the root) .. `LEAF_BITS_MAX`.
 * @param node 0 .. 2^`depth` − 1.
 */
export function placesOf(depth: number, node: number): Places {
  const width = 2 ** (PLACE_BITS - depth);
  return { from: node * width, until: (node + 1) * width };
}

/** The tree of one partition; only the leaves and the root are kept, what is between is summed when it is asked for. */
export class MerkleTree {
  /** A leaf is the run of places that share so many top bits. */
  readonly bits: number;
  readonly #sums: Int32Array;
  readonly #counts: Int32Array;
  readonly #root = new Int32Array(LANES);
  #keys = 0;

  /** @param bits `LEAF_BITS_MIN` .. `LEAF_BITS_MAX`. */
  constructor(bits: number) {
    assert(Number.isInteger(bits) && bits >= LEAF_BITS_MIN && bits <= LEAF_BITS_MAX, "a resolution within bounds");
    this.bits = bits;
    this.#sums = new Int32Array(LANES << bits);
    this.#counts = new Int32Array(1 << bits);
  }

  /** Keys that have a record. */
  get keys(): number {
    return this.#keys;
  }

  isTooFull(): boolean {
    return this.bits < LEAF_BITS_MAX && this.#keys > KEYS_PER_LEAF_MAX << this.bits;
  }

  /** Takes a record in. */
  add(place: number, { a, b, c, d }: Fingerprint): void {
    this.#change(place >>> (PLACE_BITS - this.bits), 1, a, b, c, d);
  }

  /** Takes a record out that was taken in. */
  remove(place: number, { a, b, c, d }: Fingerprint): void {
    this.#change(place >>> (PLACE_BITS - this.bits), -1, -a, -b, -c, -d);
  }

  #change(leaf: number, count: number, a: number, b: number, c: number, d: number): void {
    const sums = this.#sums;
    const root = this.#root;
    const at = leaf * LANES;
    sums[at] = (sums[at] as number) + a;
    sums[at + 1] = (sums[at + 1] as number) + b;
    sums[at + 2] = (sums[at + 2] as number) + c;
    sums[at + 3] = (sums[at + 3] as number) + d;
    root[0] = (root[0] as number) + a;
    root[1] = (root[1] as number) + b;
    root[2] = (root[2] as number) + c;
    root[3] = (root[3] as number) + d;
    this.#counts[leaf] = (this.#counts[leaf] as number) + count;
    this.#keys += count;
  }

  /** The sum of everything, as a fresh array. */
  root(): Uint8Array {
    return bytesOf(this.#root);
  }

  /**
   * The sums of nodes, one after the other.
   *
   * @param depth 0 .. `bits`.
   * @param nodes Each 0 .. 2^`depth` − 1.
   */
  sums(depth: number, nodes: readonly number[]): Uint8Array {
    assert(depth >= 0 && depth <= this.bits, "a depth that the tree has");
    const found = new Int32Array(nodes.length * LANES);
    const leaves = 1 << (this.bits - depth);
    nodes.forEach((node, index) => {
      assert(node >= 0 && node < 2 ** depth, "a node of that depth");
      for (let at = node * leaves * LANES; at < (node + 1) * leaves * LANES; at++) {
        const lane = index * LANES + (at & (LANES - 1));
        found[lane] = (found[lane] as number) + (this.#sums[at] as number);
      }
    });
    return bytesOf(found);
  }

  /** The same content at a coarser resolution. */
  folded(bits: number): MerkleTree {
    assert(bits <= this.bits, "a tree folds into a coarser one");
    const coarse = new MerkleTree(bits);
    const shift = this.bits - bits;
    const counts = this.#counts;
    // Most leaves of a fine tree are empty, and an empty leaf's sum is zero.
    for (let leaf = 0; leaf < counts.length; leaf++) if (counts[leaf] !== 0) coarse.#take(leaf >>> shift, this, leaf);
    return coarse;
  }

  /** Adds a leaf of another tree to one of this tree. */
  #take(into: number, other: MerkleTree, leaf: number): void {
    const sums = other.#sums;
    const at = leaf * LANES;
    const [a, b, c, d] = [sums[at] as number, sums[at + 1] as number, sums[at + 2] as number, sums[at + 3] as number];
    const count = other.#counts[leaf] as number;
    if ((count | a | b | c | d) !== 0) this.#change(into, count, a, b, c, d);
  }

  /**
   * Puts what another tree of the same resolution says of some places in the place of what this one says.
   *
   * @returns How many leaves it was that changed.
   */
  replace(other: MerkleTree, { from, until }: Places): number {
    assert.equal(other.bits, this.bits, "leaves are exchanged between trees of one resolution");
    const width = 2 ** (PLACE_BITS - this.bits);
    let changed = 0;
    for (let leaf = from / width; leaf < until / width; leaf++) {
      if (this.#isSameLeaf(other, leaf)) continue;
      const at = leaf * LANES;
      const sums = this.#sums;
      this.#change(
        leaf,
        -(this.#counts[leaf] as number),
        -(sums[at] as number),
        -(sums[at + 1] as number),
        -(sums[at + 2] as number),
        -(sums[at + 3] as number),
      );
      this.#take(leaf, other, leaf);
      changed += 1;
    }
    return changed;
  }

  #isSameLeaf(other: MerkleTree, leaf: number): boolean {
    if (this.#counts[leaf] !== other.#counts[leaf]) return false;
    const at = leaf * LANES;
    for (let lane = at; lane < at + LANES; lane++) if (this.#sums[lane] !== other.#sums[lane]) return false;
    return true;
  }

  /** The whole tree as bytes: resolution (1), then of each leaf its count (uint32) and its sum. */
  encode(): Uint8Array {
    const out = new Uint8Array(1 + this.#counts.length * (4 + SUM_BYTES));
    const numbers = new DataView(out.buffer);
    out[0] = this.bits;
    let at = 1;
    for (let leaf = 0; leaf < this.#counts.length; leaf++) {
      numbers.setInt32(at, this.#counts[leaf] as number);
      for (let lane = 0; lane < LANES; lane++) {
        numbers.setInt32(at + 4 + lane * 4, this.#sums[leaf * LANES + lane] as number);
      }
      at += 4 + SUM_BYTES;
    }
    return out;
  }

  /** What `encode` made, or undefined for bytes of another length or resolution. Whether they are intact is the caller's to know. */
  static decode(bytes: Uint8Array): MerkleTree | undefined {
    const bits = bytes[0] ?? 0;
    if (bits < LEAF_BITS_MIN || bits > LEAF_BITS_MAX || bytes.length !== 1 + (4 + SUM_BYTES) * 2 ** bits)
      return undefined;
    const tree = new MerkleTree(bits);
    const numbers = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    for (let leaf = 0; leaf < 2 ** bits; leaf++) {
      const at = 1 + leaf * (4 + SUM_BYTES);
      tree.#change(
        leaf,
        numbers.getInt32(at),
        numbers.getInt32(at + 4),
        numbers.getInt32(at + 8),
        numbers.getInt32(at + 12),
        numbers.getInt32(at + 16),
      );
    }
    return tree;
  }
}

/** The lanes in big-endian order. */
function bytesOf(lanes: Int32Array): Uint8Array {
  const bytes = new Uint8Array(lanes.length * 4);
  const numbers = new DataView(bytes.buffer);
  for (let lane = 0; lane < lanes.length; lane++) numbers.setInt32(lane * 4, lanes[lane] as number);
  return bytes;
}
