/**
 * The connections of a client to one node: kept, at most so many, and those who find none free wait their turn.
 *
 * Undici's pool speaks HTTP. What `Endpoint` (http.ts) is for the command line this is for a program that asks all the
 * time: the same exchange for less CPU, and without streams. Requests wait for a connection here and not
 * in the pool, which would keep one that was given up, with its body, until its turn comes.
 */
import { validateHeaderValue } from "node:http";
import type { Dispatcher } from "undici";
// Not the package's entry; see undici-pool.d.ts.
import Pool from "undici/lib/dispatcher/pool.js";
import { baseUrlOf, withoutSlashes } from "./base-url.ts";
import { Exchange, type WholeAnswer } from "./exchange.ts";
import type { ClientTls } from "./http.ts";
import { NoAnswerError, NotAskedError } from "./no-answer-error.ts";

export type ConnectionsOptions = {
  /** At once. */
  readonly connectionsMax: number;
  /** How long one may take to come about, in ms. */
  readonly connectTimeoutMs: number;
  readonly tls: ClientTls | undefined;
  /** Sent with each request. */
  readonly headers: Readonly<Record<string, string>>;
};

/** A request without the node it goes to. */
export type Ask = {
  readonly method: "GET" | "PUT" | "DELETE";
  /** Path and query, percent-encoded. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
};

/** How long an exchange may take. */
export type Patience = {
  /** Until it is given up, in ms: while it waits for a connection of these, and anew, with the whole answer, once it has one. */
  readonly timeoutMs: number;
  /** When it is given up in any case, by `performance.now()`. */
  readonly untilMs?: number | undefined;
  /** Breaks it off. */
  readonly signal?: AbortSignal | undefined;
};

const HEAD_BYTES_MAX = 65_536;
const BODY_BYTES_MAX = 64 * 1024 * 1024;
const PROBE_AFTER_MS = 1_000;
/** A node closes a connection that was idle for so long as it says; this much earlier nothing is sent over it any more. */
const MARGIN_MS = 1_000;
/** With no more time than this left nothing is sent that had to wait: the answer would come too late. */
const LEAST_MS = 2;

/** One node at one URL. */
export class Connections {
  readonly url: string;
  readonly #pool: Pool;
  readonly #basePath: string;
  /** Names and values in turn. */
  readonly #headers: readonly string[];
  readonly #connectionsMax: number;
  /** Those that the pool has. */
  #running = 0;
  /** With what is to be done when their turn comes; it says whether there is time left. */
  readonly #waiting = new Map<Exchange, () => boolean>();

  /**
   * @param url `http://host:port` or `https://host:port`, with or without a path before the API's own.
   * @throws {TypeError} When `url` is no http or https URL, or a header cannot be sent.
   */
  constructor(url: string, { connectionsMax, connectTimeoutMs, tls, headers }: ConnectionsOptions) {
    const parsed = baseUrlOf(url);
    this.url = withoutSlashes(url);
    this.#basePath = withoutSlashes(parsed.pathname);
    this.#headers = linesOf(headers);
    this.#connectionsMax = connectionsMax;
    this.#pool = new Pool(parsed.origin, {
      connections: connectionsMax,
      pipelining: 1,
      allowH2: false,
      maxHeaderSize: HEAD_BYTES_MAX,
      maxResponseSize: BODY_BYTES_MAX,
      // Each exchange has one time for all of it.
      headersTimeout: 0,
      bodyTimeout: 0,
      keepAliveTimeoutThreshold: MARGIN_MS,
      connect: {
        timeout: connectTimeoutMs,
        keepAliveInitialDelay: PROBE_AFTER_MS,
        ...(parsed.protocol === "https:" ? { ca: tls?.authorities, cert: tls?.certificate, key: tls?.key } : {}),
      },
    });
  }

  /**
   * Makes one exchange and reads the whole answer.
   *
   * @throws {NoAnswerError} No answer came in time, or none at all; NotAskedError: its turn did not come in time.
   * @throws {TypeError} A header cannot be sent.
   */
  exchange(ask: Ask, patience: Patience): Promise<WholeAnswer> {
    const { signal } = patience;
    return new Promise((resolve, reject) => {
      const onAbort = () => this.#giveUp(exchange, "ABORT_ERR", "broken off");
      const onLate = () => this.#giveUp(exchange, "ETIMEDOUT", "no answer in time");
      let timer: NodeJS.Timeout | undefined;
      const settle = () => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", onAbort);
      };
      const exchange = new Exchange(this.#request(ask), {
        answered: (answer) => {
          settle();
          resolve(answer);
        },
        failed: (error, isStarted) => {
          settle();
          reject(error instanceof NoAnswerError ? error : new NoAnswerError(this.url, error, isStarted));
        },
        left: () => {
          this.#running -= 1;
          // Not within the pool's reading of an answer: it could come to read another one meanwhile.
          if (this.#waiting.size > 0) queueMicrotask(() => this.#goOn());
        },
      });
      // Not before: a request that cannot be made has thrown by now.
      timer = timerOf(patience, onLate);
      if (signal?.aborted === true) return onAbort();
      signal?.addEventListener("abort", onAbort, { once: true });
      if (this.#waiting.size === 0 && this.#running < this.#connectionsMax) return this.#start(exchange);
      this.#waiting.set(exchange, () => {
        clearTimeout(timer);
        timer = timerOf(patience, onLate);
        return leftMs(patience) > LEAST_MS;
      });
    });
  }

  /** Closes connections as they come out of use. Nothing may be asked any more. */
  close(): void {
    for (const [exchange, isInTime] of this.#waiting) this.#take(exchange, isInTime);
    this.#pool.close(() => undefined);
  }

  /** @throws {TypeError} A header cannot be sent. */
  #request({ method, path, headers = {}, body }: Ask): Dispatcher.DispatchOptions {
    const lines = [...this.#headers, ...linesOf(headers)];
    return { method, path: this.#basePath + path, headers: lines, body: body ?? null };
  }

  #goOn(): void {
    for (const [exchange, isInTime] of this.#waiting) {
      if (this.#running >= this.#connectionsMax) return;
      this.#take(exchange, isInTime);
    }
  }

  /** Its turn has come: it is sent, unless there is no time left for an answer. */
  #take(exchange: Exchange, isInTime: () => boolean): void {
    if (!isInTime()) return this.#giveUp(exchange, "ETIMEDOUT", "no answer in time");
    this.#waiting.delete(exchange);
    this.#start(exchange);
  }

  #start(exchange: Exchange): void {
    this.#running += 1;
    this.#pool.dispatch(exchange.request, exchange);
  }

  #giveUp(exchange: Exchange, code: string, what: string): void {
    const isWaiting = this.#waiting.delete(exchange);
    const isLate = code === "ETIMEDOUT";
    if (isWaiting && isLate) exchange.giveUp(new NotAskedError(this.url, this.#connectionsMax));
    else exchange.giveUp(Object.assign(new Error(what), { code }));
  }
}

function timerOf(patience: Patience, onLate: () => void): NodeJS.Timeout {
  return setTimeout(onLate, Math.max(1, leftMs(patience)));
}

function leftMs({ timeoutMs, untilMs }: Patience): number {
  return untilMs === undefined ? timeoutMs : Math.min(timeoutMs, untilMs - performance.now());
}

/** @throws {TypeError} A value would not stay one header. */
function linesOf(headers: Readonly<Record<string, string>>): string[] {
  const lines: string[] = [];
  for (const name in headers) {
    const value = headers[name] as string;
    validateHeaderValue(name, value);
    lines.push(name, value);
  }
  return lines;
}
