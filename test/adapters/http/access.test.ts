/**
 * Who gets in: every operation of both OpenAPI documents with no token, a wrong one, one that is too small, and one that
 * is just enough. A route that the documents do not know, or an operation without a rule, fails here.
 */
import assert from "node:assert/strict";
import { afterAll, beforeAll, describe, it } from "@jest/globals";
import { adminRoutes, createAdminServer } from "../../../node/adapters/http/admin.ts";
import { createGate, type TokenSource } from "../../../node/adapters/http/gate.ts";
import type { HttpServer } from "../../../node/adapters/http/http-server.ts";
import { createLiveFeed } from "../../../node/adapters/http/live-feed.ts";
import { adminDocument } from "../../../node/adapters/http/openapi-admin.ts";
import { dataDocument } from "../../../node/adapters/http/openapi-data.ts";
import { type ClusterRight, type DataRight, digestOf, type Grant, type TokenEntry } from "../../../node/core/access.ts";
import {
  ADMIN_PORTS,
  type AdminModel,
  createAdminModel,
  MODEL_CHANGE,
  modelKv,
} from "../../contract/http-admin-model.ts";
import { type Answer, call } from "../../contract/http-client.ts";
import { createConformance } from "../../contract/http-openapi.ts";
import { createTestTelemetry, type HttpWorld, inFront, startWorld, WORLD_OPTIONS } from "../../contract/http-world.ts";

type Rule = "read" | "read-write" | "read-all" | "read-some" | "restore" | "monitor" | "admin";
type Operation = { readonly security?: readonly { readonly token: readonly Rule[] }[] };
type Document = { readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>> };

const METHODS = ["get", "head", "put", "post", "delete"];
const NOBODY: Grant = { name: "anonymous", data: "none", cluster: "none", prefixes: undefined };

/** Tokens by what they are: each gives one right and no other. */
const TOKENS: Readonly<Record<string, { data?: DataRight; cluster?: ClusterRight; prefix?: string }>> = {
  reader: { data: "read" },
  writer: { data: "read-write" },
  neighbour: { data: "read-write", prefix: "b" },
  inhabitant: { data: "read-write", prefix: "a" },
  watcher: { cluster: "monitor" },
  administrator: { cluster: "admin" },
  restorer: { cluster: "admin", data: "read-write" },
};
/** Who may, by rule; all others are refused. */
const ENOUGH: Readonly<Record<Rule, readonly string[]>> = {
  read: ["reader", "writer", "inhabitant", "restorer"],
  "read-write": ["writer", "inhabitant", "restorer"],
  "read-all": ["reader", "writer", "restorer"],
  "read-some": ["reader", "writer", "neighbour", "inhabitant", "restorer"],
  restore: ["restorer"],
  monitor: ["watcher", "administrator", "restorer"],
  admin: ["administrator", "restorer"],
};

function entryOf(name: string): TokenEntry {
  const { data = "none", cluster = "none", prefix } = TOKENS[name] ?? {};
  const prefixes = prefix === undefined ? undefined : [Buffer.from(prefix)];
  return { digest: digestOf(name), grant: { name, data, cluster, prefixes } };
}

/** A request that would be answered well, if it were let through. */
function requestOf(method: string, template: string): { readonly path: string; readonly body?: string } {
  const path = template.replace("{key}", "a").replace("{id}", MODEL_CHANGE.id).replace("{file}", "main.js");
  if (template === "/v1/restore") return { path, body: '{"entries":[]}' };
  if (template === "/v1/events") return { path: `${path}?looks=1` };
  if (template === "/v1/backup/difference")
    return { path, body: '{"partition":0,"bits":4,"leaves":[{"leaf":0,"briefs":""}]}' };
  if (["/v1/export", "/v1/backup", "/v1/backup/tree"].includes(template)) return { path: `${path}?partition=0` };
  if (method === "post") return { path: `${path}${path.endsWith("changes") ? "?dryRun=true" : ""}`, body: "{}" };
  return method === "put" ? { path, body: "value" } : { path };
}

/** Every operation with the rule that the document has for it: a right, or none for those that are open. */
function operationsOf(document: Document): [string, string, Rule | undefined][] {
  return Object.entries(document.paths).flatMap(([template, item]) =>
    METHODS.filter((method) => method in item).map((method): [string, string, Rule | undefined] => {
      const security = item[method]?.security;
      assert(security !== undefined, `${method} ${template} has no rule: say who may`);
      return [method, template, security[0]?.token[0]];
    }),
  );
}

const DATA = dataDocument(WORLD_OPTIONS) as unknown as Document;
const ADMIN = adminDocument(WORLD_OPTIONS) as unknown as Document;
const conformance = { data: createConformance(DATA), admin: createConformance(ADMIN) };
const OPERATIONS = [
  ...operationsOf(DATA).map((operation) => ["data", ...operation] as const),
  ...operationsOf(ADMIN).map((operation) => ["admin", ...operation] as const),
];

