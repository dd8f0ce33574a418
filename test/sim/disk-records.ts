/** Records as they lie on simulated disks, decoded once: a stored value never changes. */
import { decodeHint } from "../../node/core/hint.ts";
import type { KvRecord } from "../../node/core/version/record.ts";
import { decodeRecord, RecordCorruptError } from "../../node/core/version/record-codec.ts";

/** A hint, and whether a quorum counted it: one that none did may be given up. */
export type KeptHint = { readonly record: KvRecord; readonly isCounted: boolean };

const records = new WeakMap<Uint8Array, KvRecord>();
const hints = new WeakMap<Uint8Array, KeptHint>();

/** @param stored As `SimulatedDisk.peek` gives it. @returns Undefined for nothing, and for what rotted. */
export function recordIn(stored: Uint8Array | undefined): KvRecord | undefined {
  return decodedOnce(records, stored, decodeRecord);
}

/** As `recordIn`, of a hint. */
export function recordInHint(stored: Uint8Array | undefined): KvRecord | undefined {
  return hintIn(stored)?.record;
}

/** As `recordIn`, of a hint and of what is known of it. */
export function hintIn(stored: Uint8Array | undefined): KeptHint | undefined {
  return decodedOnce(hints, stored, (bytes) => {
    const { record, counted: isCounted } = decodeHint(bytes);
    return { record: decodeRecord(record), isCounted };
  });
}

/** What was decoded already of bytes that were copied, it need not be of the copy. */
export function inherit(copy: Uint8Array, original: Uint8Array): Uint8Array {
  for (const known of [records, hints] as readonly WeakMap<Uint8Array, unknown>[]) {
    const decoded = known.get(original);
    if (decoded !== undefined) known.set(copy, decoded);
  }
  return copy;
}

function decodedOnce<T>(
  known: WeakMap<Uint8Array, T>,
  stored: Uint8Array | undefined,
  decode: (bytes: Uint8Array) => T,
): T | undefined {
  if (stored === undefined) return undefined;
  const before = known.get(stored);
  if (before !== undefined) return before;
  try {
    const decoded = decode(stored);
    known.set(stored, decoded);
    return decoded;
  } catch (error) {
    if (!(error instanceof RecordCorruptError)) throw error;
    return undefined;
  }
}
