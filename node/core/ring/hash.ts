/**
 * Where a key lives in the hash space: XXH64 of its bytes (seed 0), and the partition that its top bits name.
 *
 * The hash space 0 .. 2^64 − 1 is cut into equal parts, so the partition is a shift and never a search (Dynamo,
 * DeCandia et al. 2007, §6.2, strategy 3). The mapping is on every disk and in every ring: golden vectors in
 * the tests keep it from changing. It is no cryptographic hash: who chooses keys can choose the partition.
 */
import assert from "node:assert/strict";
import xxhash from "xxhash-wasm";

/** Loaded once, before anything can ask for a key: the one promise in core. */
const { h32Raw, h64Raw } = await xxhash();

/**
 * XXH64 with seed 0.
 *
 * @param key Opaque bytes of any length. Not kept.
 * @returns 0 .. 2^64 − 1.
 */
export function keyHash(key: Uint8Array): bigint {
  return h64Raw(key);
}

/** `SHIFTS[b]` leaves the top b bits of a 64-bit hash; made once, so that a lookup makes one bigint only. */
const SHIFTS: readonly bigint[] = Array.from({ length: 17 }, (_, bits) => BigInt(64 - bits));

/**
 * The partition of a key: the top log2(`partitions`) bits of its hash.
 *
 * @param partitions A power of two, 1 .. 65_536.
 * @returns 0 .. `partitions` − 1.
 */
export function partitionOf(key: Uint8Array, partitions: number): number {
  const shift = SHIFTS[31 - Math.clz32(partitions)];
  assert(shift !== undefined, "a ring has 1 .. 65_536 partitions");
  return Number(h64Raw(key) >> shift);
}

/**
 * The place of a key within its partition: XXH32 with seed 0, which tells nothing of the partition. Records lie on
 * disk in the order of their places, and a leaf of a Merkle tree is a run of places; kept from changing as `keyHash`.
 *
 * @returns 0 .. 2^32 − 1.
 */
export function placeOf(key: Uint8Array): number {
  return h32Raw(key, 0);
}

/**
 * The first hash of a partition, as tokens are shown: 16 hex digits.
 *
 * @param partition 0 .. `partitions` − 1.
 * @param partitions A power of two, 1 .. 65_536.
 */
export function tokenOf(partition: number, partitions: number): string {
  assert(partition >= 0 && partition < partitions, "a token belongs to a partition of the ring");
  return ((BigInt(partition) << 64n) / BigInt(partitions)).toString(16).padStart(16, "0");
}

const encoder = new TextEncoder();

/** 32 well-mixed bits of a name, for orders that every node must draw alike. */
export function nameHash(name: string): number {
  return Number(h64Raw(encoder.encode(name)) & 0xffff_ffffn);
}

/**
 * Mixes two 32-bit numbers into one that looks random: the finalizer of MurmurHash3 over a Weyl step.
 *
 * @returns 0 .. 2^32 − 1.
 */
export function mix32(seed: number, value: number): number {
  let mixed = (seed ^ Math.imul(value + 1, 0x9e37_79b9)) | 0;
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85eb_ca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2_ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}
