/** The data API as `docs/api.md` tells it, held against one mount of the handler: values, contexts, siblings. */
import assert from "node:assert/strict";
import { afterAll, beforeAll, beforeEach, describe, it } from "@jest/globals";
import { type Answer, type CallOptions, call } from "./http-client.ts";
import type { Conformance } from "./http-openapi.ts";
import { type HttpWorld, type Mount, startWorld } from "./http-world.ts";

const METHODS: readonly string[] = ["GET", "HEAD", "PUT", "DELETE"];
const RECEIPT = /^acks=\d; asked=\d; zones=\d; hinted=\d; durability=os$/;

/** What a contract test works with: a world of its own, and calls that are checked for what every answer has. */
export type Bench = {
  readonly world: HttpWorld;
  readonly kv: (method: string, rest: string, options?: CallOptions) => Promise<Answer>;
};

/** Starts a world for a `describe`, fresh for every test. */
export function useBench(mount: Mount, conformance: Conformance): () => Bench {
  let bench: Bench | undefined;
  beforeEach(async () => {
    await bench?.world.stop();
    const world = await startWorld(mount);
    const kv = async (method: string, rest: string, options?: CallOptions): Promise<Answer> => {
      const answer = await call(world.port, method, `/v1/kv/${rest}`, options);
      checkAlways(method, answer);
      if (METHODS.includes(method) && !rest.includes("/")) conformance.check(method, "/v1/kv/{key}", answer);
      return answer;
    };
    bench = { world, kv };
  });
  afterAll(async () => {
    await bench?.world.stop();
  });
  beforeAll(() => {
    bench = undefined;
  });
  return () => {
    assert(bench !== undefined);
    return bench;
  };
}

function checkAlways(method: string, answer: Answer): void {
  assert.equal(answer.headers["kv-node"], "n1");
  assert.match(String(answer.headers["kv-receipt"]), RECEIPT);
  assert.equal(answer.headers["kv-epoch"], "7");
  const names = answer.rawHeaders.filter((_, index) => index % 2 === 0).map((name) => name.toLowerCase());
  assert.equal(new Set(names).size, names.length, "no header is sent twice");
  if (method === "HEAD") assert.equal(answer.body.length, 0);
  if (answer.status < 400 || method === "HEAD") return;
  assert.equal(answer.headers["content-type"], "application/problem+json");
  assert.equal(problem(answer).status, answer.status);
}

export function problem(answer: Answer): Record<string, unknown> {
  return JSON.parse(answer.body.toString()) as Record<string, unknown>;
}

export function contextOf(answer: Answer): string {
  const context = answer.headers["kv-context"];
  assert.equal(typeof context, "string");
  return String(context);
}

type Shown = {
  context: string;
  siblings: { contentType: string; value?: string; writtenAt: string; deleted: boolean }[];
};

export function shown(answer: Answer): Shown {
  assert.equal(answer.status, 300);
  return JSON.parse(answer.body.toString()) as Shown;
}

const texts = (answer: Answer) =>
  shown(answer).siblings.map(({ value }) =>
    value === undefined ? undefined : Buffer.from(value, "base64").toString(),
  );

