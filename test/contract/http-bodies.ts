/** How the data API takes bodies and treats connections, held against one mount of the handler. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { connectRaw, eventually } from "./http-client.ts";
import { problem, useBench } from "./http-kv.ts";
import type { Conformance } from "./http-openapi.ts";
import type { Mount } from "./http-world.ts";

const HEAD = "HTTP/1.1\r\nHost: x\r\n";

export function bodyContract(name: string, mount: Mount, conformance: Conformance): void {
  describe(`bodies, ${name}`, () => {
    const bench = useBench(mount, conformance);

    it("are taken up to the pair's limit, with their length or chunked", async () => {
      const { kv } = bench();
      const body = Buffer.alloc(10_240 - 3, 7);
      for (const chunked of [false, true]) {
        assert.equal((await kv("PUT", "key", { body, chunked })).status, 204);
        assert.deepEqual((await kv("GET", "key")).body, body);
        const over = await kv("PUT", "key", { body: Buffer.alloc(body.length + 1), chunked });
        assert.equal(over.status, 413);
        assert.equal(problem(over).type, "annulus:TOO_LARGE");
      }
      assert.equal((await kv("PUT", "ke%79", { body })).status, 204, "the key counts as bytes, not as it is written");
    });

    it("arrive in pieces as they like", async () => {
      const { kv, world } = bench();
      const raw = await connectRaw(world.port);
      raw.send(`PUT /v1/kv/sized ${HEAD}Content-Length: 6\r\n\r\nab`);
      await eventually(() => world.inFlight() === 1);
      raw.send("cd");
      raw.send(`efPUT /v1/kv/chunked ${HEAD}Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n2\r\nab\r\n`);
      await raw.receives(/204/);
      raw.send("4\r\ncdef\r\n0\r\n\r\n");
      assert.equal((await raw.closes()).match(/HTTP\/1\.1 204/g)?.length, 2);
      for (const key of ["sized", "chunked"]) assert.equal((await kv("GET", key)).body.toString(), "abcdef");
    });

    it("that are announced too large are refused before a byte of them is sent, and the connection is closed", async () => {
      const { world } = bench();
      const raw = await connectRaw(world.port);
      raw.send(`PUT /v1/kv/a ${HEAD}Content-Length: 99999999\r\n\r\n`);
      const text = await raw.receives(/annulus:TOO_LARGE.*\}/);
      assert.match(text, /^HTTP\/1\.1 413 [\s\S]*\r\nConnection: close\r\n/);
      await eventually(() => world.time.waiting === 1);
      world.time.advance(2_000);
      await raw.closes();
      assert.equal(world.inFlight(), 0);
    });

    it("that end too large are read to their end, and the connection goes on", async () => {
      const { world } = bench();
      const raw = await connectRaw(world.port);
      raw.send(`PUT /v1/kv/a ${HEAD}Content-Length: 10240\r\n\r\n${"x".repeat(10_240)}`);
      await raw.receives(/413[\s\S]*\}/);
      raw.send(`GET /v1/kv/a ${HEAD}Connection: close\r\n\r\n`);
      assert.match(await raw.closes(), /HTTP\/1\.1 404 /);
    });

    it("without an end are cut off at the limit", async () => {
      const { world } = bench();
      const raw = await connectRaw(world.port);
      const chunk = `1000\r\n${"x".repeat(0x1000)}\r\n`;
      raw.send(`PUT /v1/kv/a ${HEAD}Transfer-Encoding: chunked\r\n\r\n${chunk.repeat(4)}`);
      await raw.receives(/^HTTP\/1\.1 413 [\s\S]*\r\nConnection: close\r\n[\s\S]*\}/);
      const pour = () => {
        while (!raw.socket.destroyed && raw.socket.write(chunk));
      };
      raw.socket.on("drain", pour);
      pour();
      await raw.closes();
      assert.equal(world.model.asked.length, 0);
    });

    it("that do not arrive in time are refused with 408, and the connection is closed", async () => {
      const { world } = bench();
      for (const start of [
        "Content-Length: 10\r\n\r\nabc",
        "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        "Content-Length: 10\r\n\r\n",
      ]) {
        const raw = await connectRaw(world.port);
        raw.send(`PUT /v1/kv/a ${HEAD}${start}`);
        await eventually(() => world.time.waiting === 1);
        world.time.advance(5_000);
        await raw.receives(/^HTTP\/1\.1 408 [\s\S]*Connection: close[\s\S]*\}/);
        await eventually(() => world.time.waiting === 1);
        world.time.advance(2_000);
        await raw.closes();
      }
      assert.equal(world.model.asked.length, 0);
      assert.equal(world.inFlight(), 0);
    });

    it("are waited for only after 100 Continue was sent, which a body too large never gets", async () => {
      const { kv, world } = bench();
      const raw = await connectRaw(world.port);
      raw.send(`PUT /v1/kv/a ${HEAD}Expect: 100-continue\r\nContent-Length: 3\r\n\r\n`);
      assert.equal(await raw.receives(/\r\n\r\n/), "HTTP/1.1 100 Continue\r\n\r\n");
      raw.send("abc");
      await raw.receives(/HTTP\/1\.1 204/);
      assert.equal((await kv("GET", "a")).body.toString(), "abc");
      for (const [path, length, status] of [
        ["b", 10_240, 413],
        ["b%zz", 1, 400],
      ] as const) {
        const refused = await connectRaw(world.port);
        refused.send(`PUT /v1/kv/${path} ${HEAD}Expect: 100-continue\r\nContent-Length: ${length}\r\n\r\n`);
        assert.match(await refused.closes(), new RegExp(`^HTTP/1\\.1 ${status} `));
      }
    });

    it("that turn out too large or late after 100 Continue leave the connection open for the answer to be read", async () => {
      const { world } = bench();
      const chunk = `3000\r\n${"x".repeat(0x3000)}\r\n`;
      for (const [framing, body, status] of [
        ["Transfer-Encoding: chunked", chunk, 413],
        ["Transfer-Encoding: chunked", "1\r\nx\r\n", 408],
        ["Content-Length: 10", "x", 408],
      ] as const) {
        const raw = await connectRaw(world.port);
        raw.send(`PUT /v1/kv/a ${HEAD}Expect: 100-continue\r\n${framing}\r\n\r\n`);
        await raw.receives(/^HTTP\/1\.1 100 /);
        raw.send(body);
        if (status === 408) world.time.advance(5_000);
        await raw.receives(new RegExp(`HTTP/1\\.1 ${status} [\\s\\S]*\\r\\nConnection: close\\r\\n[\\s\\S]*\\}`));
        await eventually(() => world.time.waiting === 1);
        assert.equal(raw.socket.readyState, "open");
        world.time.advance(2_000);
        await raw.closes();
      }
      assert.equal(world.model.asked.length, 0);
    });

    it("of clients that leave half-way are nobody's value", async () => {
      const { kv, world } = bench();
      for (const start of ["Content-Length: 10\r\n\r\nabc", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"]) {
        const raw = await connectRaw(world.port);
        raw.send(`PUT /v1/kv/a ${HEAD}${start}`);
        await eventually(() => world.inFlight() === 1);
        raw.socket.destroy();
        await eventually(() => world.inFlight() === 0);
      }
      assert.equal(world.model.asked.length, 0);
      assert.equal(world.time.waiting, 0);
      assert.equal((await kv("GET", "a")).status, 404);
    });
  });

  describe(`connections, ${name}`, () => {
    const bench = useBench(mount, conformance);

    it("whose client has left get no answer, and nothing breaks", async () => {
      const { kv, world } = bench();
      const release = world.model.hold();
      for (const request of ["GET /v1/kv/a", "PUT /v1/kv/a", "DELETE /v1/kv/a"]) {
        const raw = await connectRaw(world.port);
        raw.send(`${request} ${HEAD}\r\n`);
        await eventually(() => world.inFlight() > 0);
        raw.socket.destroy();
      }
      await eventually(() => world.model.asked.length === 3);
      release();
      await eventually(() => world.inFlight() === 0);
      assert.deepEqual(world.bugs, []);
      assert.equal((await kv("PUT", "b", { body: "1" })).status, 204);
    });

    it("answer pipelined requests in order, each after the one before it was done", async () => {
      const { world } = bench();
      const raw = await connectRaw(world.port);
      const puts = [1, 2, 3].map((n) => `PUT /v1/kv/a ${HEAD}Content-Length: 1\r\n\r\n${n}GET /v1/kv/a ${HEAD}\r\n`);
      raw.send(`${puts.join("")}GET /v1/kv/a ${HEAD}Connection: close\r\n\r\n`);
      const bodies = [...(await raw.closes()).matchAll(/HTTP\/1\.1 (\d+)[\s\S]*?\r\n\r\n(\d?)/g)].map(
        ([, status, body]) => status + (body ?? ""),
      );
      assert.deepEqual(bodies, ["204", "2001", "204", "2002", "204", "2003", "2003"]);
    });

    it("begin a pipelined request only when the one before it was answered", async () => {
      const { world } = bench();
      const release = world.model.hold();
      const raw = await connectRaw(world.port);
      raw.send(`PUT /v1/kv/a ${HEAD}Content-Length: 1\r\n\r\n1GET /v1/kv/a ${HEAD}Connection: close\r\n\r\n`);
      await eventually(() => world.inFlight() === 2 && world.model.asked.length > 0);
      for (let turn = 0; turn < 20; turn += 1) await new Promise<void>((resolve) => setImmediate(resolve));
      assert.equal(world.model.asked.length, 1);
      release();
      assert.match(await raw.closes(), /204[\s\S]*HTTP\/1\.1 200 /);
    });

    it("that pipeline more than there is room for are answered 429 in their order", async () => {
      const { world } = bench();
      const release = world.model.hold();
      const raw = await connectRaw(world.port);
      // One in work, eight that may wait, and three more.
      raw.send(`GET /v1/kv/a ${HEAD}\r\n`.repeat(12));
      await eventually(() => world.inFlight() === 9);
      release();
      const text = await raw.receives(/(429[\s\S]*){3}/);
      const statuses = [...text.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => status);
      assert.deepEqual(statuses, [...Array(9).fill("404"), "429", "429", "429"]);
      raw.socket.destroy();
    });

    it("that wait for their turn take no place from others, however many they are", async () => {
      const { world, kv } = bench();
      const release = world.model.hold();
      const raw = await connectRaw(world.port);
      raw.send(`GET /v1/kv/a ${HEAD}\r\n`.repeat(30));
      await eventually(() => world.inFlight() === 9);
      const other = kv("GET", "b");
      await eventually(() => world.inFlight() === 10);
      release();
      assert.equal((await other).status, 404);
      raw.socket.destroy();
      await eventually(() => world.inFlight() === 0);
    });

    it("that leave while they wait for their turn give their places back", async () => {
      const { world } = bench();
      const release = world.model.hold();
      const raw = await connectRaw(world.port);
      raw.send(`GET /v1/kv/a ${HEAD}\r\n`.repeat(5));
      await eventually(() => world.inFlight() === 5);
      raw.socket.destroy();
      await eventually(() => world.inFlight() === 1);
      release();
      await eventually(() => world.inFlight() === 0);
      assert.equal(world.model.asked.length, 1);
    });

    it("of HTTP/1.0 clients are answered and closed", async () => {
      const { world } = bench();
      const raw = await connectRaw(world.port);
      raw.send("PUT /v1/kv/a HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx");
      assert.match(await raw.closes(), /^HTTP\/1\.1 204 /);
    });
  });
}
