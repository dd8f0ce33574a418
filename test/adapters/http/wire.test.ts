/**
 * The data port against bytes that are no request, or never become one: each gets its documented error or is closed,
 * and the server goes on serving others.
 */
import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "@jest/globals";
import { call, connectRaw, eventually, type RawConnection } from "../../contract/http-client.ts";
import { type HttpWorld, inFront, startWorld } from "../../contract/http-world.ts";

const HEAD = "HTTP/1.1\r\nHost: x\r\n";

let world: HttpWorld;

beforeEach(async () => {
  world = await startWorld(inFront, { headersTimeoutMs: 150, requestTimeoutMs: 300 });
});

afterEach(async () => {
  const { status } = await call(world.port, "GET", "/v1/kv/others");
  assert.equal(status, 404, "others are still served");
  assert.deepEqual(world.bugs, []);
  assert.equal(world.inFlight(), 0);
  await world.stop();
});

async function sent(...pieces: readonly string[]): Promise<RawConnection> {
  const raw = await connectRaw(world.port);
  for (const piece of pieces) raw.send(piece);
  return raw;
}

/** One whole problem document with everything that every answer has. */
function assertProblem(text: string, status: number, type: string): void {
  const [head = "", body = ""] = text.split("\r\n\r\n");
  assert.match(head, new RegExp(`^HTTP/1\\.1 ${status} `));
  for (const header of [
    "Content-Type: application/problem\\+json",
    `Content-Length: ${Buffer.byteLength(body)}`,
    "KV-Node: n1",
    "KV-Receipt: acks=0; asked=0; zones=0; hinted=0; durability=os",
    "Connection: close",
  ]) {
    assert.match(head, new RegExp(`\\r\\n${header}(\\r\\n|$)`));
  }
  const problem = JSON.parse(body) as { type: string; status: number };
  assert.deepEqual([problem.type, problem.status], [`annulus:${type}`, status]);
}

