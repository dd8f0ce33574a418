/**
 * A steady load on a real cluster: so many requests a second, half of them reads, whatever the nodes do.
 *
 * An open loop: each request is due at its instant, and its latency counts from there, its further tries included. One
 * that waits for a connection has waited, too. A request is tried through one node after the other, at most four
 * times; a write always under the same Idempotency-Key. Nodes may come and go meanwhile.
 */
import { percentile } from "../bench/closed-loop.ts";
import { type Answer, HttpConnection, headerOf } from "../bench/connection.ts";
import { type KeySpace, keyName, valuesOf } from "../bench/exchanges.ts";
import type { KeyChooser, Uniform } from "../bench/keys.ts";
import { sleep } from "../bench/processes.ts";

export type SteadyLoadOptions = {
  readonly operationsPerSecond: number;
  readonly space: KeySpace;
  readonly choose: KeyChooser;
  readonly uniform: Uniform;
};

export type SteadyCounters = {
  operations: number;
  /** Requests that were due and never made, for too many waited: the machine did not bear the load. */
  skipped: number;
  /** Tries after the first one. */
  retries: number;
  /** Requests that failed in all their tries. */
  failed: number;
  /** Reads that showed what they may not show. */
  untrue: number;
  readonly reasons: Map<string, number>;
};

type Told = Pick<Answer, "status" | "head" | "body">;

/** How long one try may take. */
const PATIENCE_MS = 1_500;
/** Before the second, third and fourth try. */
const RETRY_MS = [100, 200, 400] as const;
/** Requests at once at most; as many may wait. */
const LANES = 64;
const TICK_MS = 2;

export class SteadyLoad {
  readonly counters: SteadyCounters = {
    operations: 0,
    skipped: 0,
    retries: 0,
    failed: 0,
    untrue: 0,
    reasons: new Map(),
  };
  readonly #ports: () => readonly number[];
  readonly #options: SteadyLoadOptions;
  readonly #startedMs = performance.now();
  readonly #idle = Array.from({ length: LANES }, () => new Lane());
  readonly #waiting: number[] = [];
  readonly #ended: Promise<void>;
  /** Instants at which requests were due, and how long each took from there. */
  readonly #taken: { readonly dueMs: number; readonly tookMs: number }[] = [];
  #running = true;
  #next = 0;

  /**
   * Starts at once.
   *
   * @param ports Data ports on loopback to be asked now.
   */
  constructor(ports: () => readonly number[], options: SteadyLoadOptions) {
    this.#ports = ports;
    this.#options = options;
    this.#ended = this.#run();
  }

  /** Requests nothing more; resolves when all was answered. */
  async stop(): Promise<void> {
    this.#running = false;
    await this.#ended;
    for (const lane of this.#idle) lane.close();
  }

  /** The 99th percentile of what was due in each of `count` equal parts of a time, in ms. */
  p99s(fromMs: number, untilMs: number, count: number): number[] {
    const windowMs = (untilMs - fromMs) / count;
    return Array.from({ length: count }, (_, index) => {
      const beganMs = fromMs + index * windowMs;
      const within = this.#taken.filter(({ dueMs }) => dueMs >= beganMs && dueMs < beganMs + windowMs);
      return percentile(Float32Array.from(within, ({ tookMs }) => tookMs).sort(), 0.99);
    });
  }

  async #run(): Promise<void> {
    const intervalMs = 1_000 / this.#options.operationsPerSecond;
    for (let dueMs = this.#startedMs; this.#running; await sleep(TICK_MS)) {
      for (; dueMs <= performance.now(); dueMs += intervalMs) {
        if (this.#waiting.length < LANES) this.#waiting.push(dueMs);
        else this.counters.skipped += 1;
      }
      this.#begin();
    }
    while (this.#waiting.length > 0 || this.#idle.length < LANES) await sleep(TICK_MS);
  }

  #begin(): void {
    while (this.#waiting.length > 0) {
      const lane = this.#idle.pop();
      if (lane === undefined) return;
      void this.#operate(lane, this.#waiting.shift() as number);
    }
  }

  async #operate(lane: Lane, dueMs: number): Promise<void> {
    const { choose, uniform } = this.#options;
    this.counters.operations += 1;
    const isDone = uniform() < 0.5 ? await this.#read(lane, choose()) : await this.#write(lane, choose());
    if (!isDone) this.counters.failed += 1;
    this.#taken.push({ dueMs, tookMs: performance.now() - dueMs });
    this.#idle.push(lane);
    this.#begin();
  }

