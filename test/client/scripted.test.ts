/** The client library against nodes that follow a script: what it says of a write, and what it does while they fail. */
import assert from "node:assert/strict";
import { once } from "node:events";
import type { IncomingHttpHeaders } from "node:http";
import { createServer as createTcpServer, type Socket, type Server as TcpServer } from "node:net";
import { afterEach, describe, it } from "@jest/globals";
import { AnnulusError } from "../../node/client/client.ts";
import { ringOf } from "./fake-cluster.ts";
import { atEnd, breaks, connect, scriptedNode as node, type Step, says, stopAll, takes } from "./scripted-node.ts";
import { eventually, failureOf } from "./waiting.ts";

afterEach(stopAll);

const failure = (promise: Promise<unknown>) => failureOf(promise, AnnulusError);

describe("a blind overwrite", () => {
  const attempts = (asked: readonly { readonly headers: IncomingHttpHeaders }[]) =>
    asked.map(({ headers }) => headers["kv-attempt"]);

  it("says that its first attempt is the first, which spares the node a look, and never that of a later one", async () => {
    const { url, asked } = await node([breaks, says(503, "QUORUM_LOST"), takes()]);
    await connect({ urls: [url] }).put("k", "v");
    assert.deepEqual(attempts(asked), ["1", undefined, undefined]);
  });

  it("does not say so under a name that its caller may have used before", async () => {
    const { url, asked } = await node([takes()]);
    await connect({ urls: [url] }).put("k", "v", { idempotencyKey: "job 17" });
    assert.deepEqual(attempts(asked), [undefined]);
  });
});

describe("a write that is refused when it is repeated", () => {
  it("may surface all the same, and says so, with its attempts", async () => {
    const { url, asked } = await node([breaks, says(401, "UNAUTHENTICATED")]);
    const error = await failure(connect({ urls: [url] }).put("k", "v"));
    assert.deepEqual([error.code, error.outcome, error.attempts], ["UNAUTHENTICATED", "unknown", 2]);
    const names = asked.map(({ headers }) => headers["idempotency-key"]);
    assert.equal(new Set(names).size, 1);
  });

  it("surely does not where the first attempt was refused as well", async () => {
    const { url } = await node([says(429, "OVERLOADED"), says(413, "TOO_LARGE")]);
    const error = await failure(connect({ urls: [url] }).put("k", "v"));
    assert.deepEqual([error.code, error.outcome, error.attempts], ["TOO_LARGE", "none", 2]);
  });

  it("is not made anew by update, which could then change the value twice", async () => {
    const found: Step = (_request, response) =>
      void response.writeHead(200, { "kv-node": "n1", "kv-context": "seen" }).end("1");
    const { url } = await node([found, breaks, says(409, "CONFLICT"), found, says(409, "CONFLICT")]);
    let changes = 0;
    const change = () => {
      changes += 1;
      return "2";
    };
    const error = await failure(connect({ urls: [url] }).update("k", change));
    assert.deepEqual([error.code, error.outcome, changes], ["CONFLICT", "unknown", 1]);
  });

  it("has been taken by whoever answers it with a success that says nothing more", async () => {
    const { url } = await node([(_request, response) => void response.writeHead(204).end()]);
    assert.equal((await failure(connect({ urls: [url] }).put("k", "v"))).outcome, "unknown");
  });
});

describe("the time of a call", () => {
  const mute: Step = () => undefined;
  const slowly: Step = (_request, response) =>
    void setTimeout(() => response.writeHead(204, { "kv-node": "n1", "kv-context": "c" }).end(), 10);

  it("is what is over where it is over, and not the node's silence", async () => {
    const { url } = await node([mute]);
    const client = connect({ urls: [url], attemptTimeoutMs: 10_000 });
    const write = await failure(client.put("k", "v", { timeoutMs: 80 }));
    assert.deepEqual([write.code, write.status, write.outcome, write.attempts], ["TIMED_OUT", undefined, "unknown", 1]);
    assert.match(write.message, /timeoutMs.* was over after 1 attempt.*may surface.*idempotencyKey of this error/);
    const read = await failure(client.get("k", { timeoutMs: 80 }));
    assert.deepEqual([read.code, read.outcome], ["TIMED_OUT", "none"]);
    assert.ok(!read.message.includes("does not answer") && read.message.includes(url), read.message);
    const silent = await failure(connect({ urls: [url], attemptTimeoutMs: 80, attemptsMax: 1 }).put("k", "v"));
    assert.equal(silent.code, "UNREACHABLE");
    assert.ok(silent.message.startsWith(`${url} does not answer: ETIMEDOUT. `), silent.message);
  });

  it("is over before anything is sent where nothing of it is left, also when update's change took it", async () => {
    const found: Step = (_request, response) =>
      void response.writeHead(200, { "kv-node": "n1", "kv-context": "seen" }).end("1");
    const { url, asked } = await node([found]);
    const client = connect({ urls: [url] });
    const over = await failure(client.put("k", "v", { timeoutMs: -5 }));
    assert.deepEqual([over.code, over.outcome, over.attempts], ["TIMED_OUT", "none", 0]);
    assert.match(over.message, /before anything was asked/);
    const change = async () => {
      await new Promise((resolve) => setTimeout(resolve, 600));
      return "2";
    };
    const late = await failure(client.update("k", change, { timeoutMs: 500 }));
    assert.deepEqual([late.code, late.outcome], ["TIMED_OUT", "none"]);
    assert.deepEqual(
      asked.map(({ method }) => method),
      ["GET"],
    );
  });

  it("is over for update also while its function is still at work, and so is update where its signal says so", async () => {
    const found: Step = (_request, response) =>
      void response.writeHead(200, { "kv-node": "n1", "kv-context": "seen" }).end("1");
    const { url, asked } = await node([found]);
    const client = connect({ urls: [url] });
    const forever = () => new Promise<string>(() => undefined);
    const late = await failure(client.update("k", forever, { timeoutMs: 300 }));
    assert.deepEqual([late.code, late.outcome], ["TIMED_OUT", "none"]);
    assert.match(late.message, /timeoutMs.* was over while the function of update was at work/);
    const reason = new Error("the user left");
    const stop = new AbortController();
    const stopped = client.update("k", forever, { signal: stop.signal });
    await eventually(() => asked.length === 2);
    setTimeout(() => stop.abort(reason), 20);
    await assert.rejects(stopped, (error) => error === reason);
    assert.equal(asked.length, 2);
  });

  it("is not spent in vain, nor the node passed over, by those who wait for one of the client's own connections", async () => {
    const { url } = await node([slowly]);
    const client = connect({ urls: [url], connectionsMax: 1, attemptTimeoutMs: 500, retryRatio: 0 });
    const writes = Array.from({ length: 100 }, (_, at) => client.put(`k${at}`, "v"));
    assert.equal((await Promise.all(writes)).length, 100);
  });

  it("that went by in the client's own queue is told as that", async () => {
    const { url } = await node([mute]);
    const client = connect({ urls: [url], connectionsMax: 1, attemptTimeoutMs: 10_000, timeoutMs: 300 });
    const [, waiting] = await Promise.all([failure(client.put("a", "v")), failure(client.put("b", "v"))]);
    assert.deepEqual([waiting.code, waiting.outcome], ["TIMED_OUT", "none"]);
    assert.match(waiting.message, /was not asked: .*connection to it was in use/);
  });
});

