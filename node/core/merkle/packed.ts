/**
 * Lists of a comparison as one byte string each, since a message between members has few fields and no lists.
 *
 * | what       | bytes of each item                                                          |
 * | ---------- | --------------------------------------------------------------------------- |
 * | numbers    | uint32                                                                      |
 * | roots      | bits of a place that name a leaf (0: no tree yet), + 128 where the replica  |
 * |            | is not complete (uint8), sum (16)                                           |
 * | leaf keys  | length of the key (uint16), key, fingerprint (16)                           |
 *
 * Reading never throws: undefined stands for bytes that are no such list.
 */
import type { LeafKey } from "./difference.ts";
import { LEAF_BITS_MAX, LEAF_BITS_MIN, SUM_BYTES } from "./tree.ts";

/** What a replica says of one partition; undefined while its tree is not built. */
export type PartitionRoot =
  | {
      readonly bits: number;
      readonly sum: Uint8Array;
      /** Whether the replica lacks nothing that it acknowledged under its name; see services/completeness.ts. */
      readonly isComplete: boolean;
    }
  | undefined;

const ROOT_BYTES = 1 + SUM_BYTES;
const INCOMPLETE = 0x80;
const LEAF_KEY_BYTES = 2 + SUM_BYTES;

/** @param numbers Each 0 .. 2^32 − 1. */
export function packNumbers(numbers: readonly number[]): Uint8Array {
  const packed = new Uint8Array(numbers.length * 4);
  const view = new DataView(packed.buffer);
  numbers.forEach((number, index) => {
    view.setUint32(index * 4, number);
  });
  return packed;
}

/** What `packNumbers` made. */
export function unpackNumbers(packed: Uint8Array): number[] | undefined {
  if (packed.length % 4 !== 0) return undefined;
  const view = new DataView(packed.buffer, packed.byteOffset, packed.length);
  return Array.from({ length: packed.length / 4 }, (_, index) => view.getUint32(index * 4));
}

/** Roots in the order in which they were asked for. */
export function packRoots(roots: readonly PartitionRoot[]): Uint8Array {
  const packed = new Uint8Array(roots.length * ROOT_BYTES);
  roots.forEach((root, index) => {
    if (root === undefined) return;
    packed[index * ROOT_BYTES] = root.bits | (root.isComplete ? 0 : INCOMPLETE);
    packed.set(root.sum, index * ROOT_BYTES + 1);
  });
  return packed;
}

/** What `packRoots` made. */
export function unpackRoots(packed: Uint8Array): PartitionRoot[] | undefined {
  if (packed.length % ROOT_BYTES !== 0) return undefined;
  const roots: PartitionRoot[] = [];
  for (let at = 0; at < packed.length; at += ROOT_BYTES) {
    const bits = (packed[at] as number) & ~INCOMPLETE;
    const isComplete = ((packed[at] as number) & INCOMPLETE) === 0;
    if (bits !== 0 && (bits < LEAF_BITS_MIN || bits > LEAF_BITS_MAX)) return undefined;
    roots.push(bits === 0 ? undefined : { bits, sum: packed.subarray(at + 1, at + ROOT_BYTES), isComplete });
  }
  return roots;
}

/** The keys of a leaf, or of several. */
export function packLeafKeys(entries: readonly LeafKey[]): Uint8Array {
  let sizeBytes = 0;
  for (const { key } of entries) sizeBytes += LEAF_KEY_BYTES + key.length;
  const packed = new Uint8Array(sizeBytes);
  const view = new DataView(packed.buffer);
  let at = 0;
  for (const { key, print } of entries) {
    view.setUint16(at, key.length);
    packed.set(key, at + 2);
    at += 2 + key.length;
    view.setInt32(at, print.a);
    view.setInt32(at + 4, print.b);
    view.setInt32(at + 8, print.c);
    view.setInt32(at + 12, print.d);
    at += SUM_BYTES;
  }
  return packed;
}

/** What `packLeafKeys` made; the keys are views into it. */
export function unpackLeafKeys(packed: Uint8Array): LeafKey[] | undefined {
  const view = new DataView(packed.buffer, packed.byteOffset, packed.length);
  const entries: LeafKey[] = [];
  let at = 0;
  while (at < packed.length) {
    if (at + 2 > packed.length) return undefined;
    const keyEnd = at + 2 + view.getUint16(at);
    if (keyEnd + SUM_BYTES > packed.length) return undefined;
    const key = packed.subarray(at + 2, keyEnd);
    if (key.length === 0) return undefined;
    const [a, b, c, d] = [0, 4, 8, 12].map((offset) => view.getInt32(keyEnd + offset)) as [
      number,
      number,
      number,
      number,
    ];
    entries.push({ key, print: { a, b, c, d } });
    at = keyEnd + SUM_BYTES;
  }
  return entries;
}
