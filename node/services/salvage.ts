/**
 * Reads what a data directory holds, record by record, without a cluster: for a directory that was set aside because the
 * members went on without it (see leftovers.ts), or that somebody wants to look into.
 *
 * Hints are read as well: what a lost member kept for others may be nowhere else. A key may come more than once, first of
 * the records, then of hints. What is damaged is left out and counted.
 */
import { decodeHint } from "../core/hint.ts";
import { hintsRange, parseHintKey, parsePartitionedKey, partitionRange, type StorageRange } from "../core/keyspace.ts";
import type { KvRecord } from "../core/version/record.ts";
import { decodeRecord, RecordCorruptError } from "../core/version/record-codec.ts";
import type { Engine, Entry } from "../ports.ts";
import { pagesOf } from "./stored-pages.ts";

export type SalvagedRecord = {
  readonly key: Uint8Array;
  readonly record: KvRecord;
  /** The member that it is kept for, of a hint. */
  readonly hintFor: string | undefined;
};

export type SalvageCounts = { records: number; hints: number; damaged: number };

const PAGE_ENTRIES = 256;
const PARTITION_MAX = 65_535;

/**
 * @param engine Opened on the directory; only read.
 * @param counts Is added to on the way.
 */
export async function* salvage(engine: Engine, counts: SalvageCounts): AsyncGenerator<SalvagedRecord> {
  const all = { from: partitionRange(0).from, until: partitionRange(PARTITION_MAX).until };
  for await (const { key: at, value } of entriesOf(engine, all)) {
    const record = soundOnly(() => decodeRecord(value), counts);
    if (record === undefined) continue;
    counts.records += 1;
    yield { key: parsePartitionedKey(at).key, record, hintFor: undefined };
  }
  for await (const { key: at, value } of entriesOf(engine, hintsRange())) {
    const record = soundOnly(() => decodeRecord(decodeHint(value).record), counts);
    if (record === undefined) continue;
    counts.hints += 1;
    const { key, target } = parseHintKey(at);
    yield { key, record, hintFor: target };
  }
}

async function* entriesOf(engine: Engine, range: StorageRange): AsyncGenerator<Entry> {
  for await (const page of pagesOf(engine, range, PAGE_ENTRIES)) yield* page;
}

function soundOnly(decode: () => KvRecord, counts: SalvageCounts): KvRecord | undefined {
  try {
    return decode();
  } catch (error) {
    if (!(error instanceof RecordCorruptError)) throw error;
    counts.damaged += 1;
    return undefined;
  }
}
