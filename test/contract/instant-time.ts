/**
 * Virtual time for tests of one part: whenever the event loop is idle it jumps to the next pending call.
 *
 * Nothing waits for a real clock, and equal delays run in the order they were asked for. It is not the simulator: it
 * runs as long as there are calls, and has no say over anything but time.
 */
import type { Time } from "../../node/ports.ts";

type Call = { readonly dueMs: number; readonly order: number; readonly run: () => void };

export type InstantTime = Time & {
  /** Calls that have neither run nor been cancelled. */
  pending(): number;
};

export function createInstantTime(): InstantTime {
  const calls = new Set<Call>();
  let nowMs = 0;
  let order = 0;
  let scheduled = false;

  function schedule(): void {
    if (scheduled || calls.size === 0) return;
    scheduled = true;
    setImmediate(() => {
      scheduled = false;
      let next: Call | undefined;
      for (const call of calls) {
        const earlier = next === undefined || call.dueMs < next.dueMs;
        if (earlier || (call.dueMs === next?.dueMs && call.order < next.order)) next = call;
      }
      if (next === undefined) return;
      calls.delete(next);
      nowMs = Math.max(nowMs, next.dueMs);
      schedule();
      next.run();
    });
  }

  return {
    monotonicMs: () => nowMs,
    wallMs: () => 1_700_000_000_000 + nowMs,
    after(delayMs, run) {
      const call: Call = { dueMs: nowMs + delayMs, order: order++, run };
      calls.add(call);
      schedule();
      return {
        cancel: () => {
          calls.delete(call);
        },
      };
    },
    pending: () => calls.size,
  };
}
