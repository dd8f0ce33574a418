/**
 * What lies on a simulated disk, and what of it survives.
 *
 * It follows LevelDB: batches are appended to a log; a full log is replaced by a new one and turned into a table in
 * the background, which is synced; a synced batch syncs the log it is in and no other. So what a loss of power takes
 * is the end of the newest log from some point on, and, independently, the end of the one before it while that is not
 * a table yet.
 *
 *   batch ──> newest log ──(full)──> older log ──(table written, or the log after it full)──> durable
 *                 └───────(synced batch)───────────────────────────────────────────────────────^
 */
import assert from "node:assert/strict";
import type { EngineWrite, Entry, ScanRange } from "../../node/ports.ts";
import type { SeededRandom } from "./random.ts";

type LoggedBatch = { readonly order: number; readonly atMs: number; readonly writes: readonly EngineWrite[] };

/** A key of which a loss of power took the newest value. */
export type LostValue = {
  readonly key: Uint8Array;
  /** When the oldest of the lost batches that wrote it was applied: what was written before is still there. */
  readonly fromMs: number;
};

/** `value` undefined: a deletion, remembered because an older log may become durable later. */
type DurableEntry = { readonly order: number; readonly value: Uint8Array | undefined };

export type DiskContents = {
  get(key: Uint8Array): Uint8Array | undefined;
  /** What is stored, itself and not a copy: for checkers, who only look. */
  peek(key: Uint8Array): Uint8Array | undefined;
  scan(range: ScanRange): readonly Entry[];
  /** As `scan`, but the values themselves and no copies: for checkers, who only look, and may know a value again. */
  peekAll(range: ScanRange): readonly Entry[];
  /** Keys and values that are stored now. */
  usedBytes(): number;
  /**
   * Appends a batch.
   * @param options `logBytesMax`: the newest log is replaced first when it holds this much. `atMs`: now.
   * @returns Whether it was: then the older log waits to become a table.
   */
  apply(writes: readonly EngineWrite[], options: { readonly logBytesMax: number; readonly atMs: number }): boolean;
  /** What a synced batch does. */
  syncNewestLog(): void;
  /** What the end of a compaction does. */
  syncOlderLog(): void;
  /** What opening does, for it turns all logs into tables, and a flush. */
  syncAll(): void;
  /** Takes what was not synced from some point on. Returns how many batches are gone, and which keys show it. */
  losePower(random: SeededRandom): { readonly batches: number; readonly values: readonly LostValue[] };
  /** Flips one bit of a value. Returns whether there was one with at least a byte. */
  flipBit(key: Uint8Array, random: SeededRandom): boolean;
};

