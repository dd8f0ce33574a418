/** Whatever a client sends in paths, queries, headers and bytes: never a 500, never a bug, never silence. */
import assert from "node:assert/strict";
import { afterAll, beforeAll, describe, it } from "@jest/globals";
import fc from "fast-check";
import { KV_PARAMETERS } from "../../../node/adapters/http/parse-request.ts";
import { connectRaw } from "../../contract/http-client.ts";
import { type HttpWorld, inFront, startWorld } from "../../contract/http-world.ts";

let world: HttpWorld;

beforeAll(async () => {
  world = await startWorld(inFront, { bodyTimeoutMs: 200, headersTimeoutMs: 200, requestTimeoutMs: 400 });
});

afterAll(() => world.stop());

/** Sends bytes, closes the sending half, and returns all that comes back. */
async function exchange(bytes: string): Promise<string> {
  const raw = await connectRaw(world.port);
  raw.send(bytes);
  raw.socket.end();
  return raw.closes();
}

/** Everything in an answer is one of the documented statuses, and no bug was met. */
function assertSane(text: string): void {
  for (const [, status] of text.matchAll(/^HTTP\/1\.1 (\d+) /gm)) {
    assert.match(String(status), /^(100|200|204|300|400|404|405|408|409|412|413|417|429|431)$/);
  }
  assert.deepEqual(world.bugs, []);
}

const latin1 = (min: number, max: number) =>
  fc.string({ unit: fc.integer({ min, max }).map((code) => String.fromCharCode(code)), maxLength: 40 });
const inPath = fc.oneof(
  latin1(0x21, 0x7e),
  fc.constantFrom("%", "%00", "%ff", "%2F", "a", "a/b", "..", "%2e%2e", "?", "??", "#"),
);
const value = fc.oneof(
  fc.constantFrom(
    "0",
    "1",
    "3",
    "4",
    "-1",
    "1e3",
    "",
    "all",
    "one",
    "strict",
    "overwrite",
    "sibling",
    "%",
    "%31",
    "9".repeat(40),
  ),
  latin1(0x21, 0x7e),
);
const query = fc.array(
  fc.tuple(
    fc.oneof(fc.constantFrom(...Object.keys(KV_PARAMETERS), "__proto__", "constructor"), latin1(0x30, 0x7a)),
    value,
  ),
  { maxLength: 4 },
);
const headers = fc.array(
  fc.tuple(
    fc.constantFrom(
      "KV-Context",
      "Idempotency-Key",
      "If-None-Match",
      "If-Match",
      "Accept",
      "Content-Type",
      "Content-Range",
      "Expect",
      "Connection",
      "Upgrade",
      "Transfer-Encoding",
      "Content-Length",
      "__proto__",
    ),
    fc.oneof(
      fc.constantFrom("*", "1", "chunked", "close", "100-continue", "websocket", "Upgrade", "*/*;q=,;"),
      latin1(0x20, 0xff),
    ),
  ),
  { maxLength: 4 },
);
const method = fc.constantFrom("GET", "HEAD", "PUT", "DELETE", "POST", "OPTIONS", "TRACE");

describe("the data port, whatever it is sent", () => {
  it("answers every well-formed request line with a documented status", async () => {
    await fc.assert(
      fc.asyncProperty(method, inPath, query, headers, latin1(0, 255), async (verb, key, parameters, fields, body) => {
        const target = `/v1/kv/${key}?${parameters.map(([name, text]) => `${name}=${text}`).join("&")}`;
        const lines = fields.map(([name, text]) => `${name}: ${text}\r\n`).join("");
        const text = await exchange(`${verb} ${target} HTTP/1.1\r\nHost: x\r\n${lines}\r\n${body}`);
        assert.match(text, /^HTTP\/1\.1 \d/);
        assertSane(text);
      }),
      { numRuns: 1_000 },
    );
  });

  it("survives any bytes at all", async () => {
    const start = fc.constantFrom(
      "",
      "GET ",
      "PUT /v1/kv/a HTTP/1.1\r\nHost: x\r\n",
      "PUT /v1/kv/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
    );
    await fc.assert(
      fc.asyncProperty(start, latin1(0, 255), async (prefix, bytes) => {
        assertSane(await exchange(prefix + bytes));
      }),
      { numRuns: 300 },
    );
    assert.equal(world.inFlight(), 0);
  });
});
