/** The admin port over a small cluster in memory; every answer is held against its OpenAPI document. */
import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "@jest/globals";
import { adminRoutes, createAdminServer, EXPORT_PARAMETERS } from "../../../node/adapters/http/admin.ts";
import type { ExportEntry } from "../../../node/adapters/http/admin-api.ts";
import { DIFFERENCE_BYTES_MAX, RESTORE_BYTES_MAX } from "../../../node/adapters/http/backup.ts";
import type { HttpServer } from "../../../node/adapters/http/http-server.ts";
import { createLiveFeed, VIEWERS_MAX } from "../../../node/adapters/http/live-feed.ts";
import { adminDocument } from "../../../node/adapters/http/openapi-admin.ts";
import { KvError } from "../../../node/core/errors.ts";
import type { ConsoleLook } from "../../../node/core/watch/console-look.ts";
import { ADMIN_PORTS, type AdminModel, createAdminModel, MODEL_RING } from "../../contract/http-admin-model.ts";
import { type Answer, call, connectRaw, eventually } from "../../contract/http-client.ts";
import { createConformance } from "../../contract/http-openapi.ts";
import { createTestTelemetry, WORLD_OPTIONS } from "../../contract/http-world.ts";

const conformance = createConformance(adminDocument(WORLD_OPTIONS));
let model: AdminModel;
let bugs: unknown[];
let server: HttpServer;
let port: number;

beforeEach(async () => {
  model = createAdminModel();
  bugs = [];
  const ports = {
    ...ADMIN_PORTS,
    admin: model,
    telemetry: createTestTelemetry(),
    onBug: (error: unknown) => bugs.push(error),
  };
  server = createAdminServer(ports, WORLD_OPTIONS);
  port = await server.start();
});

afterEach(() => server.stop(0));

async function get(path: string, template = path): Promise<Answer> {
  const answer = await call(port, "GET", path);
  conformance.check("GET", template, answer);
  assert.equal(answer.headers["kv-node"], "n1");
  return answer;
}

const json = (answer: Answer) => JSON.parse(answer.body.toString()) as Record<string, unknown>;

/** What reading and writing records may end with. */
const FAILURES = [
  ["STORAGE_FAILED", 500],
  ["QUORUM_UNAVAILABLE", 503],
  ["TIMED_OUT", 504],
] as const;

function entryOf(index: number, bytes = 8): ExportEntry {
  const dot = { actor: "a".repeat(32), incarnation: 1, counter: index + 1 };
  const value = Buffer.alloc(bytes, index);
  const times = { writtenAtMs: 0, expiresAtMs: index === 1 ? 86_400_000 : undefined };
  const key = Buffer.from([0xff, index >> 8, index & 255]);
  return { key, context: `token${index}`, siblings: [{ dot, value, contentType: "text/plain", ...times }] };
}