describe("bytes that are no HTTP request", () => {
  const malformed: readonly [string, string][] = [
    ["no words of HTTP", "hello there\r\n\r\n"],
    ["a TLS greeting", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"],
    ["an unknown method", `FETCH /v1/kv/a ${HEAD}\r\n`],
    ["another protocol", "GET /v1/kv/a FTP/1.0\r\n\r\n"],
    ["a space in the path", `GET /v1/kv/a b ${HEAD}\r\n`],
    ["no Host", "GET /v1/kv/a HTTP/1.1\r\n\r\n"],
    ["two Hosts", `GET /v1/kv/a ${HEAD}hOST: y\r\n\r\n`],
    ["a header without a colon", `GET /v1/kv/a ${HEAD}nonsense\r\n\r\n`],
    ["a control character in a header", `GET /v1/kv/a ${HEAD}X: a\x01b\r\n\r\n`],
    ["a length that is no number", `PUT /v1/kv/a ${HEAD}Content-Length: ten\r\n\r\n`],
    ["a negative length", `PUT /v1/kv/a ${HEAD}Content-Length: -1\r\n\r\n`],
    ["two lengths", `PUT /v1/kv/a ${HEAD}Content-Length: 1\r\nContent-Length: 2\r\n\r\nx`],
    ["a length beyond all numbers", `PUT /v1/kv/a ${HEAD}Content-Length: ${"9".repeat(30)}\r\n\r\n`],
    ["a length and chunks", `PUT /v1/kv/a ${HEAD}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\nx`],
    ["a chunk size that is none", `PUT /v1/kv/a ${HEAD}Transfer-Encoding: chunked\r\n\r\nzz\r\nx`],
    ["a chunk longer than it says", `PUT /v1/kv/a ${HEAD}Transfer-Encoding: chunked\r\n\r\n1\r\nxxxx\r\n0\r\n\r\n`],
  ];
  for (const [what, bytes] of malformed) {
    it(`are answered 400 and cut off: ${what}`, async () => {
      assertProblem(await (await sent(bytes)).closes(), 400, "MALFORMED");
      assert.equal(world.model.asked.length, 0);
    });
  }

  it("are answered 431 when headers go on and on", async () => {
    const raw = await sent(`GET /v1/kv/a ${HEAD}`, `X-Long: ${"x".repeat(40_000)}\r\n`);
    assertProblem(await raw.closes(), 431, "HEADERS_TOO_LARGE");
  });

  it("are answered 431 when the path goes on and on", async () => {
    assertProblem(
      await (await sent(`GET /v1/kv/${"k".repeat(40_000)} ${HEAD}\r\n`)).closes(),
      431,
      "HEADERS_TOO_LARGE",
    );
  });

  it("are answered 417 for an expectation that nobody knows", async () => {
    const raw = await sent(`PUT /v1/kv/a ${HEAD}Expect: a miracle\r\nContent-Length: 1\r\n\r\nx`);
    assertProblem(await raw.closes(), 417, "EXPECTATION_FAILED");
  });

  it("do not take the answer away from the whole request before them", async () => {
    const release = world.model.hold();
    const raw = await sent(`PUT /v1/kv/a ${HEAD}Content-Length: 1\r\n\r\nx`);
    await eventually(() => world.model.asked.length === 1);
    raw.send("nonsense\r\n\r\n");
    await eventually(() => (world.telemetry.counts.get("annulus.http.client_errors") ?? 0) > 0);
    release();
    const text = await raw.closes();
    assert.match(text, /^HTTP\/1\.1 204 [\s\S]*\r\nConnection: close\r\n/);
    assert.doesNotMatch(text, /400/);
  });

  it("close the tunnel that a CONNECT asks for", async () => {
    assert.equal(await (await sent(`CONNECT other:80 ${HEAD}\r\n`)).closes(), "");
  });
});

describe("requests that never end", () => {
  it("are answered 408 while their headers trickle", async () => {
    const raw = await sent("GET /v1/kv/a HTTP/1.1\r\n");
    const timer = setInterval(() => raw.send("X: y\r\n"), 20);
    assertProblem(await raw.closes(), 408, "REQUEST_TIMEOUT");
    clearInterval(timer);
  });

  it("are cut off when a connection says nothing at all", async () => {
    assertProblem(await (await sent()).closes(), 408, "REQUEST_TIMEOUT");
  });

  it("are answered 408 while their bodies trickle", async () => {
    const raw = await sent(`PUT /v1/kv/a ${HEAD}Content-Length: 1000\r\n\r\n`);
    const timer = setInterval(() => raw.send("x"), 20);
    assertProblem(await raw.closes(), 408, "REQUEST_TIMEOUT");
    clearInterval(timer);
    assert.equal(world.model.asked.length, 0);
  });

  it("are cut off behind an answer that was given early", async () => {
    const raw = await sent(`GET /v1/kv/a ${HEAD}Transfer-Encoding: chunked\r\n\r\n`);
    const timer = setInterval(() => raw.send("1\r\nx\r\n"), 20);
    assert.match(await raw.closes(), /^HTTP\/1\.1 404 /);
    clearInterval(timer);
  });

  it("are refused when their client says that no more will come", async () => {
    for (const start of ["GET /v1/k", `PUT /v1/kv/a ${HEAD}Content-Length: 10\r\n\r\nabc`]) {
      const raw = await sent(start);
      raw.socket.end();
      assertProblem(await raw.closes(), 400, "MALFORMED");
    }
    assert.equal(world.model.asked.length, 0);
  });
});

describe("connections", () => {
  it("are answered after their client has closed its half", async () => {
    const release = world.model.hold();
    const raw = await sent(`PUT /v1/kv/a ${HEAD}Content-Length: 1\r\n\r\nx`);
    await eventually(() => world.model.asked.length === 1);
    raw.socket.end();
    release();
    assert.match(await raw.closes(), /^HTTP\/1\.1 204 /);
  });

  it("over the limit are closed as they come where all others have a request in work", async () => {
    const other = await startWorld(inFront, { connectionsMax: 3 });
    const release = other.model.hold();
    const busy = await Promise.all([1, 2, 3].map(() => connectRaw(other.port)));
    for (const raw of busy) raw.send(`GET /v1/kv/a ${HEAD}\r\n`);
    await eventually(() => other.model.asked.length === busy.length);
    assert.equal(await (await connectRaw(other.port)).closes(), "");
    assert.equal(other.telemetry.counts.get("annulus.http.connections_refused"), 1);
    release();
    for (const raw of busy) assert.match(await raw.receives(/\}/), /^HTTP\/1\.1 404 /);
    await other.stop();
  });

  it("may name the whole URL, as clients of proxies do", async () => {
    const raw = await sent(`PUT http://x:7400/v1/kv/a ${HEAD}Content-Length: 1\r\n\r\nx`);
    await raw.receives(/204/);
    raw.send(`GET http://x:7400?q ${HEAD}Connection: close\r\n\r\n`);
    assert.match(await raw.closes(), /HTTP\/1\.1 404 /);
  });

  it("have what is in flight finished when the server stops, and no more is taken", async () => {
    const other = await startWorld(inFront);
    const release = other.model.hold();
    const idle = await connectRaw(other.port);
    idle.send(`OPTIONS * ${HEAD}\r\n`);
    await idle.receives(/404[\s\S]*\}/);
    const busy = await connectRaw(other.port);
    busy.send(`PUT /v1/kv/a ${HEAD}Content-Length: 1\r\n\r\nx`);
    await eventually(() => other.model.asked.length === 1);
    const stopped = other.stop(10_000);
    await idle.closes();
    await assert.rejects(call(other.port, "GET", "/v1/kv/a"), /ECONNREFUSED/);
    release();
    assert.match(await busy.closes(), /^HTTP\/1\.1 204 [\s\S]*\r\nConnection: close\r\n/);
    await stopped;
  });

  it("on which nothing was said yet do not hold a stop up, as clients open them that had an idle one after all", async () => {
    const other = await startWorld(inFront);
    const silent = await connectRaw(other.port);
    const beginning = await connectRaw(other.port);
    beginning.send("PUT /v1/kv/a HTTP/1.1\r\nHo");
    assert.equal((await call(other.port, "GET", "/v1/kv/a")).status, 404, "those before it are taken, too");
    const stopped = other.stop(5_000);
    const startedMs = performance.now();
    assert.equal(await silent.closes(), "");
    beginning.send("st: x\r\nContent-Length: 1\r\n\r\nx");
    assert.match(await beginning.closes(), /^HTTP\/1\.1 204 /);
    await stopped;
    assert.ok(performance.now() - startedMs < 2_500, "the stop waited for the end of its time");
  });

  it("that do not finish are cut off when the time for stopping is over", async () => {
    const other = await startWorld(inFront);
    other.model.hold();
    const busy = await connectRaw(other.port);
    busy.send(`GET /v1/kv/a ${HEAD}\r\n`);
    await eventually(() => other.model.asked.length === 1);
    await other.stop(20);
    assert.equal(await busy.closes(), "");
  });
});

describe("other paths of the data port", () => {
  it("are 404 with a problem document, and 405 where there is only GET", async () => {
    for (const path of ["/", "/v1/kv", "/v1/kva/b", "/v1/cluster", "/%ff", "/metrics"]) {
      const answer = await call(world.port, "GET", path);
      assert.equal(answer.status, 404, path);
      assert.equal(answer.headers["content-type"], "application/problem+json");
      assert.equal(answer.headers["kv-node"], "n1");
      assert.match(String(answer.headers["kv-receipt"]), /^acks=0/);
    }
    const refused = await call(world.port, "POST", "/openapi.json", { body: "x" });
    assert.equal(refused.status, 405);
    assert.equal(refused.headers.allow, "GET, HEAD");
  });
});
