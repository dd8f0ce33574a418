/**
 * The `Engine` port on LevelDB (classic-level): log-structured merge tree, Snappy, one process per directory.
 *
 * Batches go to LevelDB strictly one after the other. That costs nothing (callers write in groups) and is what makes
 * a failed write safe to recover from:
 *
 *            write failed                      disk has space again, a call comes
 *   open ──────────────────────> failed ──────────────────────────────────────────> reopening ──> open
 *                                  ^                                                    │
 *                                  └────────────────── did not open ────────────────────┘
 *
 * When LevelDB cannot append to its log (no space, an I/O error), the log may end in half a record. LevelDB goes on
 * writing behind it, but a restart that reads the log drops what follows the torn record in its block: writes
 * acknowledged after the failure would be lost. And an error of a compaction or an fsync makes every later write of
 * that handle fail for good. The cure of both is the same: take no write any more, and before taking one again close
 * and open the database. That replays the log up to the torn record, whose write was never acknowledged, into a table
 * and starts a fresh log. Reads go on as long as the old handle is open. What failed may still surface then, which is
 * why such an error carries the outcome "unknown".
 *
 * It is not the record format: checksums of records, and what to do with a damaged one, are the replica's affair.
 */
import { statfs } from "node:fs/promises";
import { performance } from "node:perf_hooks";
import { KvError } from "../../core/errors.ts";
import { isMetaKey } from "../../core/keyspace.ts";
import type { Engine, EngineWrite, Entry, GaugeReading, ScanRange, Telemetry } from "../../ports.ts";
import { Attempts } from "./attempts.ts";
import { isFullDisk, reason, storageError } from "./errors.ts";
import { type LevelFigures, MEBIBYTE, sizesOf } from "./figures.ts";
import { createFreeSpace, defaultReserveBytes } from "./free-space.ts";
import { Losses } from "./losses.ts";
import { assertOpensAgain, type Level, openLevel } from "./open.ts";
import { createReads, diskReadsOfProcess } from "./reads.ts";
import { scanPage, scanReadable } from "./scan.ts";

/** How often a store that refuses writes is asked whether it would still take them, in ms. */
const PROBE_INTERVAL_MS = 1_000;
/** Before every space of the store: nothing is ever stored there. */
const UNUSED_KEY = Uint8Array.of(0);

export type LevelEngineOptions = {
  /** Created when missing. One process at a time may hold it. */
  readonly directory: string;
  /** Uncompressed blocks kept in memory; a larger cache serves more reads without the disk. */
  readonly cacheBytes: number;
  /**
   * Size of the log and of the table in memory that mirrors it, 64 KiB or more; twice that may be held at once. Larger:
   * fewer, larger compactions, and a longer start after a crash.
   */
  readonly writeBufferBytes: number;
  /** Bytes of the disk that data may not use; `defaultReserveBytes` when absent, 0 for none. */
  readonly reserveBytes?: number | undefined;
  /** Asks for the bytes that may still be written; the directory's file system by default. */
  readonly freeBytes?: (() => Promise<number>) | undefined;
  /** Milliseconds, with a fraction, since an arbitrary start; the process's clock by default. */
  readonly monotonicMs?: (() => number) | undefined;
  /**
   * Is told why each time that a scan met something it cannot read, and goes on behind it; when absent such a scan fails.
   * For who wants to save what there is.
   */
  readonly onUnreadable?: ((why: string) => void) | undefined;
  /**
   * Is told what is lost, in LevelDB's words, when a store that failed is open again and a part of its log is gone: before
   * another write is taken. What is in memory is newer than the store then: to be safe, end the process.
   */
  readonly onLoss?: ((lost: string) => void) | undefined;
  /** A count that grows when this process has waited for the disk to read; the operating system's by default. */
  readonly diskReads?: (() => number) | undefined;
};

export type LevelEngine = Engine & {
  /**
   * What was in the log when it was opened, now or earlier, and is lost, in LevelDB's words; undefined when nothing is, or
   * since an identity was opened that makes it good.
   */
  readonly lostAtOpen: string | undefined;
  /** Answered from memory; of the disk's space, what was heard within the last second or is asked for now. */
  figures(): LevelFigures;
};

