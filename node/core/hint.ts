/**
 * A hint as bytes on disk: a record that a home replica missed, and what must be known to deliver or to drop it.
 *
 *   0        1       2              8            12
 *   ├────────┼───────┼──────────────┼────────────┼────────────────
 *   │ format │ flags │ stored at ms │ checksum   │ record, encoded (with a checksum of its own)
 *   └────────┴───────┴──────────────┴────────────┴────────────────
 *
 * The checksum is over what stands before it: a flipped flag would let a hint expire that W counted. Where the record
 * belongs is said by its storage key (keyspace.ts).
 */
import { equalBytes } from "./bytes.ts";
import { checksumOf } from "./version/checksum.ts";
import { mergeEncoded } from "./version/merge-encoded.ts";
import { decodeRecord, RecordCorruptError } from "./version/record-codec.ts";

/** What is kept for one key and one target; the writes of a key that the target missed are one hint. */
export type Hint = {
  /** A write's quorum counted this copy (of one of the writes in it): it never expires and is never dropped. */
  readonly counted: boolean;
  /** A dot in it was made here, standing in: without the hint this node would not know what it stamped. */
  readonly stampedHere: boolean;
  /** Wall clock, ms since 1970, of the newest write in it. */
  readonly storedAtMs: number;
  /** Encoded, see version/record-codec.ts. */
  readonly record: Uint8Array;
};

const FORMAT = 1;
const HEAD_BYTES = 12;
const CHECKSUM_AT = 8;
const CHECKSUM_SEED = 0x68696e74;
const COUNTED = 1;
const STAMPED_HERE = 2;
const FLAGS = COUNTED | STAMPED_HERE;
const STORED_AT_BYTES = 6;
const STORED_AT_MAX = 2 ** (8 * STORED_AT_BYTES) - 1;

/** Fresh bytes. A time that a broken clock shows is stored as the nearest one that fits. */
export function encodeHint({ counted, stampedHere, storedAtMs, record }: Hint): Uint8Array {
  const bytes = Buffer.allocUnsafe(HEAD_BYTES + record.length);
  bytes[0] = FORMAT;
  bytes[1] = (counted ? COUNTED : 0) | (stampedHere ? STAMPED_HERE : 0);
  bytes.writeUIntBE(Math.min(STORED_AT_MAX, Math.max(0, Math.floor(storedAtMs))), 2, STORED_AT_BYTES);
  bytes.writeUInt32BE(checksumOf(bytes.subarray(0, CHECKSUM_AT), CHECKSUM_SEED), CHECKSUM_AT);
  bytes.set(record, HEAD_BYTES);
  return bytes;
}

/**
 * Reads a hint and checks the record in it.
 *
 * @returns A view into the bytes.
 * @throws {RecordCorruptError} Damaged, or of a newer release.
 */
export function decodeHint(bytes: Uint8Array): Hint {
  const flags = bytes[1] ?? 0;
  if (bytes.length < HEAD_BYTES || bytes[0] !== FORMAT) throw new RecordCorruptError("no hint of a known format");
  const head = Buffer.from(bytes.buffer, bytes.byteOffset, HEAD_BYTES);
  if (head.readUInt32BE(CHECKSUM_AT) !== checksumOf(head.subarray(0, CHECKSUM_AT), CHECKSUM_SEED))
    throw new RecordCorruptError("the checksum of a hint does not match");
  if ((flags & ~FLAGS) !== 0) throw new RecordCorruptError("a hint with unknown flags");
  const record = bytes.subarray(HEAD_BYTES);
  decodeRecord(record);
  return {
    counted: (flags & COUNTED) !== 0,
    stampedHere: (flags & STAMPED_HERE) !== 0,
    storedAtMs: head.readUIntBE(2, STORED_AT_BYTES),
    record,
  };
}

/**
 * Joins what is kept with what has come. That a copy was counted, or stamped here, stays true of the joined one.
 *
 * @param held What is kept for the key and target, or undefined.
 * @returns `held` itself when the other adds nothing to keep.
 * @throws {RecordCorruptError} The record that came is none.
 */
export function mergeHints(held: Hint | undefined, incoming: Hint): Hint {
  if (held === undefined) {
    decodeRecord(incoming.record);
    return incoming;
  }
  const { bytes } = mergeEncoded(held.record, incoming.record, incoming.storedAtMs);
  const counted = held.counted || incoming.counted;
  const stampedHere = held.stampedHere || incoming.stampedHere;
  const isSame = counted === held.counted && stampedHere === held.stampedHere && equalBytes(bytes, held.record);
  if (isSame) return held;
  return { counted, stampedHere, storedAtMs: Math.max(held.storedAtMs, incoming.storedAtMs), record: bytes };
}
