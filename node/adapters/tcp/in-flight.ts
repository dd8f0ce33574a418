/**
 * The requests of one link that wait for their replies, and the one timer that gives them up.
 *
 * The timer is set to the earliest deadline and looks through all that wait when it rings. Nearly every reply comes in
 * time and costs no timer; under a steady load with one timeout the timer rings about once per timeout.
 */
import type { KvError } from "../../core/errors.ts";
import type { Reply } from "../../messages.ts";
import type { Time, Timer } from "../../ports.ts";

/** The timer is never set closer than this to the last time it rang. */
const SWEEP_MS_MIN = 2;
const ID_COUNT = 0x1_0000_0000;

export type Waiting = {
  /** By the monotonic clock. */
  readonly deadlineMs: number;
  readonly resolve: (reply: Reply) => void;
  readonly reject: (error: KvError) => void;
};

/** Requests by the number that their replies carry. Bounded by its owner. */
export class InFlight {
  readonly #time: Time;
  readonly #expired: (waiting: Waiting) => void;
  readonly #waiting = new Map<number, Waiting>();
  readonly #sweepNow = () => this.#sweep();
  #nextId = 0;
  #timer: Timer | undefined;
  #sweepAtMs = Number.POSITIVE_INFINITY;

  /** @param expired Called for each whose deadline has passed; it waits no more then. */
  constructor(time: Time, expired: (waiting: Waiting) => void) {
    this.#time = time;
    this.#expired = expired;
  }

  get size(): number {
    return this.#waiting.size;
  }

  /** A number, 0 .. 2^32 − 1, that no waiting request has. Numbers come around after 2^32 requests. */
  takeId(): number {
    let id = this.#nextId;
    while (this.#waiting.has(id)) id = (id + 1) % ID_COUNT;
    this.#nextId = (id + 1) % ID_COUNT;
    return id;
  }

  add(id: number, waiting: Waiting, nowMs: number): void {
    this.#waiting.set(id, waiting);
    if (waiting.deadlineMs < this.#sweepAtMs) this.#sweepAt(waiting.deadlineMs, nowMs);
  }

  /** Takes out the request that a reply belongs to; undefined when it waits no more. */
  take(id: number): Waiting | undefined {
    const waiting = this.#waiting.get(id);
    if (waiting !== undefined) this.#waiting.delete(id);
    return waiting;
  }

  /** Takes out all and stops the timer. */
  takeAll(): readonly Waiting[] {
    this.#timer?.cancel();
    this.#sweepAtMs = Number.POSITIVE_INFINITY;
    const all = [...this.#waiting.values()];
    this.#waiting.clear();
    return all;
  }

  #sweepAt(atMs: number, nowMs: number): void {
    this.#timer?.cancel();
    this.#sweepAtMs = atMs;
    this.#timer = this.#time.after(atMs - nowMs, this.#sweepNow);
  }

  #sweep(): void {
    const nowMs = this.#time.monotonicMs();
    const overdue: Waiting[] = [];
    let earliestMs = Number.POSITIVE_INFINITY;
    for (const [id, waiting] of this.#waiting) {
      if (waiting.deadlineMs > nowMs) {
        earliestMs = Math.min(earliestMs, waiting.deadlineMs);
      } else {
        this.#waiting.delete(id);
        overdue.push(waiting);
      }
    }
    this.#sweepAtMs = Number.POSITIVE_INFINITY;
    if (earliestMs < Number.POSITIVE_INFINITY) this.#sweepAt(Math.max(earliestMs, nowMs + SWEEP_MS_MIN), nowMs);
    for (const waiting of overdue) this.#expired(waiting);
  }
}