/**
 * Opens the store, replaying its log.
 *
 * @throws {KvError} STORAGE_FAILED: another process holds the directory, or it is damaged or not writable;
 *   STORAGE_FULL: no space to replay the log into.
 */
export async function createLevelEngine(
  ports: { readonly telemetry: Telemetry },
  options: LevelEngineOptions,
): Promise<LevelEngine> {
  const level = await openLevel(options.directory, { ...options, createIfMissing: true });
  const engine = new LevelDbEngine(level, ports.telemetry, options);
  await engine.start(level);
  return engine;
}

type LevelWrite =
  | { readonly type: "put"; readonly key: Uint8Array; readonly value: Uint8Array }
  | { readonly type: "del"; readonly key: Uint8Array };

/** A gauge without a value. */
const NOTHING_TOLD: ReadonlyMap<string, number> = new Map();
const SYNC = { sync: true };
const NO_SYNC = { sync: false };
/** For errors that the caller whose turn it was is told. */
const toldAlready = (): void => undefined;

class LevelDbEngine implements LevelEngine {
  lostAtOpen: string | undefined;
  readonly #options: LevelEngineOptions;
  readonly #telemetry: Telemetry;
  readonly #monotonicMs: () => number;
  readonly #freeSpace;
  readonly #losses;
  #diskBytes = 0;
  readonly #reads;
  /** Undefined after an attempt to reopen failed, and after the end. */
  #level: Level | undefined;
  /** Why no writes are taken; undefined while they are. */
  #failure: unknown;
  readonly #attempts = new Attempts();
  #nextProbeAtMs = Number.NEGATIVE_INFINITY;
  /** Set while the handle is being exchanged: no read may be started. Never rejects. */
  #reopening: Promise<void> | undefined;
  #closing: Promise<void> | undefined;
  /** Ends, never with an error, when the last of the batches submitted so far has. */
  #lastTurn: Promise<void> = Promise.resolve();
  /** Scans and flushes that are running on the present handle. */
  readonly #running = new Set<Promise<unknown>>();
  /** Reads that wait for a handle. */
  readonly #parked = new Set<Promise<unknown>>();

