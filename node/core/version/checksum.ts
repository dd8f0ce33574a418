/** The checksum of stored and sent records and tokens: xxHash32, which finds accidents and stops no forger. */
import xxhash from "xxhash-wasm";

const { h32Raw } = await xxhash();

/** 0 .. 2^32 − 1. The seed makes equal bytes in different places differ. */
export function checksumOf(bytes: Uint8Array, seed: number): number {
  return h32Raw(bytes, seed);
}
