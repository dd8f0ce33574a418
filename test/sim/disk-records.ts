/** Records as they lie on simulated disks, decoded once: a stored value never changes. */
import { decodeHint } from "../../node/core/hint.ts";
import type { KvRecord } from "../../node/core/version/record.ts";
import { decodeRecord, RecordCorruptError } from "../../node/core/version/record-codec.ts";

const decoded = new WeakMap<Uint8Array, KvRecord>();

/** @param stored As `SimulatedDisk.peek` gives it. @returns Undefined for nothing, and for what rotted. */
export function recordIn(stored: Uint8Array | undefined): KvRecord | undefined {
  return decodedOnce(stored, decodeRecord);
}

/** As `recordIn`, of a hint. */
export function recordInHint(stored: Uint8Array | undefined): KvRecord | undefined {
  return decodedOnce(stored, (bytes) => decodeRecord(decodeHint(bytes).record));
}

/** What was decoded already of bytes that were copied, it need not be of the copy. */
export function inherit(copy: Uint8Array, original: Uint8Array): Uint8Array {
  const known = decoded.get(original);
  if (known !== undefined) decoded.set(copy, known);
  return copy;
}

function decodedOnce(stored: Uint8Array | undefined, decode: (bytes: Uint8Array) => KvRecord): KvRecord | undefined {
  if (stored === undefined) return undefined;
  const known = decoded.get(stored);
  if (known !== undefined) return known;
  try {
    const record = decode(stored);
    decoded.set(stored, record);
    return record;
  } catch (error) {
    if (!(error instanceof RecordCorruptError)) throw error;
    return undefined;
  }
}