describe("the admin port", () => {
  it("says that it lives, and whether it may coordinate requests", async () => {
    assert.equal((await get("/healthz")).status, 200);
    assert.equal((await get("/readyz")).status, 200);
    model.ready = { ready: false, reason: "the node is shutting down" };
    const refused = await get("/readyz");
    assert.equal(refused.status, 503);
    assert.match(String(json(refused).detail), /: the node is shutting down\./);
    assert.equal((await get("/healthz")).status, 200);
  });

  it("gives metrics as Prometheus text", async () => {
    const answer = await get("/metrics");
    assert.equal(answer.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    assert.match(answer.body.toString(), /^annulus_up 1$/m);
  });

  it("shows cluster and ring, or 503 while there is none", async () => {
    assert.equal(json(await get("/v1/cluster")).node, "n1");
    assert.deepEqual(json(await get("/v1/ring")), MODEL_RING);
    model.ringless = true;
    for (const path of ["/v1/cluster", "/v1/ring", "/v1/ring/a", "/v1/versions/a", "/v1/export?partition=0"]) {
      const template = path.replace("/a", "/{key}").replace(/\?.*/, "");
      assert.equal((await get(path, template)).status, 503);
    }
  });

  it("shows how far repair has come, and begins a round when it is told to", async () => {
    const partitions = [
      { partition: 0, equalAtMs: 2_000 },
      { partition: 1, equalAtMs: 1_000 },
    ];
    model.progress = { running: true, rounds: 3, owned: 2, built: 2, partitions };
    assert.deepEqual(json(await get("/v1/cluster")).repair, {
      running: true,
      rounds: 3,
      owned: 2,
      built: 2,
      oldest: "1970-01-01T00:00:01.000Z",
      newest: "1970-01-01T00:00:02.000Z",
      partitions: [
        { partition: 0, equalAt: "1970-01-01T00:00:02.000Z" },
        { partition: 1, equalAt: "1970-01-01T00:00:01.000Z" },
      ],
    });
    model.progress = { ...model.progress, partitions: [...partitions, { partition: 2, equalAtMs: undefined }] };
    const { oldest, newest } = json(await get("/v1/cluster")).repair as { oldest?: string; newest?: string };
    assert.equal(oldest, undefined);
    assert.equal(newest, "1970-01-01T00:00:02.000Z");
    const started = await call(port, "POST", "/v1/repair");
    conformance.check("POST", "/v1/repair", started);
    assert.equal(started.status, 202);
    assert.equal(model.repairs, 1);
    const refused = await call(port, "GET", "/v1/repair");
    assert.equal(refused.status, 405);
    assert.equal(refused.headers.allow, "POST");
    assert.equal(model.repairs, 1);
  });

  it("serves the files of the console's page, which may load from here only, and no others", async () => {
    const found = await get("/console");
    assert.deepEqual([found.status, found.headers.location], [308, "console/"]);
    const page = await get("/console/");
    assert.match(page.body.toString(), /<title>console/);
    assert.equal(page.headers["content-type"], "text/html; charset=utf-8");
    assert.match(String(page.headers["content-security-policy"]), /default-src 'none'.*frame-ancestors 'none'/);
    assert.equal((await get("/console/main.js", "/console/{file}")).headers["x-content-type-options"], "nosniff");
    for (const name of ["nothing.js", "..%2Fmain.js", "%2e%2e", "constructor"]) {
      assert.equal((await get(`/console/${name}`, "/console/{file}")).status, 404, name);
    }
    const bare = createAdminServer(
      {
        ...ADMIN_PORTS,
        consoleFiles: new Map(),
        admin: model,
        telemetry: createTestTelemetry(),
        onBug: (error) => assert.fail(String(error)),
      },
      WORLD_OPTIONS,
    );
    const answer = await call(await bare.start(), "GET", "/console/");
    conformance.check("GET", "/console/", answer);
    assert.equal(answer.status, 404);
    await bare.stop(0);
  });

  it("tells what it knows as events, as many as are asked for", async () => {
    const answer = await get("/v1/events?looks=1", "/v1/events");
    assert.equal(answer.headers["content-type"], "text/event-stream");
    const [, data = ""] = /^event: look\ndata: (.*)\n\n$/.exec(answer.body.toString()) ?? [];
    const look = JSON.parse(data) as ConsoleLook;
    assert.equal(look.cluster.members[0]?.name, "n1");
    assert.deepEqual(look.cluster.repair, { running: false, rounds: 0, owned: 0, built: 0 });
    assert.deepEqual(
      look.findings.map(({ check }) => check),
      ["hints"],
    );
    for (const query of ["looks=0", "looks=x", "look=1"]) {
      assert.equal((await get(`/v1/events?${query}`, "/v1/events")).status, 400, query);
    }
    const head = await call(port, "HEAD", "/v1/events");
    assert.deepEqual([head.status, head.body.length], [200, 0]);
  });

  it("refuses more viewers than it may have, and ends the streams of the others when it stops", async () => {
    const streams = await Promise.all(
      Array.from({ length: VIEWERS_MAX }, () => fetch(`http://127.0.0.1:${port}/v1/events`)),
    );
    const refused = await get("/v1/events");
    assert.deepEqual([refused.status, refused.headers["retry-after"]], [429, "1"]);
    await server.stop(1_000);
    for (const stream of streams) assert.match(await stream.text(), /\nevent: stopping\ndata: .*\n\n$/);
  });

  it("locates keys of any bytes, and refuses what is no key", async () => {
    assert.equal(json(await get("/v1/ring/%ff%2F%00", "/v1/ring/{key}")).partition, 1);
    assert.deepEqual(Buffer.from(model.located ?? []), Buffer.from([0xff, 0x2f, 0]));
    for (const part of ["ring", "versions"]) {
      assert.equal((await get(`/v1/${part}/%zz`, `/v1/${part}/{key}`)).status, 400);
    }
    assert.equal((await get("/v1/ring/", "/v1/ring/{key}")).status, 400);
    assert.equal((await call(port, "GET", "/v1/ring/a/b")).status, 404);
  });

  it("exports a partition line by line, and says at the end that it is whole", async () => {
    model.entries = Array.from({ length: 250 }, (_, index) => entryOf(index));
    const answer = await call(port, "GET", "/v1/export?partition=1");
    assert.equal(answer.headers["content-type"], "application/jsonl");
    const lines = answer.body
      .toString()
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as unknown);
    assert.equal(lines.length, 251);
    assert.deepEqual(lines[1], {
      key: "%FF%00%01",
      context: "token1",
      siblings: [
        {
          contentType: "text/plain",
          value: Buffer.alloc(8, 1).toString("base64"),
          writtenAt: "1970-01-01T00:00:00.000Z",
          deleted: false,
          expiresAt: "1970-01-02T00:00:00.000Z",
        },
      ],
    });
    assert.deepEqual(lines[250], { epoch: 1, partition: 1, complete: true });
    assert.equal(model.pages, 3);
    await get("/v1/export?partition=0", "/v1/export");
  });

  it("goes on behind the key that an export is told", async () => {
    model.entries = Array.from({ length: 5 }, (_, index) => entryOf(index));
    const { body } = await call(port, "GET", "/v1/export?partition=1&after=%ff%00%03");
    const [first, last, ...more] = body.toString().trimEnd().split("\n");
    assert.equal((JSON.parse(first ?? "") as { key: string }).key, "%FF%00%04");
    assert.equal((JSON.parse(last ?? "") as { complete: boolean }).complete, true);
    assert.deepEqual(more, []);
  });

  it("refuses an export that names no partition, or a parameter that is none", async () => {
    for (const query of [
      "",
      "?partition=",
      "?partition=2",
      "?partition=-1",
      "?partition=0&limit=1",
      "?partition=0&after=",
      "?partition=0&partition=0",
    ]) {
      assert.equal((await get(`/v1/export${query}`, "/v1/export")).status, 400, query);
    }
    for (const [code, status] of [
      ["STORAGE_FAILED", 500],
      ["TIMED_OUT", 504],
    ] as const) {
      model.failAt = { page: 0, error: new KvError(code, "Cannot read: it was asked to fail.") };
      assert.equal((await get("/v1/export?partition=0", "/v1/export")).status, status);
    }
  });

  it("breaks an export off that fails half-way, so that nobody takes it for whole", async () => {
    model.entries = Array.from({ length: 150 }, (_, index) => entryOf(index));
    model.failAt = { page: 1, error: new KvError("TIMED_OUT", "Cannot read: it took too long.") };
    await assert.rejects(call(port, "GET", "/v1/export?partition=1"), /aborted|hang up|ECONNRESET/);
    assert.deepEqual(bugs, []);
  });

  it("reads no more pages than its client takes", async () => {
    model.entries = Array.from({ length: 5_000 }, (_, index) => entryOf(index, 10_000));
    const raw = await connectRaw(port);
    raw.socket.pause();
    raw.send("GET /v1/export?partition=1 HTTP/1.1\r\nHost: x\r\n\r\n");
    let before = -1;
    await eventually(() => {
      const isStill = model.pages > 0 && before === model.pages;
      before = model.pages;
      return isStill;
    });
    await new Promise((resolve) => setTimeout(resolve, 100));
    assert.ok(model.pages < 40, `${model.pages} of 50 pages were read for a client that takes nothing`);
    raw.socket.destroy();
  });

  it("gives records for a backup, and takes them back", async () => {
    model.entries = [entryOf(0)];
    const [line, end] = (await get("/v1/backup?partition=1", "/v1/backup")).body.toString().split("\n");
    assert.deepEqual(JSON.parse(line ?? ""), { key: "_wAA", record: "Af8AAA" });
    assert.deepEqual(JSON.parse(end ?? ""), { epoch: 1, partition: 1, complete: true });
    const post = async (body: string) => {
      const answer = await call(port, "POST", "/v1/restore", { body });
      conformance.check("POST", "/v1/restore", answer);
      return answer;
    };
    const answer = await post(`{"entries":[${line}]}`);
    assert.deepEqual(json(answer), { merged: 0, outdated: 0, unjudged: [0] });
    assert.deepEqual(model.restored, [{ key: Buffer.from([0xff, 0, 0]), record: Buffer.from([1, 0xff, 0, 0]) }]);
    for (const body of ["{}", '{"entries":[{"key":"","record":"AA"}]}', '{"entries":[{"key":"*","record":"AA"}]}']) {
      assert.equal((await post(body)).status, 400, body);
    }
    assert.equal((await post(" ".repeat(RESTORE_BYTES_MAX + 1))).status, 413);
    const largest = Buffer.alloc(20 << 20, 1).toString("base64url");
    assert.equal((await post(`{"entries":[{"key":"_wAA","record":"${largest}"}]}`)).status, 200);
    assert.equal((await get("/v1/backup", "/v1/backup")).status, 400);
    for (const [code, status] of FAILURES) {
      model.failAt = { page: model.pages, error: new KvError(code, "Cannot: it was asked to fail.") };
      assert.equal((await get("/v1/backup?partition=0", "/v1/backup")).status, status);
      assert.equal((await post('{"entries":[]}')).status, status);
    }
  });

  it("gives sums of leaves, and of some leaves what a backup lacks and is to drop", async () => {
    model.entries = [entryOf(0)];
    const tree = json(await get("/v1/backup/tree?partition=1", "/v1/backup/tree")) as { sums: string };
    assert.deepEqual(tree, { epoch: 1, partition: 1, bits: 4, sums: tree.sums, unlike: [3] });
    assert.deepEqual(Buffer.from(tree.sums, "base64url"), Buffer.alloc(8 << 4, 0xfb));
    const post = async (body: string) => {
      const answer = await call(port, "POST", "/v1/backup/difference", { body });
      conformance.check("POST", "/v1/backup/difference", answer);
      return answer;
    };
    const question = '{"partition":1,"bits":4,"leaves":[{"leaf":15,"briefs":"AQIDBAUGBwj_AAAAAAAAAA"}]}';
    const [line, end] = (await post(question)).body.toString().split("\n");
    assert.deepEqual(JSON.parse(line ?? ""), { key: "_wAA", record: "Af8AAA" });
    assert.deepEqual(JSON.parse(end ?? ""), {
      ...{ epoch: 1, partition: 1, complete: true },
      gone: "AQIDBAUGBwj_AAAAAAAAAA",
    });
    for (const [right, wrong] of [
      ["Bwj_AAAAAAAAAA", "Bwj_AAAAAAAAAAA"],
      ['"bits":4', '"bits":17'],
      ['"leaf":15', '"leaf":16'],
      ['"leaves":[', '"leaves":[],"more":['],
    ] as const) {
      assert.equal((await post(question.replace(right, wrong))).status, 400, wrong);
    }
    assert.equal((await post(" ".repeat(DIFFERENCE_BYTES_MAX + 1))).status, 413);
    for (const query of ["", "?partition=x", "?partition=1&after=a"]) {
      assert.equal((await get(`/v1/backup/tree${query}`, "/v1/backup/tree")).status, 400, query);
    }
    for (const [code, status] of FAILURES) {
      model.failAt = { page: model.pages, error: new KvError(code, "Cannot: it was asked to fail.") };
      assert.equal((await get("/v1/backup/tree?partition=1", "/v1/backup/tree")).status, status);
      assert.equal((await post(question)).status, status);
    }
  });

  it("tells what each home holds of a key, with no value, and why one does not say", async () => {
    const { homes } = json(await get("/v1/versions/a%2Fb", "/v1/versions/{key}"));
    assert.deepEqual(model.located, Buffer.from("a/b"));
    const common = { contentType: "text/plain", writtenAt: "1970-01-01T00:00:00.000Z" };
    const siblings = [
      { ...common, dot: `${"a".repeat(32)}.1:1`, deleted: false, sizeBytes: 5, expiresAt: "1970-01-01T00:01:00.000Z" },
      { ...common, dot: `${"a".repeat(32)}.1:2`, deleted: true, sizeBytes: 0 },
    ];
    assert.deepEqual(homes, [
      { name: "n1", zone: "a", state: "present", version: "000000ab", contextEntries: 1, siblings },
      { name: "n2", zone: "b", state: "absent" },
      { name: "n3", zone: "c", state: "unknown", error: { code: "TIMED_OUT", detail: "Cannot reach n3." } },
    ]);
  });

  it("answers a bug with 500 and tells the node", async () => {
    const bug = new Error("a cup is missing");
    model.failAt = { page: 0, error: bug };
    const answer = await get("/v1/export?partition=0", "/v1/export");
    assert.equal(answer.status, 500);
    assert.deepEqual(bugs, [bug]);
    assert.ok(!answer.body.includes("cup"));
  });

  it("answers every path with what the document says, and the document has every path", async () => {
    const document = json(await get("/openapi.json"));
    const paths = document.paths as Record<string, { get: { parameters?: { name?: string; in?: string }[] } }>;
    const described = Object.entries(paths).flatMap(([template, path]) => {
      return ["get", "post", "delete"].filter((method) => method in path).map((method) => `${method} ${template}`);
    });
    const feed = createLiveFeed({
      ...ADMIN_PORTS,
      admin: model,
      telemetry: createTestTelemetry(),
      onBug: (error) => assert.fail(String(error)),
    });
    const routes = adminRoutes({ admin: model, feed, consoleFiles: new Map() }, {}).map(
      ({ template, method = "GET" }) => `${method.toLowerCase()} ${template}`,
    );
    // Pairs are answered for by the handler of the data port (kv-contract.test.ts).
    assert.deepEqual(described.filter((name) => !name.endsWith("/v1/kv/{key}")).sort(), routes.sort());
    const queries = (paths["/v1/export"]?.get.parameters ?? []).map(({ name }) => name);
    assert.deepEqual(queries, EXPORT_PARAMETERS);
    // Those of changes are checked in changes.test.ts, refusals for want of a token in access.test.ts.
    const elsewhere = / \/v1\/cluster\/changes| \/v1\/kv\/| 40[13]$/;
    const here = [...conformance.described].filter((name) => !elsewhere.test(name));
    assert.deepEqual(
      here.filter((name) => !conformance.seen.has(name)),
      [],
    );
  });

  it("refuses other paths and methods with problem documents", async () => {
    for (const [method, path, status] of [
      ["GET", "/", 404],
      ["POST", "/v1/cluster", 405],
      ["PUT", "/v1/ring/a", 405],
      ["GET", "/%", 404],
    ] as const) {
      const answer = await call(port, method, path);
      assert.equal(answer.status, status, path);
      assert.equal(answer.headers["content-type"], "application/problem+json");
      assert.equal(answer.headers.allow, status === 405 ? "GET, HEAD" : undefined);
    }
    const head = await call(port, "HEAD", "/v1/cluster");
    assert.equal(head.status, 200);
    assert.equal(head.body.length, 0);
  });
});
