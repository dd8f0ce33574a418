/** What the data API takes and refuses, held against one mount of the handler: keys, parameters, bodies, errors. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import fc from "fast-check";
import { formatKey } from "../../node/adapters/http/parse-key.ts";
import { KV_PARAMETERS } from "../../node/adapters/http/parse-request.ts";
import { PROBLEMS } from "../../node/adapters/http/problem.ts";
import { type ErrorCode, KvError } from "../../node/core/errors.ts";
import type { RequestOptions } from "../../node/services/coordinator.ts";
import { call, connectRaw, eventually } from "./http-client.ts";
import { contextOf, problem, useBench } from "./http-kv.ts";
import type { Conformance } from "./http-openapi.ts";
import type { Mount } from "./http-world.ts";

export function requestContract(name: string, mount: Mount, conformance: Conformance): void {
  describe(`keys, ${name}`, () => {
    const bench = useBench(mount, conformance);

    it("are any bytes, percent-encoded as one segment", async () => {
      const { kv } = bench();
      await fc.assert(
        fc.asyncProperty(fc.uint8Array({ minLength: 1, maxLength: 64 }), async (key) => {
          const body = Buffer.from(key);
          assert.equal((await kv("PUT", formatKey(key), { body })).status, 204);
          const everyByte = `%${Buffer.from(key).toString("hex").match(/../g)?.join("%")}`;
          assert.deepEqual((await kv("GET", everyByte)).body, body);
        }),
        { numRuns: 40 },
      );
    });

    it("are the same however much of them is encoded", async () => {
      const { kv, world } = bench();
      await kv("PUT", "a%3a%2e%7E%2b+%20", { body: "v" });
      for (const rest of ["a:.~++%20", "%61%3A.~%2B%2B%20"]) assert.equal((await kv("GET", rest)).body.toString(), "v");
      const raw = await connectRaw(world.port);
      raw.send("GET /v1/kv/\xc3\xa9 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
      assert.match(await raw.closes(), /^HTTP\/1\.1 400 /, "bytes above 0x7f are no part of a URL unless encoded");
    });

    const long = "k".repeat(1_024);
    const refused: readonly [string, string, number][] = [
      ["empty", "", 400],
      ["of 1,025 bytes", `${long}k`, 400],
      ["of 1,025 encoded bytes", "%00".repeat(1_025), 400],
      ["of far too many bytes", "k".repeat(8_000), 400],
      ["with half an escape", "a%4", 400],
      ["with an escape that is none", "%zz", 400],
      ["ending in a percent sign", "a%", 400],
      ["with a raw hash", "a#b", 400],
      ["of two segments", "a/b", 404],
      ["with a slash at the end", "a/", 404],
    ];
    for (const [what, rest, status] of refused) {
      it(`are refused with ${status}: ${what}`, async () => {
        const answer = await bench().kv("GET", rest);
        assert.equal(answer.status, status);
        assert.equal(bench().world.model.asked.length, 0);
      });
    }

    it("may have exactly 1,024 bytes", async () => {
      const { kv } = bench();
      for (const rest of [long, "%ff".repeat(1_024)]) {
        assert.equal((await kv("PUT", rest, { body: "v" })).status, 204);
        assert.equal((await kv("GET", rest)).body.toString(), "v");
      }
    });
  });

  describe(`query and headers, ${name}`, () => {
    const bench = useBench(mount, conformance);

    const asked: readonly [string, string, RequestOptions][] = [
      ["GET", "?", {}],
      ["GET", "?r=1", { readQuorum: 1 }],
      ["GET", "?r=%33", { readQuorum: 3 }],
      [
        "GET",
        "?r=1&w=3&mode=strict&zones=3&timeout=600000",
        { readQuorum: 1, writeQuorum: 3, mode: "strict", zones: 3, timeoutMs: 600_000 },
      ],
      ["GET", "?consistency=one", { readQuorum: 1 }],
      ["HEAD", "?consistency=quorum", { readQuorum: 2 }],
      ["GET", "?consistency=all", { readQuorum: 3 }],
      ["PUT", "?consistency=all", { readQuorum: 3, writeQuorum: 3 }],
      ["DELETE", "?consistency=quorum&mode=sloppy", { readQuorum: 2, writeQuorum: 2, mode: "sloppy" }],
      ["PUT", "?w=3&timeout=1", { writeQuorum: 3, timeoutMs: 1 }],
    ];
    for (const [method, query, options] of asked) {
      it(`reach the coordinator as asked: ${method} ${query}`, async () => {
        const { kv, world } = bench();
        await kv(method, `a${query}`);
        const [found = {}] = world.model.asked;
        assert.deepEqual(Object.fromEntries(Object.entries(found).filter(([, value]) => value !== undefined)), options);
      });
    }

    const refused: readonly [string, string, string][] = [
      ["GET", "r=0", "r"],
      ["GET", "r=4", "r"],
      ["GET", "r=", "r"],
      ["GET", "r=1.5", "r"],
      ["GET", "r=-1", "r"],
      ["GET", "r=1e0", "r"],
      ["GET", "r=1&r=1", "r"],
      ["PUT", "w=4", "w"],
      ["GET", "zones=0", "zones"],
      ["GET", "zones=4", "zones"],
      ["GET", "timeout=0", "timeout"],
      ["GET", "timeout=600001", "timeout"],
      ["GET", "mode=lax", "mode"],
      ["GET", "consistency=two", "consistency"],
      ["GET", "consistency=all&r=1", "consistency"],
      ["PUT", "w=1&consistency=all", "consistency"],
      ["GET", "ttl=1", "ttl"],
      ["DELETE", "ttl=1", "ttl"],
      ["PUT", "ttl=0", "ttl"],
      ["PUT", "ttl=99999999999", "ttl"],
      ["GET", "blind=sibling", "blind"],
      ["DELETE", "blind=sibling", "blind"],
      ["PUT", "blind=never", "blind"],
      ["GET", "tiemout=5", "tiemout"],
      ["GET", "R=1", "R"],
      ["GET", "r=1&&w=1", ""],
      ["GET", "__proto__=1", "__proto__"],
      ["GET", "toString", "toString"],
      ["GET", "%ff=1", "%ff"],
    ];
    for (const [method, query, parameter] of refused) {
      it(`are refused by name: ${method} ?${query}`, async () => {
        const { kv, world } = bench();
        const answer = await kv(method, `a?${query}`);
        assert.equal(answer.status, 400);
        assert.ok(String(problem(answer).detail).includes(`"${parameter}"`), String(problem(answer).detail));
        assert.equal(world.model.asked.length, 0);
      });
    }

    it("are all in the list that the document is made from", () => {
      const tried = new Set(asked.flatMap(([, query]) => [...new URLSearchParams(query).keys()]));
      assert.deepEqual([...tried, "ttl", "blind"].sort(), Object.keys(KV_PARAMETERS).sort());
    });

    it("are refused where a write would not mean what its headers say", async () => {
      const { kv, world } = bench();
      const context = { "KV-Context": contextOf(await kv("PUT", "a", { body: "1" })) };
      const before = world.model.asked.length;
      const cases: readonly [string, string, Record<string, string | string[]>][] = [
        ["PUT", "a?blind=sibling", context],
        ["PUT", "a?blind=overwrite", context],
        ["PUT", "a", { "If-None-Match": '"tag"' }],
        ["DELETE", "a", { "If-None-Match": "*" }],
        ["GET", "a", { "If-None-Match": "*" }],
        ["PUT", "a", { "If-Match": "*" }],
        ["DELETE", "a", { "If-Match": '"tag"' }],
        ["PUT", "a", { "If-Unmodified-Since": "Fri, 27 Nov 2026 00:00:00 GMT" }],
        ["DELETE", "a", { "If-Unmodified-Since": "Fri, 27 Nov 2026 00:00:00 GMT" }],
        ["PUT", "a", { "Content-Range": "bytes 0-1/2" }],
        ["PUT", "a", { "Content-Encoding": "gzip" }],
        ["PUT", "a", { "Transfer-Encoding": "gzip, chunked" }],
        ["PUT", "a", { "Idempotency-Key": "" }],
        ["DELETE", "a", { "Idempotency-Key": "i".repeat(65) }],
        ["PUT", "a", { "Idempotency-Key": ["one", "two"] }],
        ["PUT", "a", { "Idempotency-Key": "one", "KV-Attempt": "0" }],
        ["PUT", "a", { "Idempotency-Key": "one", "KV-Attempt": "first" }],
        ["PUT", "a", { "KV-Context": ["one", "two"] }],
        ["PUT", "a", { "Content-Type": `text/${"x".repeat(251)}` }],
        ["PUT", "a", { "Content-Type": "text/pl\xe4in" }],
      ];
      for (const [method, rest, headers] of cases) {
        const answer = await kv(method, rest, { headers });
        assert.equal(answer.status, 400, `${method} ${rest} ${JSON.stringify(headers)}`);
        assert.equal(problem(answer).type, "annulus:INVALID_REQUEST");
      }
      assert.equal(world.model.asked.length, before);
    });

    it("are taken up to their bounds", async () => {
      const { kv } = bench();
      const type = `text/${"x".repeat(250)}`;
      const headers = { "Content-Type": type, "Idempotency-Key": "i".repeat(64), "KV-Attempt": "1" };
      assert.equal((await kv("PUT", "a?ttl=3155760000", { headers })).status, 204);
      assert.equal((await kv("GET", "a")).headers["content-type"], type);
    });

    it("answer a token that is none with 400", async () => {
      const { kv } = bench();
      const other = contextOf(await kv("PUT", "b", { body: "1" }));
      for (const token of ["garbage!", "", other]) {
        const answer = await kv("PUT", "a", { body: "1", headers: { "KV-Context": token } });
        assert.equal(answer.status, 400);
        assert.equal(problem(answer).type, "annulus:INVALID_CONTEXT");
      }
    });

    it("answer other methods with 405 and the ones there are", async () => {
      const { kv } = bench();
      for (const method of ["POST", "PATCH", "OPTIONS", "TRACE"]) {
        const answer = await kv(method, "a", method === "TRACE" ? {} : { body: "x" });
        assert.equal(answer.status, 405);
        assert.equal(answer.headers.allow, "GET, HEAD, PUT, DELETE");
      }
    });
  });

  describe(`errors, ${name}`, () => {
    const bench = useBench(mount, conformance);

    for (const [code, { status, retryAfterS }] of Object.entries(PROBLEMS)) {
      it(`answer ${code} with ${status} and all that it knows`, async () => {
        const { world } = bench();
        const details = {
          required: 3,
          acknowledged: 1,
          receipt: { acks: 1, asked: 3, zones: 1, hinted: 0, durability: "disk" as const },
        };
        world.model.failNext(new KvError(code as ErrorCode, `Cannot go on: ${code}.`, { outcome: "unknown", details }));
        const answer = await call(world.port, "PUT", "/v1/kv/a", { body: "v" });
        assert.equal(answer.status, status);
        const { type, title, detail, required, acknowledged } = problem(answer);
        assert.deepEqual([type, detail, required, acknowledged], [`annulus:${code}`, `Cannot go on: ${code}.`, 3, 1]);
        assert.ok(String(title).length > 0);
        assert.equal(answer.headers["kv-receipt"], "acks=1; asked=3; zones=1; hinted=0; durability=disk");
        assert.equal(answer.headers["kv-outcome"], status >= 500 ? "unknown" : undefined);
        assert.equal(answer.headers["retry-after"], retryAfterS === undefined ? undefined : String(retryAfterS));
      });
    }

    it("are described in the document for every method that meets them", async () => {
      const { kv, world } = bench();
      for (const code of ["STORAGE_FAILED", "NOT_READY", "TIMED_OUT", "OVERLOADED", "QUORUM_LOST"] as const) {
        for (const method of ["GET", "HEAD", "PUT", "DELETE"]) {
          world.model.failNext(new KvError(code, "Cannot go on: it was asked to fail."));
          await kv(method, "a");
        }
      }
      for (const method of ["PUT", "DELETE"]) {
        world.model.failNext(new KvError("STORAGE_FULL", "Cannot go on: it was asked to fail."));
        await kv(method, "a");
        await kv(method, "a?r=0");
      }
    });

    it("take Retry-After from the error where it names one", async () => {
      const { kv, world } = bench();
      world.model.failNext(new KvError("OVERLOADED", "Cannot take it.", { details: { retryAfterS: 7 } }));
      assert.equal((await kv("GET", "a")).headers["retry-after"], "7");
    });

    it("say how far a quorum was missed", async () => {
      const { kv, world } = bench();
      world.model.available = 2;
      const answer = await kv("PUT", "a?w=3", { body: "v" });
      assert.equal(answer.status, 503);
      const { required, acknowledged } = problem(answer);
      assert.deepEqual({ required, acknowledged }, { required: 3, acknowledged: 2 });
      assert.equal((await kv("PUT", "a", { body: "v" })).status, 204);
    });

    it("make 500 of a bug, tell the node, and leave the others alone", async () => {
      const { kv, world } = bench();
      const bug = new TypeError("x is undefined");
      world.model.failNext(bug);
      const answer = await kv("PUT", "a", { body: "v" });
      assert.equal(answer.status, 500);
      assert.ok(!answer.body.includes("undefined"), "a client is not told the insides");
      assert.deepEqual(world.bugs, [bug]);
      assert.equal((await kv("PUT", "a", { body: "v" })).status, 204);
      assert.equal(world.inFlight(), 0);
    });

    it.each(["read", "write"] as const)(
      "shed with 429 each %s that the coordinator has no room for, unread",
      async (kind) => {
        const { kv, world } = bench();
        world.model.full = kind;
        for (const [method, status] of [
          ["GET", 404],
          ["HEAD", 404],
          ["PUT", 204],
          ["DELETE", 204],
        ] as const) {
          const isShed = (kind === "read") === (status === 404);
          const answer = await kv(method, "a", method === "PUT" ? { body: "v".repeat(5_000) } : {});
          assert.equal(answer.status, isShed ? 429 : method === "GET" || method === "HEAD" ? 404 : 204);
          if (!isShed) continue;
          assert.equal(answer.headers["retry-after"], "1");
        }
        world.model.full = undefined;
        assert.equal(world.inFlight(), 0);
      },
    );

    it("shed with 429 what is over the limit, at once, and go on when there is room", async () => {
      const { kv, world } = bench();
      const release = world.model.hold();
      const held = Array.from({ length: 8 }, (_, index) => kv("GET", `k${index}`));
      await eventually(() => world.inFlight() === 8);
      for (const method of ["GET", "HEAD", "PUT", "DELETE"]) {
        const shed = await kv(method, "more", method === "PUT" ? { body: "v".repeat(5_000) } : {});
        assert.equal(shed.status, 429);
        assert.equal(shed.headers["retry-after"], "1");
      }
      release();
      for (const { status } of await Promise.all(held)) assert.equal(status, 404);
      assert.equal((await kv("GET", "more")).status, 404);
      assert.equal(world.inFlight(), 0);
    });

    it("refuse writes, and nothing else, while the process cannot tell how old a request is", async () => {
      const { kv, world } = bench();
      assert.equal((await kv("PUT", "a", { body: "before" })).status, 204);
      world.setWaking(true);
      for (const method of ["PUT", "DELETE"]) {
        const refused = await kv(method, "a", method === "PUT" ? { body: "old" } : {});
        assert.equal(refused.status, 503);
        assert.deepEqual([refused.headers["kv-outcome"], refused.headers["retry-after"]], ["none", "1"]);
      }
      assert.equal((await kv("GET", "a")).body.toString(), "before");
      world.setWaking(false);
      assert.equal((await kv("PUT", "a", { body: "after" })).status, 204);
      assert.equal((await kv("GET", "a")).body.toString(), "after");
      assert.equal(world.inFlight(), 0);
    });
  });
}
