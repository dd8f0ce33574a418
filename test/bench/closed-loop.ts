/**
 * A closed loop: each connection sends its next request as soon as the last was answered.
 *
 * What is sent, and what an answer means, is the affair of an `Exchange`, one per connection. The loop counts, times
 * and reconnects. Connection i goes to port i mod ports.
 */
import type { ClientTls } from "../../node/client/http.ts";
import { type Answer, HttpConnection } from "./connection.ts";

/** What one connection of a load says. */
export type Exchange = {
  /** The next request's bytes, or undefined when there is nothing left to ask. */
  next(): Buffer | undefined;
  /** Judges the answer to the last request; a text says what was wrong with it. */
  answered(answer: Answer): string | undefined;
  /** The connection broke before the last request was answered. */
  unanswered(): void;
};

/** What a loop did between two moments. */
export type LoopFigures = {
  operations: number;
  errors: number;
  /** What was wrong, the first few times. */
  complaints: string[];
  /** Of each operation, in ms, in the order of the answers. */
  latenciesMs: Float32Array;
  seconds: number;
};

export type LoopOptions = {
  readonly ports: readonly number[];
  readonly connections: number;
  /** Whom to trust, where the ports speak TLS. */
  readonly tls?: ClientTls | undefined;
  readonly exchange: (connection: number) => Exchange;
  /** Whether a connection that broke is an error and made anew (true), or ends quietly (false). */
  readonly reconnect: boolean;
};

const RECONNECT_MS = 50;
const COMPLAINTS_MAX = 10;

export class ClosedLoop {
  /** Settles when every connection has ended: nothing left to ask, stopped, or broken for good. */
  readonly done: Promise<void>;

  readonly #options: LoopOptions;
  readonly #ending: () => void;
  #live: number;
  #stopping = false;
  #windowStart = performance.now();
  #operations = 0;
  #errors = 0;
  #complaints: string[] = [];
  #latenciesMs = new Float32Array(4096);

  /** Starts at once. */
  constructor(options: LoopOptions) {
    this.#options = options;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.done = promise;
    this.#ending = resolve;
    this.#live = options.connections;
    for (let index = 0; index < options.connections; index++) this.#open(index, options.exchange(index));
  }

  /** Sends nothing more; `done` settles when what is in flight was answered. */
  stop(): Promise<void> {
    this.#stopping = true;
    return this.done;
  }

  /** The figures since the last call (or the start), and begins to count anew. */
  takeFigures(): LoopFigures {
    const now = performance.now();
    const figures = {
      operations: this.#operations,
      errors: this.#errors,
      complaints: this.#complaints,
      latenciesMs: this.#latenciesMs.slice(0, this.#operations),
      seconds: (now - this.#windowStart) / 1000,
    };
    this.#windowStart = now;
    this.#operations = 0;
    this.#errors = 0;
    this.#complaints = [];
    return figures;
  }

  #open(index: number, exchange: Exchange): void {
    const { ports, reconnect, tls } = this.#options;
    let sentAt = 0;
    let waiting = false;
    const sendNext = (): void => {
      const request = this.#stopping ? undefined : exchange.next();
      if (request === undefined) {
        connection.close();
        this.#ended();
        return;
      }
      waiting = true;
      sentAt = performance.now();
      connection.send(request);
    };
    const events = {
      answered: (answer: Answer) => {
        waiting = false;
        this.#record(performance.now() - sentAt);
        const complaint = exchange.answered(answer);
        if (complaint !== undefined) this.#complain(complaint);
        sendNext();
      },
      broken: (reason: string) => {
        if (waiting) exchange.unanswered();
        if (!reconnect || this.#stopping) {
          this.#ended();
          return;
        }
        this.#complain(`connection ${index}: ${reason}`);
        setTimeout(() => this.#open(index, exchange), RECONNECT_MS);
      },
    };
    const connection = new HttpConnection(ports[index % ports.length] ?? 0, events, tls);
    sendNext();
  }

  #record(latencyMs: number): void {
    if (this.#operations === this.#latenciesMs.length) {
      const larger = new Float32Array(this.#operations * 2);
      larger.set(this.#latenciesMs);
      this.#latenciesMs = larger;
    }
    this.#latenciesMs[this.#operations++] = latencyMs;
  }

  #complain(complaint: string): void {
    this.#errors++;
    if (this.#complaints.length < COMPLAINTS_MAX) this.#complaints.push(complaint);
  }

  #ended(): void {
    this.#live--;
    if (this.#live === 0) this.#ending();
  }
}

/** The latency that `share` (0 .. 1) of the operations stayed under, in ms; 0 when there were none. */
export function percentile(sortedMs: Float32Array, share: number): number {
  return sortedMs[Math.min(sortedMs.length - 1, Math.floor(sortedMs.length * share))] ?? 0;
}
