/**
 * A record of a key in 128 bits: what the leaves of a Merkle tree are sums of.
 *
 * Two runs of XXH64 over the record's canonical bytes, each under a seed that is the hash of the key, so that the
 * same record under two keys counts twice. A value that expires is left out of it: from the moment of its expiry it is
 * a tombstone of the same dot, and replicas drop its bytes when they get to it (design §5), each in its own time. Its
 * dot names it all the same, for no two values have one dot. Not cryptographic: who chooses what is stored could
 * hide a difference, which would cost only its own repair.
 */
import xxhash from "xxhash-wasm";
import type { KvRecord, Sibling } from "../version/record.ts";
import { encodeRecord } from "../version/record-codec.ts";

const { h64Raw } = await xxhash();

/** Four lanes of 32 bits, as signed numbers: those need no place on the heap. */
export type Fingerprint = { readonly a: number; readonly b: number; readonly c: number; readonly d: number };

const SEED_AB = 0x9e37_79b9_7f4a_7c15n;
const SEED_CD = 0xc2b2_ae3d_27d4_eb4fn;

/**
 * @param key The client's key.
 * @param bytes The record as `encodeRecord` writes it.
 * @param record The same, decoded.
 */
export function fingerprintOf(key: Uint8Array, bytes: Uint8Array, record: KvRecord): Fingerprint {
  const hashed = record.siblings.some(expires) ? encodeRecord(withoutExpiring(record)) : bytes;
  const ab = h64Raw(hashed, h64Raw(key, SEED_AB));
  const cd = h64Raw(hashed, h64Raw(key, SEED_CD));
  return { a: low(ab), b: high(ab), c: low(cd), d: high(cd) };
}

/** Whether two fingerprints are of the same record of the same key. */
export function equalFingerprints(a: Fingerprint, b: Fingerprint): boolean {
  return a.a === b.a && a.b === b.b && a.c === b.c && a.d === b.d;
}

function expires(sibling: Sibling): boolean {
  return sibling.expiresAtMs !== undefined;
}

function withoutExpiring(record: KvRecord): KvRecord {
  const siblings = record.siblings.map((sibling) =>
    expires(sibling) ? { ...sibling, value: undefined, contentType: "" } : sibling,
  );
  return { ...record, siblings };
}

function low(hash: bigint): number {
  return Number(BigInt.asIntN(32, hash));
}

function high(hash: bigint): number {
  return Number(BigInt.asIntN(32, hash >> 32n));
}
