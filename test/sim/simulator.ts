/**
 * Virtual time: a heap of events, run one after the other, and nothing else that could make two runs differ.
 *
 * The earliest event runs (ties in the order they were asked for), then one macrotask passes, so that every promise
 * chain that the event began has come to rest before the next event begins. This holds as long as nothing in the
 * simulated code waits for the real world; `test/tidy.test.ts` sees to that. Everything worth telling is folded into
 * the trace hash: one seed gives one hash. Source of the idea of a macrotask boundary: resonate's simulator.
 */
import assert from "node:assert/strict";
import type { Time, Timer } from "../../node/ports.ts";
import type { SeededRandom } from "./random.ts";

/** What events belong to: a process that may be killed or held up. */
export type Process = {
  readonly name: string;
  /** Events of a dead process never run. */
  alive: boolean;
  /** Events of a process that is held up run when it goes on. */
  pausedUntilMs: number;
  /** What of them runs first then. */
  wakes: Waking;
};

/** In which order a process that was held up goes on: an event loop may see to either kind first. */
export type Waking = "in order" | "timers first" | "arrivals first";
export const WAKINGS: readonly Waking[] = ["in order", "timers first", "arrivals first"];

/** How a process's clocks differ from the simulator's. */
export type ClockFaults = {
  /** Added to the wall clock; may be changed while the process runs, as when somebody sets the clock. */
  wallSkewMs: number;
  /** Parts per million by which both clocks of the process run fast. */
  readonly driftPpm: number;
};

/**
 * Draws what the monotonic clock of a process shows when it starts. It counts from the process's own start, or the machine's, so
 * no two agree: what is sent, stored or compared of it must not take it for a time. Some are about to pass 2^32 ms.
 */
export function drawMonotonicMs(random: SeededRandom): number {
  switch (random.below(4)) {
    case 0:
      return 2 ** 32 - random.between(0, 100_000);
    case 1:
      return random.between(0, 10_000_000);
    default:
      return random.between(20, 2_000);
  }
}

type Event = {
  atMs: number;
  sequence: number;
  readonly process: Process | undefined;
  readonly isTimer: boolean;
  run: (() => void) | undefined;
};

/** Above any sequence: what has it added runs behind all others of its instant, in the order that it had. */
const LAST = 2 ** 40;

/** The wall clock at the beginning of every run: 2026-01-01T00:00:00Z. */
export const WALL_START_MS = 1_767_225_600_000;

export class Simulator {
  #nowMs = 0;
  #sequence = 0;
  #ran = 0;
  #hash = 0x811c9dc5;
  readonly #heap: Event[] = [];
  readonly #trace: string[] | undefined;

  /** @param options `trace`: keep every told line, for a person to read. */
  constructor(options: { readonly trace?: boolean } = {}) {
    this.#trace = options.trace === true ? [] : undefined;
  }

  /** Virtual ms since the beginning. */
  get nowMs(): number {
    return this.#nowMs;
  }

  /** Events run so far. */
  get ran(): number {
    return this.#ran;
  }

