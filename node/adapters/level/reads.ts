/**
 * Reads single keys from LevelDB at the least CPU that the state of the caches allows.
 *
 * Measured for 1 KB values out of the caches: a read on the calling thread 4 µs of CPU; through the thread pool 39 µs
 * alone and 7 µs each by sixteen, for the pool's queue and two thread switches are paid per call. So a read is done
 * on the spot as long as that is quick. Once one was slow, because it had to go to the disk, the pool reads, and the
 * event loop turns meanwhile; the pause is in proportion to the slow read, which bounds the share of time that the
 * event loop may be held up. Reads that the pool serves are gathered over one turn of the event loop (several sockets'
 * worth) and while its places are taken, and go as one `getMany`.
 */
import { storageError } from "./errors.ts";
import type { Level } from "./open.ts";

/** A read on the spot that took longer than this, in ms, had to go to the disk. */
const SLOW_READ_MS = 0.25;
/** The pool reads for this many times what the slow read took: the event loop is held up for at most 1/200 of the time. */
const SLOW_READ_PAUSE_FACTOR = 200;
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

/** @param monotonicMs Milliseconds, with a fraction, since an arbitrary start. */
export function createReads(monotonicMs: () => number): Reads {
  let poolUntilMs = Number.NEGATIVE_INFINITY;
  let calls = 0;
  let scheduled = false;
  let keys: Uint8Array[] = [];
  let waiters: Waiter[] = [];
  let whenIdle: (() => void)[] = [];

  function getOnTheSpot(level: Level, key: Uint8Array, startMs: number): Promise<Uint8Array | undefined> {
    let value: Uint8Array | undefined;
    try {
      value = level.getSync(key);
    } catch (error) {
      return Promise.reject(storageError("read", error));
    }
    const endMs = monotonicMs();
    const tookMs = endMs - startMs;
    if (tookMs > SLOW_READ_MS) poolUntilMs = endMs + tookMs * SLOW_READ_PAUSE_FACTOR;
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
