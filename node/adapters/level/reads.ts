/**
 * Reads single keys from LevelDB at the least CPU that the state of the caches allows.
 *
 * Measured for 1 KB values out of the caches: a read on the calling thread 4 µs of CPU; through the thread pool 39 µs
 * alone and 7 µs each by sixteen, for the pool's queue and two thread switches are paid per call. So a read is done
 * on the spot as long as that is quick. Once one was slow because it had to go to the disk, and not because the machine
 * gave the processor to somebody else, the pool reads, and the event loop turns meanwhile; the pause is in proportion
 * to the slow read, which bounds the share of time that the event loop may be held up. Reads that the pool serves are
 * gathered over one turn of the event loop (several sockets' worth) and while its places are taken, and go as one
 * `getMany`.
 */
import { storageError } from "./errors.ts";
import type { Level } from "./open.ts";

/** A read on the spot that took longer than this, in ms, may have gone to the disk. */
const SLOW_READ_MS = 0.25;
/**
 * The pool reads for this many times what the slow read took, and for twice as many after each further one, up to the
 * maximum: with cold data the event loop is held up for 1/200 of the time, while one page fault decides for little.
 */
const PAUSE_FACTOR_MIN = 8;
const PAUSE_FACTOR_MAX = 200;
/** So many quick reads in a row, and the factor starts at its minimum again. */
const QUICK_READS_TO_FORGET = 1_000;
/** One long stall, which may have had other reasons, does not decide for longer than this, in ms. */
const PAUSE_MAX_MS = 10_000;
/** How old the count of disk reads may be that a slow read is compared with, in ms; taking it costs some 7 µs. */
const DISK_READS_AGE_MAX_MS = 10;
/** Calls in the thread pool at once. Its fourth thread stays free, so that cold reads never hold up a write. */
const POOL_CALLS_MAX = 3;
/** Keys in one call: what waits behind it waits for all of them. */
const POOL_CALL_KEYS_MAX = 256;

type Waiter = {
  readonly resolve: (value: Uint8Array | undefined) => void;
  readonly reject: (error: unknown) => void;
};

export type Reads = {
  /** The value at `key`; rejects with STORAGE_FAILED. */
  get(level: Level, key: Uint8Array): Promise<Uint8Array | undefined>;
  /** Resolves when no read is waiting or running. No new read may be started meanwhile. */
  idle(): Promise<void>;
};

export type ReadClocks = {
  /** Milliseconds, with a fraction, since an arbitrary start. */
  readonly monotonicMs: () => number;
  /** A count that grows when this process has waited for the disk to read; asked for every 10 ms at most. */
  readonly diskReads: () => number;
};

/** Chooses the way of each read by how long the last ones on the spot took. */
export function createReads({ monotonicMs, diskReads }: ReadClocks): Reads {
  let poolUntilMs = Number.NEGATIVE_INFINITY;
  let pauseFactor = PAUSE_FACTOR_MIN;
  let quickReads = 0;
  let diskReadsSeen = diskReads();
  let diskReadsSeenAtMs = monotonicMs();
  let calls = 0;
  let scheduled = false;
  let keys: Uint8Array[] = [];
  let waiters: Waiter[] = [];
  let whenIdle: (() => void)[] = [];

  function getOnTheSpot(level: Level, key: Uint8Array, startMs: number): Promise<Uint8Array | undefined> {
    if (startMs - diskReadsSeenAtMs > DISK_READS_AGE_MAX_MS) {
      diskReadsSeen = diskReads();
      diskReadsSeenAtMs = startMs;
    }
    let value: Uint8Array | undefined;
    try {
      value = level.getSync(key);
    } catch (error) {
      return Promise.reject(storageError("read", error));
    }
    const endMs = monotonicMs();
    const tookMs = endMs - startMs;
    if (tookMs > SLOW_READ_MS && diskReads() !== diskReadsSeen) {
      poolUntilMs = endMs + Math.min(tookMs * pauseFactor, PAUSE_MAX_MS);
      pauseFactor = Math.min(2 * pauseFactor, PAUSE_FACTOR_MAX);
      quickReads = 0;
    } else if (++quickReads === QUICK_READS_TO_FORGET) {
      pauseFactor = PAUSE_FACTOR_MIN;
    }
    return Promise.resolve(value);
  }

  function schedule(level: Level): void {
    if (scheduled || calls >= POOL_CALLS_MAX || keys.length === 0) return;
    scheduled = true;
    setImmediate(() => {
      scheduled = false;
      const someKeys = keys.length <= POOL_CALL_KEYS_MAX ? keys : keys.slice(0, POOL_CALL_KEYS_MAX);
      const theirWaiters = someKeys === keys ? waiters : waiters.slice(0, POOL_CALL_KEYS_MAX);
      keys = someKeys === keys ? [] : keys.slice(POOL_CALL_KEYS_MAX);
      waiters = theirWaiters === waiters ? [] : waiters.slice(POOL_CALL_KEYS_MAX);
      calls++;
      void readTogether(level, someKeys, theirWaiters).finally(() => {
        calls--;
        schedule(level);
        if (calls === 0 && keys.length === 0) {
          for (const resolve of whenIdle) resolve();
          whenIdle = [];
        }
      });
      schedule(level);
    });
  }

  return {
    get(level, key) {
      const nowMs = monotonicMs();
      if (nowMs >= poolUntilMs) return getOnTheSpot(level, key, nowMs);
      return new Promise((resolve, reject) => {
        keys.push(key);
        waiters.push({ resolve, reject });
        schedule(level);
      });
    },
    idle() {
      if (calls === 0 && keys.length === 0) return Promise.resolve();
      return new Promise((resolve) => whenIdle.push(resolve));
    },
  };
}

/** Blocks read and page faults served by the disk, as the operating system counts them for this process. */
export function diskReadsOfProcess(): number {
  const { fsRead, majorPageFault } = process.resourceUsage();
  return fsRead + majorPageFault;
}

async function readTogether(level: Level, keys: Uint8Array[], waiters: readonly Waiter[]): Promise<void> {
  try {
    const values = await level.getMany(keys);
    for (const [index, waiter] of waiters.entries()) waiter.resolve(values[index]);
  } catch {
    // One damaged block fails the whole call: each key is asked for by itself, so that only its readers are told.
    await Promise.all(waiters.map((waiter, index) => readAlone(level, keys[index], waiter)));
  }
}

async function readAlone(level: Level, key: Uint8Array | undefined, waiter: Waiter): Promise<void> {
  try {
    waiter.resolve(key === undefined ? undefined : await level.get(key));
  } catch (error) {
    waiter.reject(storageError("read", error));
  }
}