  async #read(lane: Lane, key: number): Promise<boolean> {
    const { history, prefix } = this.#options.space;
    const request = Buffer.from(`GET /v1/kv/${keyName(prefix, key)} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`, "latin1");
    return this.#repeat("GET", async (port) => {
      const floor = history.beginRead(key);
      const told = await lane.ask(port, request);
      const values = told === undefined ? undefined : valuesOf(told);
      if (values === undefined) return { told, isDone: false };
      const verdict = history.check(key, floor, values);
      if (verdict !== "fresh") {
        this.counters.untrue += 1;
        this.#note(`GET ${keyName(prefix, key)} is ${verdict}`);
      }
      return { told, isDone: true };
    });
  }

  async #write(lane: Lane, key: number): Promise<boolean> {
    const { history, prefix, valueBytes } = this.#options.space;
    const write = history.beginWrite(key, valueBytes);
    const head = [
      `PUT /v1/kv/${keyName(prefix, key)} HTTP/1.1`,
      "Host: 127.0.0.1",
      `Idempotency-Key: steady-${write}`,
      `Content-Length: ${valueBytes}`,
      "\r\n",
    ].join("\r\n");
    const request = Buffer.alloc(head.length + valueBytes);
    request.write(head, "latin1");
    history.fill(request, head.length, write);
    let maySurface = false;
    const isDone = await this.#repeat("PUT", async (port) => {
      const told = await lane.ask(port, request);
      if (told?.status === 204) return { told, isDone: true };
      maySurface ||= told === undefined || (told.status >= 500 && headerOf(told.head, "kv-outcome") !== "none");
      return { told, isDone: false };
    });
    if (isDone) history.acknowledged(write);
    else if (maySurface) history.unknown(write);
    else history.refused(write);
    return isDone;
  }

  /** Tries through one node after the other. */
  async #repeat(
    method: string,
    attempt: (port: number) => Promise<{ readonly told: Told | undefined; readonly isDone: boolean }>,
  ): Promise<boolean> {
    const first = this.#next++;
    for (let tries = 0; ; tries++) {
      const ports = this.#ports();
      const { told, isDone } = await attempt(ports[(first + tries) % ports.length] as number);
      if (isDone) return true;
      this.#note(
        told === undefined
          ? `${method}: no answer`
          : `${method}: ${told.status} ${headerOf(told.head, "kv-outcome") ?? ""}`,
      );
      const pauseMs = RETRY_MS[tries];
      if (pauseMs === undefined) return false;
      this.counters.retries += 1;
      await sleep(pauseMs);
    }
  }

  #note(reason: string): void {
    const { reasons } = this.counters;
    reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
  }
}

/** One request at a time, with a connection to each node that it has asked. */
class Lane {
  readonly #connections = new Map<number, HttpConnection>();
  #asked: { readonly port: number; readonly tell: (told: Told | undefined) => void } | undefined;

  /** Gives undefined when the connection broke or the answer took too long: what became of the request nobody knows. */
  async ask(port: number, request: Buffer): Promise<Told | undefined> {
    const { promise, resolve } = Promise.withResolvers<Told | undefined>();
    this.#asked = { port, tell: resolve };
    const timer = setTimeout(() => {
      this.#connections.get(port)?.close();
      this.#connections.delete(port);
      resolve(undefined);
    }, PATIENCE_MS);
    const connection = this.#connections.get(port) ?? this.#open(port);
    connection.send(request);
    const told = await promise;
    clearTimeout(timer);
    this.#asked = undefined;
    return told;
  }

  close(): void {
    for (const connection of this.#connections.values()) connection.close();
    this.#connections.clear();
  }

  #open(port: number): HttpConnection {
    const connection = new HttpConnection(port, {
      // The body is a view of a buffer that the next answer overwrites.
      answered: ({ status, head, body }) => this.#tell(port, { status, head, body: Buffer.from(body) }),
      broken: () => {
        if (this.#connections.get(port) !== connection) return;
        this.#connections.delete(port);
        this.#tell(port, undefined);
      },
    });
    this.#connections.set(port, connection);
    return connection;
  }

  /** A connection that breaks while another one is asked is nobody's answer. */
  #tell(port: number, told: Told | undefined): void {
    if (this.#asked?.port === port) this.#asked.tell(told);
  }
}
