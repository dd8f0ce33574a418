/** Waiting, no longer than a time and no longer than a signal lets. */
import { setTimeout as sleep } from "node:timers/promises";

/** Stands for what did not come in time. */
export const LATE = Symbol("late");

/** What a promise gives, or `LATE` after a time in ms; throws what the signal says when that comes first. */
export async function atMost<T>(
  promise: Promise<T>,
  limitMs: number,
  signal: AbortSignal | undefined,
): Promise<T | typeof LATE> {
  const ended = new AbortController();
  const late = pause(limitMs, signal === undefined ? ended.signal : AbortSignal.any([ended.signal, signal]));
  try {
    return await Promise.race([promise, late.then((): typeof LATE => LATE)]);
  } finally {
    ended.abort();
  }
}

/** Waits; throws what the signal says when that comes first. */
export async function pause(durationMs: number, signal: AbortSignal | undefined): Promise<void> {
  try {
    await sleep(durationMs, undefined, signal === undefined ? {} : { signal });
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  }
}