let table: readonly TokenEntry[] = Object.keys(TOKENS).map(entryOf);
const source: TokenSource = { table: () => table };
let world: HttpWorld;
let model: AdminModel;
let server: HttpServer;
let adminPort: number;
const bugs: unknown[] = [];

beforeAll(async () => {
  const gate = createGate(source, NOBODY);
  world = await startWorld(inFront, {}, { gate });
  model = createAdminModel();
  model.change = MODEL_CHANGE;
  const ports = {
    ...ADMIN_PORTS,
    admin: model,
    telemetry: createTestTelemetry(),
    onBug: (error: unknown) => bugs.push(error),
    gate,
    kv: modelKv(gate),
  };
  server = createAdminServer(ports, WORLD_OPTIONS);
  adminPort = await server.start();
});

afterAll(async () => {
  await server.stop(0);
  await world.stop();
  assert.deepEqual([...bugs, ...world.bugs], []);
});

async function ask(
  port: "data" | "admin",
  method: string,
  template: string,
  authorization: string | undefined,
): Promise<Answer> {
  const { path, body } = requestOf(method, template);
  const headers = {
    ...(authorization === undefined ? {} : { authorization }),
    ...(body === "{}" ? { "content-type": "application/json" } : {}),
  };
  const answer = await call(port === "data" ? world.port : adminPort, method.toUpperCase(), path, {
    headers,
    ...(body === undefined ? {} : { body }),
  });
  // HEAD is answered wherever GET is; the admin document says so once.
  conformance[port].check(method.toUpperCase(), template, answer);
  return answer;
}

const bearer = (name: string) => `Bearer ${name}`;

describe("access", () => {
  it.each(OPERATIONS)("on the %s port: %s %s", async (port, method, template, rule) => {
    if (rule === undefined) {
      assert.ok((await ask(port, method, template, undefined)).status < 400);
      assert.ok((await ask(port, method, template, bearer("unknown"))).status < 400);
      return;
    }
    const refused: [string | undefined, number][] = [
      [undefined, 401],
      [bearer("unknown"), 401],
      [bearer("reader, writer"), 401],
      ["Basic cmVhZGVyOg==", 401],
      ["Bearer", 401],
      ...Object.keys(TOKENS)
        .filter((name) => !ENOUGH[rule].includes(name))
        .map((name): [string, number] => [bearer(name), 403]),
    ];
    const before = [world.model.asked.length, model.asked.length, model.cancelled.length, model.repairs];
    for (const [authorization, status] of refused) {
      const answer = await ask(port, method, template, authorization);
      assert.equal(answer.status, status, authorization);
      assert.match(String(answer.headers["www-authenticate"]), /^Bearer realm="annulus"/);
      assert.ok(!answer.body.includes("reader") && !answer.body.includes("unknown"), "an answer quotes a token");
    }
    const after = [world.model.asked.length, model.asked.length, model.cancelled.length, model.repairs];
    assert.deepEqual(after, before, "what was refused was done");
    for (const name of ENOUGH[rule]) {
      const { status } = await ask(port, method, template, bearer(name));
      assert.ok(status < 300 || status === 404 || status === 503, `${name}: ${status}`);
    }
  });

  it("is described by the documents as it is, and what is described was seen", () => {
    const described = operationsOf(ADMIN).map(([method, template, rule]) => `${method} ${template} ${rule ?? "open"}`);
    const feed = createLiveFeed({
      ...ADMIN_PORTS,
      admin: model,
      telemetry: createTestTelemetry(),
      onBug: (error) => assert.fail(String(error)),
    });
    const routes = adminRoutes({ admin: model, feed, consoleFiles: new Map() }, {}).map(
      ({ template, method = "GET", need }) =>
        `${method.toLowerCase()} ${template} ${typeof need === "string" ? need : "read"}`,
    );
    // Pairs are answered for in front of the other routes, on both ports by one handler.
    const pairs = operationsOf(DATA).flatMap(([method, template, rule]) =>
      template === "/v1/kv/{key}" ? [`${method} ${template} ${rule}`] : [],
    );
    assert.deepEqual(described.sort(), [...routes, ...pairs].sort());
    for (const { described: all, seen } of [conformance.data, conformance.admin]) {
      assert.deepEqual(
        [...all].filter((name) => / 40[13]$/.test(name) && !seen.has(name)),
        [],
      );
    }
  });

  it("would miss an operation without a rule", () => {
    const document = { paths: { "/v1/new": { get: {} } } };
    assert.throws(() => operationsOf(document), /get \/v1\/new has no rule/);
  });

  it("is asked again on a connection when the tokens have changed", async () => {
    const { port } = world;
    const agentless = (headers: Record<string, string>) => call(port, "GET", "/v1/kv/a", { headers });
    assert.notEqual((await agentless({ authorization: bearer("reader") })).status, 401);
    const kept = table;
    table = [];
    try {
      assert.equal((await agentless({ authorization: bearer("reader") })).status, 401);
    } finally {
      table = kept;
    }
  });
});

