/**
 * When work on a partition that failed is tried again: soon, for most failures end with their cause, and half as often each
 * time where it fails again, as for a damaged block. What can be read up to the damage would else be read for good.
 */
import type { Time } from "../ports.ts";

/** The pause after a first failure, in ms. */
const PAUSE_MS = 1_000;
const PAUSE_MS_MAX = 60_000;

export type Setbacks = {
  /** Whether work on it may be tried: it did not fail last, or long enough ago. */
  isDue(partition: number): boolean;
  /** Work on it failed. */
  failed(partition: number): void;
  /** Work on it was done, or is not wanted any more. */
  forget(partition: number): void;
};

/** Of one kind of work. */
export function createSetbacks(time: Pick<Time, "monotonicMs">): Setbacks {
  const setbacks = new Map<number, { readonly pauseMs: number; readonly notBeforeMs: number }>();
  return {
    isDue: (partition) => time.monotonicMs() >= (setbacks.get(partition)?.notBeforeMs ?? 0),
    failed(partition) {
      const last = setbacks.get(partition);
      const pauseMs = last === undefined ? PAUSE_MS : Math.min(2 * last.pauseMs, PAUSE_MS_MAX);
      setbacks.set(partition, { pauseMs, notBeforeMs: time.monotonicMs() + pauseMs });
    },
    forget(partition) {
      setbacks.delete(partition);
    },
  };
}