describe("a deletion that resolve chooses among siblings", () => {
  const tombstone = { contentType: "", writtenAt: "2026-01-02T00:00:00.000Z", deleted: true };
  const value = { contentType: "text/plain", value: "dg==", writtenAt: "2026-01-01T00:00:00.000Z", deleted: false };
  const both: Step = (_request, response) => {
    response.writeHead(300, { "kv-node": "n1", "kv-context": "seen", "content-type": "application/json" });
    response.end(JSON.stringify({ context: "seen", siblings: [value, tombstone] }));
  };

  it("is a deletion, and no empty value: neither for the reader nor for update, nor can it be put", async () => {
    const { url, asked } = await node([both]);
    const client = connect({ urls: [url], resolve: (siblings) => siblings.at(-1) });
    assert.equal(await client.get("k"), undefined);
    const seen: unknown[] = [];
    await client.update("k", (current) => void seen.push(current));
    assert.deepEqual(seen, [undefined]);
    const [, deleted] = (await client.read("k")).siblings;
    await failureOf(client.put("k", deleted ?? ""), TypeError);
    assert.ok(asked.every(({ method }) => method === "GET"));
  });
});

describe("a client that is closed", () => {
  it("repeats nothing any more, and says of a write what is known", async () => {
    const { url, asked } = await node([says(503, "QUORUM_LOST", { "kv-outcome": "unknown" })]);
    const client = connect({ urls: [url], attemptsMax: 1_000 });
    const call = failure(client.put("k", "v"));
    await eventually(() => asked.length >= 2);
    client.close();
    const error = await call;
    assert.deepEqual([error.code, error.outcome], ["CLOSED", "unknown"]);
    assert.ok(error.attempts <= asked.length + 1, `${error.attempts} attempts, of which ${asked.length} arrived`);
  });
});

describe("a member that no URL was given for", () => {
  let held: Socket[] = [];
  /** What is at another address of the same port: it takes connections and says nothing. */
  async function mute(url: string, onAsked: (socket: Socket) => void = () => undefined): Promise<TcpServer> {
    held = [];
    const server = createTcpServer((socket) => {
      held.push(socket.on("error", () => socket.destroy()));
      socket.once("data", () => onAsked(socket));
    });
    atEnd(() => {
      server.close();
      for (const socket of held) socket.destroy();
    });
    await once(server.listen(Number(new URL(url).port), "127.0.0.2"), "listening");
    return server;
  }
  const members = (away: string) =>
    ["127.0.0.1", "127.0.0.1", away].map((host, at) => ({ name: `n${at + 1}`, host, zone: "a" }));
  const ring = { ...ringOf(1, ["n1", "n2", "n3"]), members: members("127.0.0.2") };
  const missing: Step = (_request, response) => void response.writeHead(404, { "kv-node": "n1" }).end();

  it("holds up no call where it does not answer", async () => {
    const { url } = await node([missing], { ring: () => ring });
    await mute(url);
    const startedMs = performance.now();
    assert.equal(await connect({ urls: [url] }).get("k"), undefined);
    assert.ok(performance.now() - startedMs < 10_000, `${performance.now() - startedMs} ms`);
    assert.equal(held.length, 1);
  });

  it("is asked for no longer once the client is closed, and keeps no connection", async () => {
    const { url } = await node([missing], { ring: () => ring });
    const text = JSON.stringify(ring);
    let answer = () => {};
    await mute(url, (socket) => {
      answer = () => socket.write(`HTTP/1.1 200 OK\r\nKV-Node: n3\r\nContent-Length: ${text.length}\r\n\r\n${text}`);
    });
    const client = connect({ urls: [url] });
    await client.get("k");
    await eventually(() => held[0]?.bytesRead !== 0 && held.length === 1);
    const gone = once(held[0] as Socket, "close");
    client.close();
    answer();
    await gone;
    assert.deepEqual(client.members, ["n1"]);
  });
});
