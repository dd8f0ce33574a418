/**
 * Time and randomness of the real machine, and the name of its present boot.
 *
 * The pool of random bytes is filled by the system's generator in pages: a draw on the hot path costs a read of
 * memory. Bytes are handed out once and never again.
 */
import { randomFillSync } from "node:crypto";
import { readFileSync } from "node:fs";
import { uptime } from "node:os";
import type { Random, Time, Timer } from "../ports.ts";

/** The longest delay that the runtime's timers can count, in ms; longer ones are waited for in steps. */
const TIMER_STEP_MS_MAX = 2 ** 31 - 1;

class SystemTimer implements Timer {
  readonly #run: () => void;
  readonly #dueMs: number;
  #handle: NodeJS.Timeout;

  constructor(delayMs: number, run: () => void) {
    this.#run = run;
    this.#dueMs = performance.now() + delayMs;
    this.#handle = this.#arm(delayMs);
  }

  cancel(): void {
    clearTimeout(this.#handle);
  }

  #arm(delayMs: number): NodeJS.Timeout {
    return setTimeout(fire, Math.min(Math.ceil(delayMs), TIMER_STEP_MS_MAX), this);
  }

  /** The runtime counts whole ms of a clock read at the start of a turn, so that a timer may ring a little early. */
  ring(): void {
    const restMs = this.#dueMs - performance.now();
    if (restMs > 0) this.#handle = this.#arm(restMs);
    else this.#run();
  }
}

function fire(timer: SystemTimer): void {
  timer.ring();
}

/** A delay of 0: `run` is called when this turn of the event loop has handled its I/O. */
class TurnTimer implements Timer {
  readonly #handle: NodeJS.Immediate;

  constructor(run: () => void) {
    this.#handle = setImmediate(run);
  }

  cancel(): void {
    clearImmediate(this.#handle);
  }
}

/** The machine's clocks and timers. Delays above 0 wait at least 1 ms. */
export const systemTime: Time = {
  monotonicMs: () => performance.now(),
  wallMs: () => Date.now(),
  after: (delayMs, run) => (delayMs <= 0 ? new TurnTimer(run) : new SystemTimer(delayMs, run)),
};

const POOL_BYTES = 8192;
/** A request for more bytes than this gets its own draw, so that it does not use the pool up. */
const POOLED_BYTES_MAX = 256;

/** The system's cryptographic generator. */
export function systemRandom(): Random {
  const pool = Buffer.alloc(POOL_BYTES);
  let used = POOL_BYTES;

  /** Takes `count` bytes of the pool and returns where they begin. */
  const take = (count: number): number => {
    if (used + count > POOL_BYTES) {
      randomFillSync(pool);
      used = 0;
    }
    const start = used;
    used += count;
    return start;
  };

  return {
    uint32: () => pool.readUInt32LE(take(4)),
    bytes(count) {
      const bytes = new Uint8Array(count);
      if (count > POOLED_BYTES_MAX) return randomFillSync(bytes);
      const start = take(count);
      bytes.set(pool.subarray(start, start + count));
      return bytes;
    },
  };
}

const BOOT_ID_FILE = "/proc/sys/kernel/random/boot_id";

/**
 * A text that changes when the machine has been booted anew: what the operating system held in memory for the disk is
 * gone then. Where the system gives its boots no name, it is the minute of the boot, which may change without one:
 * that is the safe side, for a change only costs a new incarnation.
 */
export function bootId(): string {
  try {
    return readFileSync(BOOT_ID_FILE, "utf8").trim();
  } catch {
    return `booted-${Math.round((Date.now() / 1000 - uptime()) / 60)}`;
  }
}