describe("an answer that goes on for long", () => {
  it("ends, not whole, once the token that asked for it is removed", async () => {
    const kept = table;
    const entries = Array.from({ length: 150 }, (_, index) => ({
      ...{ key: Buffer.from(`k${String(index).padStart(3, "0")}`), siblings: [], context: "c" },
    }));
    const [exportPage, backupDifference] = [model.exportPage, model.backupDifference];
    // The token is removed while the first page is read.
    model.exportPage = async (partition, after, entriesMax) => {
      const page = await exportPage(partition, after, entriesMax);
      table = [];
      return page;
    };
    model.backupDifference = async function* () {
      yield [{ key: Buffer.from("a"), record: Buffer.from("r") }];
      table = [];
      yield [{ key: Buffer.from("b"), record: Buffer.from("r") }];
      return { epoch: 1, gone: [] };
    };
    model.entries.push(...entries);
    try {
      for (const template of ["/v1/export", "/v1/backup", "/v1/backup/difference"]) {
        table = kept;
        const { path, body } = requestOf("get", template);
        const headers = { authorization: bearer("reader"), "content-type": "application/json" };
        const method = body === undefined ? "GET" : "POST";
        await assert.rejects(
          call(adminPort, method, path, { headers, ...(body === undefined ? {} : { body }) }),
          template,
        );
      }
    } finally {
      table = kept;
      model.entries.length = 0;
      Object.assign(model, { exportPage, backupDifference });
    }
  });
});

describe("a gate", () => {
  const request = (authorization: string | undefined, socket: object) =>
    ({ headers: authorization === undefined ? {} : { authorization }, socket }) as never;

  it("looks a connection's token up once, and again after the table or the token changed", () => {
    let looks = 0;
    let current: readonly TokenEntry[] = [entryOf("reader")];
    const counted = (entries: readonly TokenEntry[]) =>
      new Proxy(entries, {
        get(target, name, receiver) {
          if (name === Symbol.iterator) looks += 1;
          return Reflect.get(target, name, receiver) as unknown;
        },
      });
    let seen = counted(current);
    const gate = createGate({ table: () => seen }, NOBODY);
    const socket = {};
    for (let i = 0; i < 3; i += 1) assert.equal(gate.admit(request(bearer("reader"), socket)).name, "reader");
    assert.equal(looks, 1);
    assert.throws(() => gate.admit(request(bearer("writer"), socket)), { code: "UNAUTHENTICATED" });
    assert.equal(gate.admit(request(bearer("reader"), socket)).name, "reader");
    assert.equal(looks, 2);
    gate.admit(request(bearer("reader"), {}));
    assert.equal(looks, 3);
    current = [entryOf("writer")];
    seen = counted(current);
    assert.throws(() => gate.admit(request(bearer("reader"), socket)), { code: "UNAUTHENTICATED" });
  });

  it("gives callers without a token what the node gives to everybody, and never those with a wrong one", () => {
    const gate = createGate(source, { ...NOBODY, data: "read", cluster: "monitor" });
    const nobody = gate.admit(request(undefined, {}));
    gate.demandKey(nobody, Buffer.from("a"), false);
    gate.demand(nobody, "monitor");
    gate.demand(nobody, "read-all");
    assert.throws(() => gate.demandKey(nobody, Buffer.from("a"), true), { code: "UNAUTHENTICATED" });
    assert.throws(() => gate.demand(nobody, "admin"), { code: "UNAUTHENTICATED" });
    assert.throws(() => gate.admit(request(bearer("unknown"), {})), { code: "UNAUTHENTICATED" });
  });

  it("takes nothing away from who shows a token: its rights add to everybody's", () => {
    const gate = createGate(source, { ...NOBODY, data: "read-write", cluster: "monitor" });
    const administrator = gate.admit(request(bearer("administrator"), {}));
    for (const need of ["admin", "monitor", "read-all", "read-some", "restore"] as const)
      gate.demand(administrator, need);
    gate.demandKey(administrator, Buffer.from("a"), true);
    const inhabitant = gate.admit(request(bearer("inhabitant"), {}));
    gate.demandKey(inhabitant, Buffer.from("b"), true);
    assert.throws(() => gate.demand(inhabitant, "restore"), { code: "FORBIDDEN" });
    const readers = createGate(source, { ...NOBODY, data: "read" });
    const one = readers.admit(request(bearer("inhabitant"), {}));
    readers.demandKey(one, Buffer.from("b"), false);
    readers.demandKey(one, Buffer.from("a"), true);
    assert.throws(() => readers.demandKey(one, Buffer.from("b"), true), { code: "FORBIDDEN" });
    assert.throws(() => readers.demand(readers.admit(request(bearer("administrator"), {})), "restore"), {
      code: "FORBIDDEN",
    });
  });
});
