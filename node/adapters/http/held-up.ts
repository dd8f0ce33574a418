/**
 * Notices that this process stood still: it was stopped, starved of its processor, or its machine slept.
 *
 *     tick ── tick ── (stands still; requests gather in its sockets) ── wakes: a tick, or a request, comes late ── waking ── tick
 *
 * HTTP does not say when a request was sent. One that was read just after such a time may be as old as all of it: its
 * client gave up long ago, did the same write through another node, and others have replaced it since. Stamped now, a
 * blind overwrite would replace them. Between nodes frames are dated instead (`tcp/delay-meter.ts`).
 * Not noticed is what a cut network held back on its way here.
 */
import type { Time, Timer } from "../../ports.ts";

export type HeldUpWatch = {
  /** Whether what is read at this moment may have waited in a socket while this process stood still. Constant time. */
  isWaking(nowMs: number): boolean;
  stop(): void;
};

/** How often it is noted that the process runs. */
const TICK_MS = 100;
/** A tick that is later than this shows that the process stood still. Less is an ordinary day of a busy machine. */
const LATE_MS = 1_000;
/** So long after it woke, what waited in its sockets has been read. */
const WAKING_MS = 500;

/** Begins to watch. */
export function createHeldUpWatch(time: Time): HeldUpWatch {
  let tickedMs = time.monotonicMs();
  let wakingUntilMs = Number.NEGATIVE_INFINITY;
  let timer: Timer;

  /** After a standstill sockets are read before timers run: whichever comes first notices. */
  function notice(nowMs: number): void {
    if (nowMs - tickedMs < TICK_MS + LATE_MS) return;
    wakingUntilMs = nowMs + WAKING_MS;
    tickedMs = nowMs;
  }

  function tick(): void {
    const nowMs = time.monotonicMs();
    notice(nowMs);
    tickedMs = nowMs;
    timer = time.after(TICK_MS, tick);
  }

  timer = time.after(TICK_MS, tick);
  return {
    isWaking(nowMs) {
      notice(nowMs);
      return nowMs < wakingUntilMs;
    },
    stop: () => timer.cancel(),
  };
}
