/**
 * Merging encoded records: the form in which they lie on disk and arrive from peers.
 *
 * Most merges end with bytes that are already at hand, because the record that arrived descends from the one held (a
 * new write), or the other way round (a repetition). Those bytes are given back, not written anew.
 */
import { equalBytes } from "../bytes.ts";
import { received } from "./arrival.ts";
import { type KvRecord, mergeRecords } from "./record.ts";
import { type CorruptSource, decodeRecord, encodeRecord, RecordCorruptError } from "./record-codec.ts";

export type MergedBytes = {
  /** The join, encoded: `local` or `incoming` itself where that is the join. */
  readonly bytes: Uint8Array;
  /** The join, unless nothing had to be decoded to know it. Views into the bytes that it came from. */
  readonly record: KvRecord | undefined;
  /** Whether the join is more than `local`: then there is something to store. */
  readonly changed: boolean;
};

/**
 * @param local What is held for the key, or undefined.
 * @param incoming What arrived for the same key.
 * @param arrivedAtMs Wall clock, ms since 1970, where the join is to be kept by whoever holds `local`: its events are put in the order
 *   of their arrival. Absent: nobody holds it, and it is just the join.
 * @throws {RecordCorruptError} whose `source` says which of the two it is about.
 */
export function mergeEncoded(local: Uint8Array | undefined, incoming: Uint8Array, arrivedAtMs?: number): MergedBytes {
  if (local === undefined) return { bytes: incoming, record: decodeFrom(incoming, "incoming"), changed: true };
  if (equalBytes(local, incoming)) return { bytes: local, record: undefined, changed: false };
  const theirs = decodeFrom(incoming, "incoming");
  const ours = decodeFrom(local, "local");
  const merged = arrivedAtMs === undefined ? mergeRecords(ours, theirs) : received(ours, theirs, arrivedAtMs);
  if (merged === ours) return { bytes: local, record: ours, changed: false };
  if (merged === theirs) return { bytes: incoming, record: theirs, changed: true };
  return { bytes: encodeRecord(merged), record: merged, changed: true };
}

/**
 * What a record comes to once a home has said that a horizon covers all of it: its values were deleted, and its context
 * still replaces them for whoever writes upon it.
 *
 * @throws {RecordCorruptError}
 */
export function withoutSiblings(record: Uint8Array): Uint8Array {
  return encodeRecord({ ...decodeRecord(record), siblings: [] });
}

function decodeFrom(bytes: Uint8Array, source: CorruptSource): KvRecord {
  try {
    return decodeRecord(bytes);
  } catch (error) {
    if (error instanceof RecordCorruptError) throw new RecordCorruptError(error.reason, source);
    throw error;
  }
}
