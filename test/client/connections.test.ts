/** The client library's connections, to servers that behave and to servers that do not. */
import assert from "node:assert/strict";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { getEventListeners, once } from "node:events";
import { createServer, type RequestListener, type Server } from "node:http";
import { createServer as createSecureServer } from "node:https";
import { type AddressInfo, connect, createServer as createTcpServer, type Socket } from "node:net";
import { afterEach, beforeAll, describe, it, jest } from "@jest/globals";
import { type Ask, Connections, type ConnectionsOptions } from "../../node/client/connections.ts";
import { headerOf } from "../../node/client/exchange.ts";
import { NoAnswerError } from "../../node/client/no-answer-error.ts";
import { type Issued, TestAuthority } from "../tls/authority.ts";
import { eventually, failureOf } from "./waiting.ts";

jest.setTimeout(60_000);

const PATIENCE = { timeoutMs: 30_000 };
/** By name: what Node throws is of another realm here. */
const INVALID = { name: "TypeError" };
const OPTIONS: ConnectionsOptions = { connectionsMax: 8, connectTimeoutMs: 30_000, tls: undefined, headers: {} };
const GET: Ask = { method: "GET", path: "/v1/kv/k" };

const opened: { close(): void }[] = [];
const stops: (() => void)[] = [];
afterEach(() => {
  for (const each of opened.splice(0)) each.close();
  for (const stop of stops.splice(0)) stop();
});

function connections(port: number, options: Partial<ConnectionsOptions & { scheme: string; host: string }> = {}) {
  const { scheme = "http", host = "127.0.0.1", ...rest } = options;
  const made = new Connections(`${scheme}://${host}:${port}`, { ...OPTIONS, ...rest });
  opened.push(made);
  return made;
}