  /** Fold of everything told so far, 8 hex digits. */
  get hash(): string {
    return (this.#hash >>> 0).toString(16).padStart(8, "0");
  }

  /** The lines told so far, if they are kept. */
  get trace(): readonly string[] {
    return this.#trace ?? [];
  }

  createProcess(name: string): Process {
    return { name, alive: true, pausedUntilMs: 0, wakes: "in order" };
  }

  /** Holds a process up from now on. One that is held up for longer already stays so. */
  pause(process: Process, forMs: number, wakes: Waking = "in order"): void {
    process.pausedUntilMs = Math.max(process.pausedUntilMs, this.#nowMs + forMs);
    process.wakes = wakes;
  }

  /**
   * Runs `run` after a delay of virtual time, unless it is cancelled or its process dies first.
   *
   * @param isTimer Whether the process asked for it itself, by a timer; else it comes from outside.
   */
  after(delayMs: number, run: () => void, process?: Process, isTimer = false): Timer {
    assert(delayMs >= 0 && Number.isFinite(delayMs), "a delay is a number of ms from now on");
    const event: Event = { atMs: this.#nowMs + delayMs, sequence: this.#sequence++, process, isTimer, run };
    push(this.#heap, event);
    return {
      cancel() {
        event.run = undefined;
      },
    };
  }

  /**
   * The clocks and timers of one process.
   *
   * @param monotonicFromMs What its monotonic clock shows now; when left out, the virtual ms since the beginning.
   */
  timeOf(process: Process, clock: ClockFaults = { wallSkewMs: 0, driftPpm: 0 }, monotonicFromMs?: number): Time {
    const rate = 1 + clock.driftPpm / 1_000_000;
    const zeroMs = monotonicFromMs === undefined ? 0 : monotonicFromMs - this.#nowMs * rate;
    return {
      monotonicMs: () => zeroMs + this.#nowMs * rate,
      wallMs: () => Math.floor(WALL_START_MS + this.#nowMs * rate + clock.wallSkewMs),
      after: (delayMs, run) => this.after(Math.max(0, delayMs) / rate, run, process, true),
    };
  }

  /** Exact time for what comes to a process from outside: while that is held up it waits, and is no timer. */
  arrivalsOf(process: Process): Time {
    return { ...this.timeOf(process), after: (delayMs, run) => this.after(Math.max(0, delayMs), run, process) };
  }

  /** Folds a line into the hash, and keeps it if lines are kept. */
  tell(line: string): void {
    let hash = this.#hash ^ (this.#nowMs | 0);
    for (let i = 0; i < line.length; i++) hash = Math.imul(hash ^ line.charCodeAt(i), 0x01000193);
    this.#hash = hash;
    this.#trace?.push(`${this.#nowMs.toFixed(1).padStart(10)} ${line}`);
  }

  /** Whether somebody will read the trace. */
  get isRead(): boolean {
    return this.#trace !== undefined;
  }

  /** Adds a line for a reader, which is not part of the hash. */
  note(line: string): void {
    this.#trace?.push(`${this.#nowMs.toFixed(1).padStart(10)}     ${line}`);
  }

  /** Runs all events up to an instant, which then is now. */
  async runUntil(untilMs: number): Promise<void> {
    await macrotask(); // What was begun outside of any event.
    for (let next = this.#heap[0]; next !== undefined && next.atMs <= untilMs; next = this.#heap[0]) {
      await this.#runOne();
    }
    this.#nowMs = Math.max(this.#nowMs, untilMs);
  }

  /** Runs events until `condition` holds. Returns whether it did within `withinMs` of virtual time. */
  async runWhile(pending: () => boolean, withinMs: number): Promise<boolean> {
    await macrotask(); // What was begun outside of any event.
    const untilMs = this.#nowMs + withinMs;
    while (pending()) {
      const next = this.#heap[0];
      if (next === undefined || next.atMs > untilMs) {
        this.#nowMs = untilMs;
        return !pending();
      }
      await this.#runOne();
    }
    return true;
  }

  async #runOne(): Promise<void> {
    const event = pop(this.#heap);
    const { process, run, atMs } = event;
    if (run === undefined || process?.alive === false) return;
    if (process !== undefined && process.pausedUntilMs > atMs) {
      // In the old order, each kind of them, behind what is due at the moment it goes on.
      const isLast = process.wakes === (event.isTimer ? "arrivals first" : "timers first");
      event.atMs = process.pausedUntilMs;
      event.sequence = this.#sequence++ + (isLast ? LAST : 0);
      push(this.#heap, event);
      return;
    }
    this.#nowMs = Math.max(this.#nowMs, atMs);
    this.#ran += 1;
    event.run = undefined;
    run();
    await macrotask();
  }
}

/** Lets every promise chain that is under way come to rest. */
function macrotask(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

function isEarlier(a: Event, b: Event): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.sequence < b.sequence);
}

function push(heap: Event[], event: Event): void {
  let at = heap.push(event) - 1;
  while (at > 0) {
    const parent = (at - 1) >> 1;
    const above = heap[parent] as Event;
    if (!isEarlier(event, above)) break;
    heap[at] = above;
    at = parent;
  }
  heap[at] = event;
}

function pop(heap: Event[]): Event {
  const first = heap[0] as Event;
  const last = heap.pop() as Event;
  if (heap.length === 0) return first;
  let at = 0;
  for (;;) {
    let child = 2 * at + 1;
    if (child >= heap.length) break;
    const right = heap[child + 1];
    if (right !== undefined && isEarlier(right, heap[child] as Event)) child += 1;
    const below = heap[child] as Event;
    if (!isEarlier(below, last)) break;
    heap[at] = below;
    at = child;
  }
  heap[at] = last;
  return first;
}