export function createDiskContents(): DiskContents {
  let visible = new Map<string, Uint8Array>();
  const durable = new Map<string, DurableEntry>();
  let newestLog: LoggedBatch[] = [];
  let newestLogBytes = 0;
  let olderLog: LoggedBatch[] = [];
  let usedBytes = 0;
  let order = 0;
  /** Keys of `visible` in order, made when a scan needs them. */
  let sorted: string[] | undefined;

  function show(write: EngineWrite): void {
    const name = nameOf(write.key);
    const previous = visible.get(name);
    if ((previous === undefined) === (write.kind === "put")) sorted = undefined;
    if (previous !== undefined) usedBytes -= name.length + previous.length;
    if (write.kind === "delete") {
      visible.delete(name);
      return;
    }
    visible.set(name, write.value);
    usedBytes += name.length + write.value.length;
  }

  function makeDurable(log: readonly LoggedBatch[]): void {
    for (const batch of log) {
      for (const write of batch.writes) {
        const name = nameOf(write.key);
        if ((durable.get(name)?.order ?? -1) > batch.order) continue;
        durable.set(name, { order: batch.order, value: write.kind === "put" ? write.value : undefined });
      }
    }
  }

  function syncNewestLog(): void {
    makeDurable(newestLog);
    // The log goes on, so its size stays; only what is in it need not be remembered.
    newestLog = [];
  }

  function syncOlderLog(): void {
    makeDurable(olderLog);
    olderLog = [];
  }

  function syncAll(): void {
    syncOlderLog();
    syncNewestLog();
    newestLogBytes = 0;
    for (const [name, entry] of durable) if (entry.value === undefined) durable.delete(name);
  }

  function select({ from, until, limit }: ScanRange, show: (value: Uint8Array) => Uint8Array): readonly Entry[] {
    // One character a byte, so that the order of the names is the order of the keys' bytes.
    sorted ??= [...visible.keys()].sort();
    const end = nameOf(until);
    const entries: Entry[] = [];
    for (let index = firstAtOrAfter(sorted, nameOf(from)); index < sorted.length && entries.length < limit; index++) {
      const name = sorted[index] ?? "";
      if (name >= end) break;
      const value = visible.get(name) ?? assert.fail("a name in order is visible");
      entries.push({ key: new Uint8Array(Buffer.from(name, "latin1")), value: show(value) });
    }
    return entries;
  }

  return {
    get(key) {
      const value = visible.get(nameOf(key));
      return value === undefined ? undefined : copyOf(value);
    },
    peek: (key) => visible.get(knownNameOf(key)),
    scan: (range) => select(range, copyOf),
    peekAll: (range) => select(range, (value) => value),
    usedBytes: () => usedBytes,
    apply(writes, { logBytesMax, atMs }) {
      const full = newestLogBytes >= logBytesMax;
      if (full) {
        // A log is replaced only after the one before it has become a table.
        syncOlderLog();
        olderLog = newestLog;
        newestLog = [];
        newestLogBytes = 0;
      }
      order++;
      newestLog.push({ order, atMs, writes });
      for (const write of writes) {
        newestLogBytes += write.key.length + (write.kind === "put" ? write.value.length : 0);
        show(write);
      }
      return full;
    },
    syncNewestLog,
    syncOlderLog,
    syncAll,
    losePower(random) {
      const keptOfOlder = random.below(olderLog.length + 1);
      const keptOfNewest = random.below(newestLog.length + 1);
      const lost = [...olderLog.slice(keptOfOlder), ...newestLog.slice(keptOfNewest)];
      olderLog = olderLog.slice(0, keptOfOlder);
      newestLog = newestLog.slice(0, keptOfNewest);
      syncAll();
      const before = visible;
      visible = new Map();
      usedBytes = 0;
      sorted = undefined;
      for (const [name, { value }] of durable) {
        if (value !== undefined) show({ kind: "put", key: Buffer.from(name, "latin1"), value });
      }
      return { batches: lost.length, values: lostValues(lost, before, visible) };
    },
    flipBit(key, random) {
      const name = nameOf(key);
      const value = copyOf(visible.get(name));
      if (value.length === 0) return false;
      const index = random.below(value.length);
      value[index] = (value[index] ?? 0) ^ (1 << random.below(8));
      visible.set(name, value);
      order++;
      durable.set(name, { order, value });
      return true;
    },
  };
}

function lostValues(
  lost: readonly LoggedBatch[],
  before: ReadonlyMap<string, Uint8Array>,
  after: ReadonlyMap<string, Uint8Array>,
): readonly LostValue[] {
  const found = new Map<string, LostValue>();
  for (const { atMs, writes } of lost) {
    for (const { key } of writes) {
      const name = nameOf(key);
      // A value that was removed, or that a younger log has, is not missed.
      if (before.get(name) === after.get(name) || !before.has(name)) continue;
      found.set(name, { key, fromMs: Math.min(atMs, found.get(name)?.fromMs ?? atMs) });
    }
  }
  return [...found.values()];
}

function nameOf(key: Uint8Array): string {
  return Buffer.prototype.latin1Slice.call(key, 0, key.length);
}

const names = new WeakMap<Uint8Array, string>();

/** As `nameOf`, of a key that is asked for again and again and never written to. */
function knownNameOf(key: Uint8Array): string {
  const known = names.get(key);
  if (known !== undefined) return known;
  const name = nameOf(key);
  names.set(key, name);
  return name;
}

function copyOf(value: Uint8Array | undefined): Uint8Array {
  return new Uint8Array(value ?? []);
}

function firstAtOrAfter(sorted: readonly string[], name: string): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((sorted[middle] ?? "") < name) low = middle + 1;
    else high = middle;
  }
  return low;
}
