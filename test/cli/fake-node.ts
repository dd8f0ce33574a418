/** A node as far as the command line can see one: values in a map, faults on demand, every write remembered. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { buffer } from "node:stream/consumers";
import { closeServer, listenOnLoopback } from "./loopback.ts";

export type SeenWrite = {
  readonly key: string;
  readonly query: string;
  readonly idempotencyKey: string;
  readonly attempt: string | undefined;
  readonly contentType: string;
};
type Stored = { readonly value: Buffer; readonly contentType: string };

/** What to do with a request instead of serving it; undefined serves it. */
export type Fault =
  | "busy"
  | "no quorum"
  | "say nothing"
  | "hang up"
  | "hang up after writing"
  | "refuse"
  | "broken store"
  | "be another server"
  | undefined;

export class FakeNode {
  /** By key as latin1 text. Several values are siblings. */
  readonly pairs = new Map<string, readonly Stored[]>();
  readonly writes: SeenWrite[] = [];
  /** Asked before each request of the data API. */
  fault: (request: IncomingMessage) => Fault = () => undefined;
  readonly #server = createServer((request, response) => {
    void this.#serve(request, response);
  });

  start(): Promise<string> {
    return listenOnLoopback(this.#server);
  }

  stop(): Promise<void> {
    return closeServer(this.#server);
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? "", "http://node");
    if (url.pathname === "/v1/ring") return sendJson(response, 200, RING);
    if (url.pathname === "/v1/export") return this.#export(url, response);
    const fault = this.fault(request);
    const body = await buffer(request);
    if (fault === "say nothing") return;
    if (fault === "be another server") response.writeHead(request.method === "GET" ? 404 : 200).end("<h1>Here</h1>");
    else if (fault === "hang up") request.socket.destroy();
    else if (fault === "busy") response.writeHead(429, { "retry-after": "0" }).end();
    else if (fault === "no quorum")
      sendJson(response, 503, { detail: "too few replicas", required: 2, acknowledged: 1 });
    else if (fault === "broken store") sendJson(response, 500, { detail: "this node's store failed" });
    else if (fault === "refuse") sendJson(response, 413, { detail: "pair too large" });
    else this.#answer(request, response, { key: rawKey(request.url ?? ""), url, body, hangUp: fault !== undefined });
  }

  #answer(
    request: IncomingMessage,
    response: ServerResponse,
    call: { key: string; url: URL; body: Buffer; hangUp: boolean },
  ): void {
    const { key, url, body } = call;
    const held = this.pairs.get(key) ?? [];
    if (request.method === "GET") {
      this.#answerRead(response, held);
      return;
    }
    const contentType = request.headers["content-type"] ?? "";
    const idempotencyKey = String(request.headers["idempotency-key"]);
    const attempt = request.headers["kv-attempt"]?.toString();
    this.writes.push({ key, query: url.search, idempotencyKey, attempt, contentType });
    const isSibling = url.searchParams.get("blind") === "sibling";
    if (request.method === "DELETE") this.pairs.delete(key);
    else this.pairs.set(key, [...(isSibling ? held : []), { value: body, contentType }]);
    if (call.hangUp) request.socket.destroy();
    else response.writeHead(204, { "kv-context": "token", "kv-node": "fake" }).end();
  }

  #answerRead(response: ServerResponse, held: readonly Stored[]): void {
    const [only] = held;
    response.setHeader("kv-node", "fake");
    if (only === undefined) sendJson(response, 404, { title: "not found" });
    else if (held.length === 1) response.writeHead(200, { "content-type": only.contentType }).end(only.value);
    else sendJson(response, 300, { context: "token", siblings: held.map(siblingOf) });
  }

  /** All keys are in partition 1; the connection breaks once in the middle of it. */
  #hasBroken = false;
  #export(url: URL, response: ServerResponse): void {
    const partition = Number(url.searchParams.get("partition"));
    const after = Buffer.from(rawKey(`/v1/kv/${/after=([^&]*)/.exec(url.search)?.[1] ?? ""}`), "latin1");
    const keys =
      partition === 1 ? [...this.pairs.keys()].map((key) => Buffer.from(key, "latin1")).sort(Buffer.compare) : [];
    const rest = keys.filter((key) => Buffer.compare(key, after) > 0);
    const lines = rest.map((key) => {
      const escaped = [...key].map((byte) => `%${byte.toString(16).padStart(2, "0")}`).join("");
      const siblings = (this.pairs.get(key.toString("latin1")) ?? []).map(siblingOf);
      return `${JSON.stringify({ key: escaped, context: "token", siblings })}\n`;
    });
    response.writeHead(200);
    if (partition === 1 && !this.#hasBroken && lines.length > 1) {
      this.#hasBroken = true;
      response.write(lines.slice(0, 1).join(""), () => response.destroy());
      return;
    }
    response.end(`${lines.join("")}${JSON.stringify({ epoch: 1, partition, complete: true })}\n`);
  }
}

const RING = {
  epoch: 1,
  partitions: 2,
  n: 1,
  r: 1,
  w: 1,
  mode: "strict",
  members: [],
  preferenceLists: [["a"], ["a"]],
};

function siblingOf({ value, contentType }: Stored) {
  return { contentType, value: value.toString("base64"), writtenAt: "2026-01-01T00:00:00.000Z", deleted: false };
}

/** The key's bytes as latin1 text. */
function rawKey(url: string): string {
  const path = url.split("?")[0] ?? "";
  const segment = path.slice("/v1/kv/".length);
  return segment.replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}

function sendJson(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
}