async function listening(server: Server): Promise<{ port: number; sockets: Set<Socket> }> {
  const sockets = new Set<Socket>();
  server.on("connection", (socket) => sockets.add(socket));
  stops.push(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  return { port: (server.address() as AddressInfo).port, sockets };
}

const serve = (handler: RequestListener) => listening(createServer(handler));

/** A server that says what it is told whatever it is asked; `sockets` are in the order in which they came. */
async function say(answers: (asked: string, socket: Socket) => void): Promise<{ port: number; sockets: Socket[] }> {
  const sockets: Socket[] = [];
  const server = createTcpServer((socket) => {
    sockets.push(socket);
    socket.on("error", () => socket.destroy());
    socket.on("data", (bytes) => answers(bytes.toString("latin1"), socket));
  });
  stops.push(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  return { port: (server.address() as AddressInfo).port, sockets };
}

const noAnswer = (asked: Promise<unknown>) => failureOf(asked, NoAnswerError);

describe("the connections to a node", () => {
  it("carry a request with its headers and body, and what comes back", async () => {
    const { port } = await serve((request, response) => {
      const parts: Buffer[] = [];
      request.on("data", (part: Buffer) => parts.push(part));
      request.on("end", () => {
        const { host, authorization, "kv-context": context } = request.headers;
        response.setHeader("kv-node", "n1");
        // Without a length, so in chunks.
        response.write(JSON.stringify([request.method, request.url, host, authorization, context]));
        response.end(Buffer.concat(parts));
      });
    });
    const to = connections(port, { headers: { authorization: "Bearer t" } });
    const body = Buffer.alloc(100_000, "v");
    const asked = { method: "PUT", path: "/v1/kv/a%00?w=3", headers: { "kv-context": "tök" }, body } as const;
    const answer = await to.exchange(asked, PATIENCE);
    const said = JSON.stringify(["PUT", "/v1/kv/a%00?w=3", `127.0.0.1:${port}`, "Bearer t", "tök"]);
    assert.equal(answer.body.toString(), said + body.toString());
    assert.deepEqual([answer.status, headerOf(answer, "kv-node")], [200, "n1"]);
    const empty = await to.exchange({ ...asked, body: Buffer.alloc(0) }, PATIENCE);
    assert.equal(empty.body.toString(), said);
  });

  it("are kept, at most so many, and those who find none free have their turn", async () => {
    let atOnce = 0;
    let most = 0;
    const { port, sockets } = await serve((request, response) => {
      atOnce += 1;
      most = Math.max(most, atOnce);
      setImmediate(() => {
        atOnce -= 1;
        response.end(request.url);
      });
    });
    const to = connections(port, { connectionsMax: 3 });
    for (let round = 0; round < 3; round++) {
      const paths = Array.from({ length: 20 }, (_, index) => `/${round}/${index}`);
      const answers = await Promise.all(paths.map((path) => to.exchange({ method: "GET", path }, PATIENCE)));
      assert.deepEqual(
        answers.map(({ body }) => body.toString()),
        paths,
      );
    }
    assert.equal(sockets.size, 3);
    assert.ok(most <= 3, String(most));
  });

  it("are not used again where the node closes them, says that it will, or keeps them no longer", async () => {
    let header: string[] = ["connection", "close"];
    const { port, sockets } = await serve((_request, response) => response.writeHead(204, header).end());
    const to = connections(port);
    for (let count = 1; count <= 3; count++) {
      await to.exchange(GET, PATIENCE);
      assert.equal(sockets.size, count);
    }
    header = ["connection", "keep-alive", "keep-alive", "timeout=1"];
    await to.exchange(GET, PATIENCE);
    await to.exchange(GET, PATIENCE);
    assert.equal(sockets.size, 5);
    header = [];
    for (let count = 1; count <= 20; count++) await to.exchange(GET, PATIENCE);
    const kept = [...sockets].slice(5);
    // Two take turns: one is fit again only after the event loop has gone round.
    assert.ok(kept.length <= 2, String(kept.length));
    await Promise.all(kept.map((socket) => once(socket.end(), "close")));
    await to.exchange(GET, PATIENCE);
    assert.equal(sockets.size, 5 + kept.length + 1);
  });

  it("do not take the answer that comes too late for the next one's", async () => {
    const late: (() => void)[] = [];
    const { port } = await serve((request, response) => {
      if (request.url === "/late") late.push(() => response.end("late"));
      else response.end("soon");
    });
    const to = connections(port, { connectionsMax: 1 });
    const error = await noAnswer(to.exchange({ method: "GET", path: "/late" }, { timeoutMs: 50 }));
    assert.deepEqual([error.why, error.isUnsent], ["ETIMEDOUT", false]);
    const next = to.exchange(GET, PATIENCE);
    for (const answer of late) answer();
    assert.equal((await next).body.toString(), "soon");
  });

  it("let go of who has no more patience, or is told to stop, also while it waits for its turn", async () => {
    const { port, sockets } = await serve(() => undefined);
    const to = connections(port, { connectionsMax: 1 });
    const stop = new AbortController();
    const first = noAnswer(to.exchange(GET, { ...PATIENCE, signal: stop.signal }));
    const waiting = noAnswer(to.exchange(GET, { timeoutMs: 20 }));
    assert.match((await waiting).message, /was not asked: .* connection to it was in use/);
    await eventually(() => sockets.size === 1);
    stop.abort();
    assert.equal((await first).why, "ABORT_ERR");
    const stopped = await noAnswer(to.exchange(GET, { ...PATIENCE, signal: stop.signal }));
    assert.equal(stopped.why, "ABORT_ERR");
    assert.equal(sockets.size, 1);
  });

  it("are spared, and the node too, where the one who waits for its turn gives up", async () => {
    const held: (() => void)[] = [];
    const asked: (string | undefined)[] = [];
    const { port, sockets } = await serve((request, response) => {
      asked.push(request.url);
      held.push(() => response.end());
    });
    const to = connections(port, { connectionsMax: 1 });
    const first = to.exchange({ method: "GET", path: "/first" }, PATIENCE);
    await eventually(() => held.length === 1);
    const error = await noAnswer(to.exchange({ method: "GET", path: "/waiting" }, { timeoutMs: 20 }));
    assert.deepEqual([error.isUnasked, error.isUnsent, error.isNobodyThere], [true, true, false]);
    held[0]?.();
    await first;
    const last = to.exchange({ method: "GET", path: "/last" }, PATIENCE);
    await eventually(() => held.length === 2);
    held[1]?.();
    await last;
    assert.deepEqual([asked, sockets.size], [["/first", "/last"], 1]);
  });

  it("leave nothing behind at a signal that many exchanges share", async () => {
    const { port } = await serve((_request, response) => response.end());
    const to = connections(port);
    const { signal } = new AbortController();
    for (let count = 0; count < 3; count++) await to.exchange(GET, { ...PATIENCE, signal });
    for (const stop of stops.splice(0)) stop();
    await noAnswer(to.exchange(GET, { ...PATIENCE, signal }));
    assert.equal(getEventListeners(signal, "abort").length, 0);
  });

  it("say what was surely not sent, and go on for those who wait", async () => {
    const { port } = await say((_asked, socket) => socket.end("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ncut"));
    const to = connections(port, { connectionsMax: 1 });
    const errors = await Promise.all([1, 2, 3].map(() => noAnswer(to.exchange(GET, PATIENCE))));
    assert.deepEqual(
      errors.map(({ why, isUnsent }) => [why, isUnsent]),
      Array(3).fill(["other side closed", false]),
    );
    for (const stop of stops.splice(0)) stop();
    const refused = await noAnswer(to.exchange(GET, PATIENCE));
    assert.deepEqual([refused.why, refused.isUnsent, refused.isNobodyThere], ["ECONNREFUSED", true, true]);
  });

  it("do not say that a request was not sent where its connection broke, whatever the system calls that", async () => {
    const opened: Socket[] = [];
    const onConnected = (message: unknown) => opened.push((message as { readonly socket: Socket }).socket);
    subscribe("undici:client:connected", onConnected);
    stops.push(() => unsubscribe("undici:client:connected", onConnected));
    let isAsked = false;
    const { port } = await serve(() => {
      isAsked = true;
    });
    const asked = noAnswer(connections(port).exchange(GET, PATIENCE));
    await eventually(() => isAsked);
    // Linux says so of a connection whose route is gone when it gives it up.
    opened[0]?.destroy(Object.assign(new Error("read EHOSTUNREACH"), { code: "EHOSTUNREACH", syscall: "read" }));
    const error = await asked;
    assert.deepEqual([error.why, error.isUnsent, error.isNobodyThere], ["EHOSTUNREACH", false, false]);
  });

  it("are given up where something else comes than one answer, and nothing of that is taken for the next", async () => {
    const said = ["hello\r\n\r\n", "HTTP/1.1 204 X\r\n\r\nHTTP/1.1 500 X\r\n\r\n", "HTTP/1.1 204 X\r\n\r\n"];
    const { port, sockets } = await say((_asked, socket) => socket.write(said.shift() ?? ""));
    const to = connections(port, { connectionsMax: 1 });
    assert.match((await noAnswer(to.exchange(GET, PATIENCE))).why, /HPE_|HTTP\/1\.1/);
    assert.equal((await to.exchange(GET, PATIENCE)).status, 204);
    assert.equal((await to.exchange(GET, PATIENCE)).status, 204);
    assert.equal(sockets.length, 3);
    const isGone = once(sockets[2] as Socket, "close");
    sockets[2]?.write("HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n");
    await isGone;
    said.push("HTTP/1.1 200 OK\r\n\r\nuntil the end");
    const last = to.exchange(GET, PATIENCE);
    await eventually(() => said.length === 0);
    sockets[3]?.end();
    assert.equal((await last).body.toString(), "until the end");
  });

  it("wait out the answers that only say to wait, and take the last one's headers", async () => {
    const { port } = await say((_asked, socket) => {
      socket.write("HTTP/1.1 103 Early Hints\r\nKV-Node: n9\r\n\r\nHTTP/1.1 200 OK\r\nVary: a\r\nVARY: b\r\n");
      socket.write("KV-Context: t\xf6k\r\nContent-Length: 2\r\n\r\nok", "latin1");
    });
    const answer = await connections(port).exchange(GET, PATIENCE);
    assert.deepEqual(
      [answer.status, ...["kv-node", "vary", "kv-context"].map((name) => headerOf(answer, name))],
      [200, undefined, "a, b", "t\xf6k"],
    );
    assert.equal(answer.body.toString(), "ok");
  });

  it("take no answer that is longer than any may be", async () => {
    const { port } = await serve((request, response) => {
      if (request.url === "/head") response.setHeader("kv-context", "x".repeat(70_000)).end();
      else response.end(Buffer.alloc(request.url === "/most" ? 64 * 1024 * 1024 : 64 * 1024 * 1024 + 1));
    });
    const to = connections(port);
    assert.match((await noAnswer(to.exchange({ method: "GET", path: "/head" }, PATIENCE))).why, /Headers Overflow/);
    assert.match((await noAnswer(to.exchange({ method: "GET", path: "/more" }, PATIENCE))).why, /exceeded max size/);
    const { body } = await to.exchange({ method: "GET", path: "/most" }, PATIENCE);
    assert.equal(body.length, 64 * 1024 * 1024);
  });

  it("send no header that would end the request", async () => {
    const { port, sockets } = await serve((_request, response) => response.end());
    const to = connections(port);
    for (const value of ["a\r\nx: y", "a\n", "\0", "€"]) {
      await assert.rejects(to.exchange({ ...GET, headers: { "kv-context": value } }, PATIENCE), INVALID);
    }
    assert.equal(sockets.size, 0);
    assert.throws(() => connections(port, { headers: { authorization: "Bearer a\r\n" } }), INVALID);
    assert.throws(() => connections(port, { scheme: "ftp" }), TypeError);
  });

  it("are closed as they come out of use, those who wait having had their turn", async () => {
    const answers: (() => void)[] = [];
    const { port, sockets } = await serve((_request, response) => {
      answers.push(() => response.end("done"));
    });
    const to = connections(port, { connectionsMax: 1 });
    const asked = [1, 2, 3].map(() => to.exchange(GET, PATIENCE));
    await eventually(() => answers.length === 1);
    to.close();
    for (let count = 0; count < 3; count++) {
      await eventually(() => answers.length > count);
      answers[count]?.();
      assert.equal((await asked[count])?.body.toString(), "done");
    }
    await eventually(() => [...sockets].every((socket) => socket.destroyed));
    const refused = await noAnswer(to.exchange(GET, PATIENCE));
    assert.deepEqual([refused.isUnsent, sockets.size], [true, 1]);
  });
});

describe("the connections to a node that speaks TLS", () => {
  let authority: TestAuthority;
  let served: Issued;
  beforeAll(async () => {
    authority = await TestAuthority.create("ours");
    served = await authority.issue({ names: [], addresses: ["127.0.0.1"], uses: ["server"] });
  });

  it("trust the authority that they are told of and no other, and show their certificate where one is wanted", async () => {
    const caller = await authority.issue({ names: ["caller"], addresses: [], uses: ["client"] });
    const others = await TestAuthority.create("others");
    const server = createSecureServer(
      { cert: served.certificate, key: served.key, ca: authority.pem, requestCert: true, rejectUnauthorized: true },
      (request, response) => response.end(request.url),
    );
    const { port } = await listening(server);
    const shown = { certificate: caller.certificate, key: caller.key };
    const trusting = connections(port, { scheme: "https", tls: { authorities: authority.pem, ...shown } });
    for (let round = 0; round < 2; round++) {
      const answers = await Promise.all([1, 2, 3].map(() => trusting.exchange(GET, PATIENCE)));
      assert.deepEqual(
        answers.map(({ body }) => body.toString()),
        Array(3).fill(GET.path),
      );
    }
    const wrong = connections(port, { scheme: "https", tls: { authorities: others.pem, ...shown } });
    assert.match((await noAnswer(wrong.exchange(GET, PATIENCE))).why, /CERT|SIGNATURE|ISSUER/);
    const unknown = connections(port, { scheme: "https", tls: { authorities: authority.pem } });
    await noAnswer(unknown.exchange(GET, PATIENCE));
    const plain = connections(port);
    await noAnswer(plain.exchange(GET, PATIENCE));
  });

  it("take a certificate for the name in the URL only", async () => {
    const named = await authority.issue({ names: ["localhost"], addresses: [], uses: ["server"] });
    const server = createSecureServer({ cert: named.certificate, key: named.key }, (_request, response) =>
      response.end(),
    );
    const { port } = await listening(server);
    const tls = { authorities: authority.pem };
    const byName = connections(port, { scheme: "https", host: "localhost", tls });
    assert.equal((await byName.exchange(GET, PATIENCE)).status, 200);
    const error = await noAnswer(connections(port, { scheme: "https", tls }).exchange(GET, PATIENCE));
    assert.deepEqual([error.why, error.isUnsent], ["ERR_TLS_CERT_ALTNAME_INVALID", true]);
  });

  it("are spared where the one for whom they are made gives up meanwhile, and nothing is sent for it", async () => {
    const asked: (string | undefined)[] = [];
    const server = createSecureServer({ cert: served.certificate, key: served.key }, (request, response) => {
      asked.push(request.url);
      response.end();
    });
    const { port } = await listening(server);
    const through: (() => void)[] = [];
    const proxy = createTcpServer((socket) => {
      const onward = connect({ port, host: "127.0.0.1" });
      for (const each of [socket, onward]) each.on("error", () => socket.destroy());
      stops.push(() => socket.destroy());
      through.push(() => socket.pipe(onward).pipe(socket));
    });
    stops.push(() => proxy.close());
    await once(proxy.listen(0, "127.0.0.1"), "listening");
    const to = connections((proxy.address() as AddressInfo).port, {
      scheme: "https",
      connectionsMax: 1,
      tls: { authorities: authority.pem },
    });
    const error = await noAnswer(to.exchange({ method: "GET", path: "/given-up" }, { timeoutMs: 30 }));
    assert.deepEqual([error.why, error.isUnsent], ["ETIMEDOUT", true]);
    const next = to.exchange({ method: "GET", path: "/next" }, PATIENCE);
    await eventually(() => through.length === 1);
    through[0]?.();
    assert.equal((await next).status, 200);
    assert.deepEqual([asked, through.length], [["/next"], 1]);
  });

  it("are given up where the handshake does not come to its end", async () => {
    const { port, sockets } = await say(() => undefined);
    const to = connections(port, { scheme: "https", connectionsMax: 1, connectTimeoutMs: 100 });
    const errors = await Promise.all([1, 2].map(() => noAnswer(to.exchange(GET, PATIENCE))));
    for (const error of errors) {
      assert.match(error.why, /Connect Timeout/);
      assert.deepEqual([error.isUnsent, error.isNobodyThere], [true, false]);
    }
    assert.equal(sockets.length, 2);
  });
});
