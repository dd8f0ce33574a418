/**
 * The half of a fingerprint that a backup keeps of each record, and sums of those by leaf.
 *
 * Lanes of a sum do not mix (tree.ts), so the first two of them are the sums of the first halves: a backup that knows of each
 * record its place and 64 bits can be compared with the trees of the cluster, at any resolution. Two records with the same half would be
 * taken for one another; of a thousand million records that change it happens once in eighteen thousand million backups.
 *
 * A brief is 8 bytes, big-endian, as a bigint in memory.
 */
import type { Fingerprint } from "./fingerprint.ts";
import { SUM_BYTES } from "./tree.ts";

/** A brief, or a sum of briefs, as bytes. */
export const BRIEF_BYTES = 8;

const PLACE_BITS = 32;

/** The leaves of a partition as its homes sum them up. */
export type LeafSums = {
  readonly epoch: number;
  /** Resolution: 2^bits leaves, 4 .. 16. */
  readonly bits: number;
  /** Of each leaf the first 8 bytes of its sum; of one that homes do not agree on, what one of them says. */
  readonly sums: Uint8Array;
  /** Leaves that the homes do not agree on. */
  readonly unlike: readonly number[];
};

/** A leaf and what a backup holds of it. */
export type HeldLeaf = { readonly leaf: number; readonly briefs: readonly bigint[] };

/** Lanes a and b of a fingerprint. */
export function briefOf({ a, b }: Fingerprint): bigint {
  return (BigInt(a >>> 0) << 32n) | BigInt(b >>> 0);
}

/** One after the other. */
export function packBriefs(briefs: readonly bigint[]): Uint8Array {
  const packed = new Uint8Array(briefs.length * BRIEF_BYTES);
  const view = new DataView(packed.buffer);
  briefs.forEach((brief, index) => {
    view.setBigUint64(index * BRIEF_BYTES, brief);
  });
  return packed;
}

/** What `packBriefs` made; undefined for bytes that are no such list. */
export function unpackBriefs(packed: Uint8Array): bigint[] | undefined {
  if (packed.length % BRIEF_BYTES !== 0) return undefined;
  const view = viewOf(packed);
  return Array.from({ length: packed.length / BRIEF_BYTES }, (_, index) => view.getBigUint64(index * BRIEF_BYTES));
}

/** The first halves of sums as `MerkleTree.sums` gives them. */
export function halvesOf(sums: Uint8Array): Uint8Array {
  const halves = new Uint8Array(sums.length / 2);
  for (let at = 0; at < sums.length; at += SUM_BYTES) halves.set(sums.subarray(at, at + BRIEF_BYTES), at / 2);
  return halves;
}

/** The leaf of a place in a tree of some resolution. */
export function leafOf(place: number, bits: number): number {
  return place >>> (PLACE_BITS - bits);
}

/**
 * What `halvesOf` gives for all leaves of a tree with these records.
 *
 * @param bits Of the tree, 1 .. 16.
 */
export function briefSums(
  bits: number,
  records: Iterable<{ readonly place: number; readonly brief: bigint }>,
): Uint8Array {
  const lanes = new Int32Array(2 << bits);
  for (const { place, brief } of records) {
    const at = leafOf(place, bits) * 2;
    lanes[at] = (lanes[at] as number) + Number(BigInt.asIntN(32, brief >> 32n));
    lanes[at + 1] = (lanes[at + 1] as number) + Number(BigInt.asIntN(32, brief));
  }
  const sums = new Uint8Array(lanes.length * 4);
  const view = new DataView(sums.buffer);
  lanes.forEach((lane, index) => {
    view.setInt32(index * 4, lane);
  });
  return sums;
}

/** Leaves whose sums are not the same. */
export function differingLeaves(mine: Uint8Array, theirs: Uint8Array): number[] {
  const [own, others] = [viewOf(mine), viewOf(theirs)];
  const leaves: number[] = [];
  for (let leaf = 0; leaf * BRIEF_BYTES < mine.length; leaf++) {
    const at = leaf * BRIEF_BYTES;
    if (own.getBigUint64(at) !== others.getBigUint64(at)) leaves.push(leaf);
  }
  return leaves;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}