  constructor(level: Level, telemetry: Telemetry, options: LevelEngineOptions) {
    this.#level = level;
    this.#telemetry = telemetry;
    this.#options = options;
    this.#losses = new Losses(options.directory, telemetry);
    this.#monotonicMs = options.monotonicMs ?? (() => performance.now());
    this.#reads = createReads({
      monotonicMs: this.#monotonicMs,
      diskReads: options.diskReads ?? diskReadsOfProcess,
    });
    this.#freeSpace = createFreeSpace({
      reserveBytes: options.reserveBytes ?? defaultReserveBytes(options.writeBufferBytes),
      freeBytes: options.freeBytes ?? (() => this.#askDisk(options.directory)),
      onUnknown: (error) => telemetry.log("warn", "store.free_space_unknown", { reason: reason(error) }),
      monotonicMs: this.#monotonicMs,
    });
  }

  async start(level: Level): Promise<void> {
    await this.#losses.notice(level);
    this.lostAtOpen = await this.#losses.marked(level);
    await this.#freeSpace.ask();
    const gauge = (name: string, read: (figures: LevelFigures) => GaugeReading) =>
      this.#telemetry.gauge(`annulus.store.${name}`, () => read(this.figures()));
    gauge("free_bytes", ({ freeBytes }) => freeBytes ?? NOTHING_TOLD);
    gauge("disk_bytes", (figures) => figures.diskBytes);
    gauge("table_bytes", (figures) => figures.tableBytes);
    gauge("memory_bytes", (figures) => figures.memoryBytes);
    gauge("level_bytes", ({ levels }) => new Map(levels.map(({ level, bytes }) => [level, bytes])));
    gauge("level_files", ({ levels }) => new Map(levels.map(({ level, files }) => [level, files])));
    gauge("takes_writes", (figures) => (figures.state === "open" && !figures.refusing ? 1 : 0));
  }

  /** What the file system has free; its size, which a volume's may grow to, is kept. */
  async #askDisk(directory: string): Promise<number> {
    try {
      const { bavail, blocks, bsize } = await statfs(directory);
      this.#diskBytes = blocks * bsize;
      return bavail * bsize;
    } catch (error) {
      throw storageError("ask the disk for its free space", error);
    }
  }

  get(key: Uint8Array): Promise<Uint8Array | undefined> {
    if (this.#closing !== undefined) return Promise.reject(closedError("read"));
    if (this.#level === undefined || this.#reopening !== undefined) {
      return this.#park(() => this.#reads.get(this.#openLevel("read"), key));
    }
    return this.#reads.get(this.#level, key);
  }

  batch(writes: readonly EngineWrite[], { sync }: { readonly sync: boolean }): Promise<void> {
    if (this.#closing !== undefined) return Promise.reject(closedError("write"));
    return this.#inTurn(() => this.#write(writes, sync));
  }

  scan(range: ScanRange): Promise<readonly Entry[]> {
    if (this.#closing !== undefined) return Promise.reject(closedError("scan"));
    if (this.#level === undefined || this.#reopening !== undefined) {
      return this.#park(() => this.#startScan(this.#openLevel("scan"), range));
    }
    return this.#startScan(this.#level, range);
  }

  /** Only its ends are in turn: in between a table is written, maybe behind a compaction of seconds, and batches go on. */
  async flush(): Promise<void> {
    if (this.#closing !== undefined) throw closedError("flush");
    await this.#inTurn(() => this.#recover());
    const level = this.#openLevel("flush");
    try {
      // A compaction, be it of no keys, first turns the whole table in memory into a file and fsyncs it. It does
      // not say whether that worked, but after a failure every write fails.
      await this.#whileOpen(level.compactRange(UNUSED_KEY, UNUSED_KEY));
    } catch (error) {
      throw storageError("flush", error);
    }
    await this.#inTurn(async () => {
      // To open the store anew is to write its log into a table.
      if (this.#openLevel("flush") !== level) return;
      try {
        await level.batch([{ type: "del", key: UNUSED_KEY }], SYNC);
      } catch (error) {
        throw this.#fail("flush", error);
      }
    });
  }

  close(): Promise<void> {
    this.#closing ??= this.#closeWhenQuiet();
    return this.#closing;
  }

  figures(): LevelFigures {
    // Without it the figures would be those of the last write.
    if (this.#closing === undefined) void this.#freeSpace.refresh();
    const state = this.#failure === undefined ? "open" : "failed";
    return {
      state: this.#closing === undefined ? state : "closed",
      freeBytes: this.#freeSpace.estimateBytes(),
      diskBytes: this.#diskBytes,
      refusing: this.#freeSpace.isRefusing(),
      ...sizesOf(this.#level),
    };
  }

  /** Runs `work` when all that was submitted before it has ended. */
  #inTurn(work: () => Promise<void>): Promise<void> {
    const turn = this.#lastTurn.then(work);
    this.#lastTurn = turn.catch(toldAlready);
    return turn;
  }

  /** Starts a read once there is a handle again, or its error once it is clear that there is none. */
  #park<T>(start: () => Promise<T>): Promise<T> {
    const wait = this.#reopening ?? this.#inTurn(() => this.#recover()).catch(toldAlready);
    const parked = wait.then(start).finally(() => this.#parked.delete(parked));
    this.#parked.add(parked);
    return parked;
  }

  async #write(writes: readonly EngineWrite[], sync: boolean): Promise<void> {
    if (writes.length === 0) return;
    await this.#recover();
    const level = this.#openLevel("write");
    const operations = new Array<LevelWrite>(writes.length);
    let bytes = 0;
    // Deletions give space back, and without its own small records the node could not even start to serve reads.
    let mayUseReserve = true;
    for (const [index, write] of writes.entries()) {
      if (write.kind === "put") {
        bytes += write.key.length + write.value.length;
        mayUseReserve &&= isMetaKey(write.key);
        operations[index] = { type: "put", key: write.key, value: write.value };
      } else {
        bytes += write.key.length;
        operations[index] = { type: "del", key: write.key };
      }
    }
    if (mayUseReserve) this.#freeSpace.count(bytes);
    else await this.#admit(level, bytes);
    try {
      await level.batch(operations, sync ? SYNC : NO_SYNC);
    } catch (error) {
      throw this.#fail("write", error);
    }
  }

  async #admit(level: Level, bytes: number): Promise<void> {
    try {
      await this.#freeSpace.admit(bytes);
    } catch (error) {
      this.#telemetry.count("annulus.store.writes_refused");
      await this.#probe(level);
      throw storageError("write", error);
    }
  }

  /**
   * While writes are refused LevelDB sees none, and nobody would hear that a compaction met the end of the disk after
   * all. It would never run again, so its leavings would stay and the space with them, until the store is reopened.
   */
  async #probe(level: Level): Promise<void> {
    const nowMs = this.#monotonicMs();
    if (nowMs < this.#nextProbeAtMs) return;
    this.#nextProbeAtMs = nowMs + PROBE_INTERVAL_MS;
    try {
      await level.batch([{ type: "del", key: UNUSED_KEY }], NO_SYNC);
    } catch (error) {
      this.#fail("probe the store", error);
    }
  }

  #openLevel(purpose: string): Level {
    if (this.#level === undefined) throw storageError(purpose, this.#failure ?? closedError(purpose));
    return this.#level;
  }

  #fail(what: string, error: unknown): KvError {
    this.#failure = error;
    this.#attempts.failed(this.#monotonicMs(), isFullDisk(error));
    this.#telemetry.count("annulus.store.write_failures");
    this.#telemetry.log("error", "store.write_failed", { what, reason: reason(error) });
    return storageError(what, error, "unknown");
  }

  /**
   * Makes sure that writes are safe again after a failure. Called only in turn, so never twice at once.
   * @throws {KvError} They are not yet.
   */
  async #recover(): Promise<void> {
    if (this.#failure === undefined) return;
    if (!this.#attempts.mayBegin(this.#monotonicMs())) throw storageError("write", this.#failure);
    // Where opening fails reads end as well: so the old handle is kept as long as it is likely to.
    if (this.#level !== undefined) await this.#assertSpaceToReopen();
    await assertOpensAgain(this.#options.directory);
    const reopened = this.#reopen();
    this.#reopening = reopened.catch(toldAlready);
    await reopened;
  }

  /** Replaying both logs into tables takes as much space. */
  async #assertSpaceToReopen(): Promise<void> {
    const neededBytes = 3 * this.#options.writeBufferBytes + MEBIBYTE;
    const freeBytes = await this.#freeSpace.ask();
    if (freeBytes >= neededBytes) return;
    const message = `Cannot write: to recover takes ${neededBytes} bytes of free disk, ${freeBytes} are left.`;
    throw new KvError("STORAGE_FULL", message, { cause: this.#failure });
  }

  async #reopen(): Promise<void> {
    try {
      await this.#quiesceReads();
      const level = this.#level;
      this.#level = undefined;
      await level?.close();
      // A new store in place of one that is gone would have lost all that was acknowledged.
      this.#level = await openLevel(this.#options.directory, { ...this.#options, createIfMissing: false });
      const lost = await this.#losses.notice(this.#level);
      if (lost !== undefined) this.#options.onLoss?.(lost);
      this.#failure = undefined;
      this.#attempts.opened(this.#monotonicMs());
      this.#telemetry.count("annulus.store.reopenings");
      this.#telemetry.log("warn", "store.reopened");
    } catch (error) {
      this.#failure = error;
      this.#telemetry.log("error", "store.reopen_failed", { reason: reason(error) });
      throw storageError("write", error);
    } finally {
      this.#reopening = undefined;
    }
  }

  #startScan(level: Level, range: ScanRange): Promise<readonly Entry[]> {
    const { onUnreadable } = this.#options;
    const scanned = onUnreadable === undefined ? scanPage(level, range) : scanReadable(level, range, onUnreadable);
    return this.#whileOpen(scanned);
  }

  /** Keeps the present handle until `work` has ended. */
  #whileOpen<T>(work: Promise<T>): Promise<T> {
    const running = work.finally(() => this.#running.delete(running));
    this.#running.add(running);
    return running;
  }

  async #quiesceReads(): Promise<void> {
    await this.#reads.idle();
    await Promise.allSettled(this.#running);
  }

  async #closeWhenQuiet(): Promise<void> {
    await this.#lastTurn;
    await Promise.allSettled(this.#parked);
    await this.#quiesceReads();
    const level = this.#level;
    this.#level = undefined;
    try {
      await level?.close();
    } catch (error) {
      throw storageError("close the store", error);
    }
  }
}

function closedError(what: string): KvError {
  return new KvError("STORAGE_FAILED", `Cannot ${what}: the store is closed.`);
}
