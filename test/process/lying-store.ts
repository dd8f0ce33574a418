/**
 * A store of one copy behind the data API, with contexts and idempotency, that can be told to lie in one way: what
 * the clients and the checks of the fault tests are themselves tested on.
 */
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";

export type Lie =
  | "none"
  /** Acknowledges a write and forgets it. */
  | "loses a write"
  /** Refuses a write with outcome none, and keeps it. */
  | "keeps what it refused"
  /** Brings a value back that was replaced. */
  | "brings back"
  /** Shows what nobody wrote. */
  | "makes up"
  /** Gives a value back with another last byte. */
  | "spoils a byte"
  /** Gives a value back as of another type. */
  | "forgets a type"
  /** Takes a second try for a second write. */
  | "counts a retry";

type Stored = { readonly dot: number; readonly value: Buffer; readonly contentType: string };
type Pair = { siblings: Stored[]; replaced: Stored | undefined; readonly events: Map<string, number> };

/** One write in so many is lied about; the store goes by the number in the value, so that every try meets the same lie. */
const LIES_EVERY = 15;
/** The number stands in the first so many bytes. */
const ID_BYTES_MAX = 20;

export class LyingStore {
  readonly #lie: Lie;
  readonly #pairs = new Map<string, Pair>();
  readonly #server = createServer((request, response) => {
    void this.#serve(request, response);
  });
  readonly #hungUp = new Set<string>();
  #dots = 0;

  constructor(lie: Lie) {
    this.#lie = lie;
  }

  /** Gives the port that it listens on. */
  async start(): Promise<number> {
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
    return (this.#server.address() as AddressInfo).port;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, "close");
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? "", "http://node");
    const body = await buffer(request);
    const pair: Pair = this.#pairs.get(url.pathname) ?? { siblings: [], replaced: undefined, events: new Map() };
    this.#pairs.set(url.pathname, pair);
    if (request.method === "GET") return answerRead(response, pair);
    const isLie = isLiedAbout(body);
    if (isLie && this.#lie === "counts a retry" && !this.#hungUp.has(body.toString("latin1"))) {
      // It was stored, the answer is lost, and the name of the write with it.
      this.#hungUp.add(body.toString("latin1"));
      this.#store(pair, request, { url, body }, "");
      request.socket.destroy();
      return;
    }
    if (isLie && this.#lie === "loses a write") return acknowledge(response, this.#dots);
    const name = String(request.headers["idempotency-key"] ?? "");
    const dot = pair.events.get(name) ?? this.#store(pair, request, { url, body }, name);
    if (isLie && this.#lie === "keeps what it refused") response.writeHead(503, { "kv-outcome": "none" }).end();
    else acknowledge(response, dot);
    if (!isLie) return;
    if (this.#lie === "brings back" && pair.replaced !== undefined) pair.siblings.push(pair.replaced);
    if (this.#lie === "makes up")
      pair.siblings.push({ dot: 0, value: Buffer.from(`${1e9}:nobody's`), contentType: "" });
  }

  #store(pair: Pair, request: IncomingMessage, { url, body }: { url: URL; body: Buffer }, name: string): number {
    const token = request.headers["kv-context"];
    const seen = token === undefined ? undefined : dotsIn(String(token));
    const stays = ({ dot }: Stored): boolean =>
      seen === undefined ? url.searchParams.get("blind") === "sibling" : !seen.includes(dot);
    pair.replaced = pair.siblings.find((sibling) => !stays(sibling)) ?? pair.replaced;
    pair.siblings = pair.siblings.filter(stays);
    const dot = ++this.#dots;
    if (request.method === "PUT") pair.siblings.push({ dot, ...this.#contentOf(request, body) });
    if (name !== "") pair.events.set(name, dot);
    return dot;
  }

  #contentOf({ headers }: IncomingMessage, body: Buffer): Pick<Stored, "value" | "contentType"> {
    const contentType = headers["content-type"] ?? "";
    if (!isLiedAbout(body)) return { value: body, contentType };
    if (this.#lie === "forgets a type") return { value: body, contentType: "application/x-forgotten" };
    if (this.#lie !== "spoils a byte") return { value: body, contentType };
    const last = (body.at(-1) ?? 0) ^ 1;
    return { value: Buffer.concat([body.subarray(0, -1), Buffer.of(last)]), contentType };
  }
}

function isLiedAbout(body: Buffer): boolean {
  return Number.parseInt(body.toString("latin1", 0, ID_BYTES_MAX), 10) % LIES_EVERY === 0;
}

function acknowledge(response: ServerResponse, dot: number): void {
  response.writeHead(204, { "kv-context": tokenOf([dot]) }).end();
}

function answerRead(response: ServerResponse, { siblings }: Pair): void {
  const context = tokenOf(siblings.map(({ dot }) => dot));
  const [only] = siblings;
  if (only === undefined) response.writeHead(404, { "kv-context": context }).end();
  else if (siblings.length === 1)
    response.writeHead(200, { "kv-context": context, "content-type": only.contentType }).end(only.value);
  else {
    const shown = siblings.map(({ value, contentType }) => ({
      ...{ value: value.toString("base64"), contentType, deleted: false },
    }));
    response.writeHead(300, { "kv-context": context }).end(JSON.stringify({ context, siblings: shown }));
  }
}

function tokenOf(dots: readonly number[]): string {
  return Buffer.from(JSON.stringify(dots)).toString("base64url");
}

function dotsIn(token: string): readonly number[] {
  return JSON.parse(Buffer.from(token, "base64url").toString("utf8")) as number[];
}