export function kvContract(name: string, mount: Mount, conformance: Conformance): void {
  describe(`a key's life, ${name}`, () => {
    const bench = useBench(mount, conformance);

    it("gives back the bytes and the type that were written", async () => {
      const { kv } = bench();
      const value = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
      const written = await kv("PUT", "a", { body: value, headers: { "Content-Type": "image/x-test; q=1" } });
      assert.equal(written.status, 204);
      assert.equal(written.body.length, 0);
      const read = await kv("GET", "a");
      assert.equal(read.status, 200);
      assert.deepEqual(read.body, value);
      assert.equal(read.headers["content-type"], "image/x-test; q=1");
      assert.equal(read.headers["content-length"], "256");
      assert.equal(contextOf(read), contextOf(written));
      assert.equal(read.headers["kv-receipt"], "acks=2; asked=3; zones=2; hinted=0; durability=os");
    });

    it("takes application/octet-stream where no type is sent, and an empty value", async () => {
      const { kv } = bench();
      assert.equal((await kv("PUT", "a")).status, 204);
      const read = await kv("GET", "a");
      assert.equal(read.status, 200);
      assert.equal(read.body.length, 0);
      assert.equal(read.headers["content-length"], "0");
      assert.equal(read.headers["content-type"], "application/octet-stream");
    });

    it("answers HEAD with what GET says, and no body", async () => {
      const { kv } = bench();
      await kv("PUT", "one", { body: "value" });
      for (const body of ["x", "y"]) await kv("PUT", "two?blind=sibling", { body });
      await kv("PUT", "gone", { body: "value" });
      await kv("DELETE", "gone");
      for (const rest of ["one", "two", "gone", "never", "one?r=9"]) {
        const [head, get] = [await kv("HEAD", rest), await kv("GET", rest)];
        assert.equal(head.status, get.status);
        assert.deepEqual({ ...head.headers, date: "" }, { ...get.headers, date: "" });
      }
      const raw = { headers: { Accept: "text/plain" } };
      assert.equal((await kv("HEAD", "two", raw)).status, 409);
    });

    it("tells a key that was never written from one that was deleted by its context", async () => {
      const { kv } = bench();
      const never = await kv("GET", "a");
      assert.equal(never.status, 404);
      assert.equal(never.headers["kv-context"], undefined);
      const { headers } = await kv("PUT", "a", { body: "1" });
      const deleted = await kv("DELETE", "a", { headers: { "KV-Context": String(headers["kv-context"]) } });
      assert.equal(deleted.status, 204);
      const gone = await kv("GET", "a");
      assert.equal(gone.status, 404);
      assert.equal(contextOf(gone), contextOf(deleted));
      assert.match(String(problem(gone).detail), /deleted/);
    });

    it("gives the last value after PUT, PUT, GET without contexts, unless asked for siblings", async () => {
      const { kv } = bench();
      await kv("PUT", "a", { body: "1" });
      await kv("PUT", "a?blind=overwrite", { body: "2" });
      assert.equal((await kv("GET", "a")).body.toString(), "2");
      await kv("PUT", "a?blind=sibling", { body: "3" });
      assert.deepEqual(texts(await kv("GET", "a")), ["2", "3"]);
    });

    it("shows siblings as JSON, settled by one write with their context", async () => {
      const { kv } = bench();
      await kv("PUT", "a", { body: "left", headers: { "Content-Type": "text/plain" } });
      await kv("PUT", "a?blind=sibling", { body: Buffer.from([0xff, 0]) });
      const read = await kv("GET", "a");
      assert.equal(read.headers["content-type"], "application/json");
      const writtenAt = "2026-01-02T03:04:05.000Z";
      assert.deepEqual(shown(read), {
        context: contextOf(read),
        siblings: [
          { contentType: "text/plain", value: "bGVmdA==", writtenAt, deleted: false },
          { contentType: "application/octet-stream", value: "/wA=", writtenAt, deleted: false },
        ],
      });
      await kv("PUT", "a", { body: "both", headers: { "KV-Context": contextOf(read) } });
      assert.equal((await kv("GET", "a")).body.toString(), "both");
    });

    it("shows a deletion beside a concurrent write as a sibling without a value", async () => {
      const { kv } = bench();
      const first = await kv("PUT", "a", { body: "1" });
      const headers = { "KV-Context": contextOf(first) };
      await kv("PUT", "a", { body: "2", headers });
      await kv("DELETE", "a", { headers });
      const { siblings } = shown(await kv("GET", "a"));
      assert.deepEqual(
        siblings.map(({ deleted, value }) => ({ deleted, value })),
        [
          { deleted: false, value: "Mg==" },
          { deleted: true, value: undefined },
        ],
      );
    });

    it("refuses siblings with 409 and their context to a client that takes no JSON", async () => {
      const { kv } = bench();
      for (const body of ["x", "y"]) await kv("PUT", "a?blind=sibling", { body });
      for (const accept of ["application/octet-stream", "text/*", "*/*, application/json;q=0", "application/*;q=0.0"]) {
        const refused = await kv("GET", "a", { headers: { Accept: accept } });
        assert.equal(refused.status, 409, accept);
        const settled = shown(await kv("GET", "a", { headers: { Accept: "application/json" } }));
        assert.equal(contextOf(refused), settled.context);
      }
      for (const accept of [
        "*/*",
        "application/*",
        "text/html, application/json;q=0.1",
        "",
        "*/*;q=0, application/json",
      ]) {
        assert.equal((await kv("GET", "a", { headers: { Accept: accept } })).status, 300, accept);
      }
      await kv("PUT", "single", { body: "v" });
      assert.equal((await kv("GET", "single", { headers: { Accept: "text/plain" } })).status, 200);
    });

    it("takes a repetition with the same Idempotency-Key for the same event", async () => {
      const { kv } = bench();
      const headers = { "Idempotency-Key": "once, and only once" };
      await kv("PUT", "a?blind=sibling", { body: "1", headers });
      await kv("PUT", "a?blind=sibling", { body: "1", headers });
      assert.equal((await kv("GET", "a")).status, 200);
    });

    it("writes with If-None-Match: * only where a read finds no value", async () => {
      const { kv } = bench();
      const headers = { "If-None-Match": "*" };
      assert.equal((await kv("PUT", "a", { body: "1", headers })).status, 204);
      assert.equal((await kv("PUT", "a", { body: "2", headers })).status, 412);
      await kv("DELETE", "a");
      assert.equal((await kv("PUT", "a", { body: "3", headers })).status, 204);
      assert.equal((await kv("GET", "a")).body.toString(), "3");
    });

    it("refuses with 409 what would pass the limit on siblings", async () => {
      const { kv } = bench();
      for (let count = 0; count < 5; count += 1) await kv("PUT", "a?blind=sibling", { body: String(count) });
      const refused = await kv("PUT", "a?blind=sibling", { body: "one more" });
      assert.equal(refused.status, 409);
      const first = await kv("PUT", "b", { body: "1" });
      for (let count = 0; count < 5; count += 1) await kv("PUT", "b?blind=sibling", { body: String(count) });
      const stale = { headers: { "KV-Context": contextOf(first) } };
      await kv("PUT", "b", stale);
      assert.equal((await kv("DELETE", "b", stale)).status, 409);
    });

    it("lets a value with a ttl end", async () => {
      const { kv, world } = bench();
      await kv("PUT", "a?ttl=60", { body: "1" });
      assert.equal((await kv("GET", "a")).status, 200);
      world.model.nowMs += 60_000;
      assert.equal((await kv("GET", "a")).status, 404);
    });
  });
}
