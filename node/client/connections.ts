/**
 * The connections of a client to one node: kept, at most so many, and those who find none free wait their turn.
 *
 * What `Endpoint` (http.ts) is for the command line this is for a program that asks all the time: the same exchange at a
 * third of the CPU, and without streams.
 */
import type { WholeAnswer } from "./answer-reader.ts";
import { Connection, type Outgoing, type Target, type Waiting } from "./connection.ts";
import { type ClientTls, NoAnswerError, withoutSlashes } from "./http.ts";

export type ConnectionsOptions = {
  /** At once. */
  readonly connectionsMax: number;
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
  /** Until it is given up, the wait for a connection and the whole answer included, in ms. */
  readonly timeoutMs: number;
  /** Breaks it off. */
  readonly signal?: AbortSignal | undefined;
};

/** One request, from when it is asked until whoever asked knows. */
type Exchange = Waiting & { readonly outgoing: Outgoing; connection: Connection | undefined };

/** What a header may hold (RFC 9110 §5.5): nothing that would end it, and with it the request. */
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;

/** One node at one URL. */
export class Connections {
  readonly url: string;
  readonly #target: Target;
  readonly #basePath: string;
  /** The lines that are the same in every request. */
  readonly #lines: string;
  readonly #connectionsMax: number;
  /** The one that was used last is last: it is taken first, and those that are not needed grow old. */
  readonly #idle: Connection[] = [];
  readonly #queue: Exchange[] = [];
  #open = 0;
  #session: Buffer | undefined;
  #isClosed = false;

  /**
   * @param url `http://host:port` or `https://host:port`, with or without a path before the API's own.
   * @throws {TypeError} When `url` is no http or https URL, or a header cannot be sent.
   */
  constructor(url: string, { connectionsMax, tls, headers }: ConnectionsOptions) {
    const parsed = new URL(url);
    const isSecure = parsed.protocol === "https:";
    if (parsed.protocol !== "http:" && !isSecure)
      throw new TypeError(`expected http://host:port or https://host:port, found "${url}"`);
    this.url = withoutSlashes(url);
    this.#target = {
      host: parsed.hostname.replace(/^\[|\]$/g, ""),
      port: Number(parsed.port === "" ? (isSecure ? 443 : 80) : parsed.port),
      secure: isSecure ? { ca: tls?.authorities, cert: tls?.certificate, key: tls?.key } : undefined,
    };
    this.#basePath = withoutSlashes(parsed.pathname);
    this.#lines = linesOf({ host: parsed.host, ...headers });
    this.#connectionsMax = connectionsMax;
  }

  /**
   * Makes one exchange and reads the whole answer.
   *
   * @throws {NoAnswerError} No answer came in time, or none at all.
   * @throws {TypeError} A header cannot be sent.
   */
  exchange(ask: Ask, { timeoutMs, signal }: Patience): Promise<WholeAnswer> {
    return new Promise((resolve, reject) => {
      const onAbort = () => this.#giveUp(exchange, "ABORT_ERR", "broken off");
      const exchange: Exchange = {
        outgoing: this.#outgoing(ask),
        connection: undefined,
        answered: (answer) => {
          clearTimeout(timer);
          signal?.removeEventListener("abort", onAbort);
          this.#free(exchange);
          resolve(answer);
        },
        failed: (error) => {
          clearTimeout(timer);
          signal?.removeEventListener("abort", onAbort);
          reject(new NoAnswerError(this.url, error));
        },
      };
      const timer = setTimeout(() => this.#giveUp(exchange, "ETIMEDOUT", "no answer in time"), timeoutMs);
      if (signal?.aborted === true) return onAbort();
      signal?.addEventListener("abort", onAbort, { once: true });
      this.#start(exchange);
    });
  }

  /** Closes connections as they come out of use. */
  close(): void {
    this.#isClosed = true;
    for (const connection of this.#idle.splice(0)) connection.end(new Error("closed"));
  }

  #outgoing({ method, path, headers, body }: Ask): Outgoing {
    const length = body === undefined ? "" : `content-length: ${body.length}\r\n`;
    const lines = headers === undefined ? "" : linesOf(headers);
    const head = `${method} ${this.#basePath}${path} HTTP/1.1\r\n${this.#lines}${lines}${length}\r\n`;
    return { head, body };
  }

  #start(exchange: Exchange): void {
    const connection = this.#taken() ?? (this.#open < this.#connectionsMax ? this.#connect() : undefined);
    if (connection === undefined) this.#queue.push(exchange);
    else this.#send(connection, exchange);
  }

  #send(connection: Connection, exchange: Exchange): void {
    exchange.connection = connection;
    connection.send(exchange.outgoing, exchange);
  }

  /** One that is idle and fit; those that are not are closed. */
  #taken(): Connection | undefined {
    if (this.#idle.length === 0) return undefined;
    const nowMs = performance.now();
    for (;;) {
      const connection = this.#idle.pop();
      if (connection === undefined || connection.isFit(nowMs)) return connection;
      connection.end(new Error("idle for too long"));
    }
  }

  #connect(): Connection {
    this.#open += 1;
    return new Connection(this.#target, this.#session, {
      ended: (connection) => this.#ended(connection),
      session: (session) => {
        this.#session = session;
      },
    });
  }

  #ended(connection: Connection): void {
    this.#open -= 1;
    const at = this.#idle.indexOf(connection);
    if (at >= 0) this.#idle.splice(at, 1);
    const next = this.#queue.shift();
    if (next !== undefined) this.#start(next);
  }

  /** The connection of an exchange that has its answer goes to whoever waits, or stays for the next. */
  #free({ connection }: Exchange): void {
    if (connection?.isOpen !== true) return;
    const next = this.#queue.shift();
    if (next !== undefined) this.#send(connection, next);
    else if (this.#isClosed) connection.end(new Error("closed"));
    else this.#idle.push(connection);
  }

  #giveUp(exchange: Exchange, code: string, what: string): void {
    const error = Object.assign(new Error(what), { code });
    if (exchange.connection !== undefined) return exchange.connection.end(error);
    const at = this.#queue.indexOf(exchange);
    if (at >= 0) this.#queue.splice(at, 1);
    exchange.failed(error);
  }
}

/** @throws {TypeError} A value would not stay one header. */
function linesOf(headers: Readonly<Record<string, string>>): string {
  let lines = "";
  for (const name in headers) {
    const value = headers[name] as string;
    if (!VALUE.test(value)) throw new TypeError(`expected the header ${name} in printable Latin-1 characters`);
    lines += `${name}: ${value}\r\n`;
  }
  return lines;
}
