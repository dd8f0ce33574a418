/** Changes of the ring on the admin port, held against the OpenAPI document: what is read, refused and answered. */
import assert from "node:assert/strict";
import { afterAll, afterEach, beforeEach, describe, it } from "@jest/globals";
import { createAdminServer } from "../../../node/adapters/http/admin.ts";
import { CHANGE_BYTES_MAX, CHANGE_PARAMETERS } from "../../../node/adapters/http/changes.ts";
import type { HttpServer } from "../../../node/adapters/http/http-server.ts";
import { adminDocument } from "../../../node/adapters/http/openapi-admin.ts";
import { KvError } from "../../../node/core/errors.ts";
import {
  ADMIN_PORTS,
  type AdminModel,
  createAdminModel,
  MODEL_CHANGE,
  MODEL_PLAN,
} from "../../contract/http-admin-model.ts";
import { type Answer, call, connectRaw } from "../../contract/http-client.ts";
import { createConformance } from "../../contract/http-openapi.ts";
import { createTestTelemetry, WORLD_OPTIONS } from "../../contract/http-world.ts";

const PATH = "/v1/cluster/changes";
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

afterEach(async () => {
  await server.stop(0);
  assert.deepEqual(bugs, []);
});

afterAll(() => {
  const here = [...conformance.described].filter(
    (name) => name.includes(` ${PATH}`) && !/ 40[13]$/.test(name), // Those are access.test.ts's.
  );
  assert.ok(here.length > 10);
  assert.deepEqual(
    here.filter((name) => !conformance.seen.has(name)),
    [],
  );
});

const json = (answer: Answer) => JSON.parse(answer.body.toString()) as Record<string, unknown>;

async function ask(body: unknown, query = ""): Promise<Answer> {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  const answer = await call(port, "POST", PATH + query, { body: text });
  conformance.check("POST", PATH, answer);
  return answer;
}

async function at(method: "GET" | "DELETE", id: string): Promise<Answer> {
  const answer = await call(port, method, `${PATH}/${id}`);
  conformance.check(method, `${PATH}/{id}`, answer);
  return answer;
}

const NOTHING = { join: [], leave: [], replace: [], weights: {}, zones: {}, quorum: {}, force: false };

describe("asking for a change", () => {
  it("hands everything over, and answers with its id, its place and its plan", async () => {
    const body = {
      join: [{ name: "n4", address: "n4.example:7402", zone: "b", weight: 50 }],
      leave: ["n1"],
      replace: ["n2"],
      weights: { n3: 200 },
      zones: { n3: "d" },
      quorum: { r: 1, w: 3, mode: "strict" },
      force: true,
    };
    const answer = await ask(body);
    assert.equal(answer.status, 202);
    assert.equal(answer.headers.location, `${PATH}/${MODEL_CHANGE.id}`);
    assert.deepEqual(json(answer), { id: MODEL_CHANGE.id, ...MODEL_PLAN });
    const quorum = { readQuorum: 1, writeQuorum: 3, mode: "strict" };
    assert.deepEqual(model.asked, [{ request: { ...body, quorum }, dryRun: false }]);
  });

  it("takes what is left out for nothing, and a member without zone or weight for an ordinary one", async () => {
    assert.equal((await ask({ join: [{ name: "n4", address: "h:1" }] })).status, 202);
    const join = [{ name: "n4", address: "h:1", zone: "default", weight: 100 }];
    const quorum = { readQuorum: undefined, writeQuorum: undefined, mode: undefined };
    assert.deepEqual(model.asked[0]?.request, { ...NOTHING, join, quorum });
  });

  it("only plans in a dry run", async () => {
    const answer = await ask({ leave: ["n1"] }, "?dryRun=true");
    assert.equal(answer.status, 200);
    assert.equal(answer.headers.location, undefined);
    assert.deepEqual(json(answer), MODEL_PLAN);
    assert.equal(model.asked[0]?.dryRun, true);
    assert.equal((await ask({ leave: ["n1"] }, "?dryRun=false")).status, 202);
    for (const query of ["?dryRun=yes", "?dryRun", "?dryrun=true", "?dryRun=true&dryRun=true"]) {
      assert.equal((await ask({ leave: ["n1"] }, query)).status, 400, query);
    }
    assert.equal(model.asked.length, 2);
    assert.deepEqual(CHANGE_PARAMETERS, ["dryRun"]);
  });

  it.each([
    ["", /expected JSON/],
    ["{", /expected JSON/],
    ["\xff", /expected JSON|expected object/],
    ["null", /expected object, received null/],
    ["[]", /expected object, received array/],
    [{ forse: true }, /forse/],
    [{ join: [{ name: "n4", address: "h:1", weigth: 1 }] }, /"join.0": .*weigth/],
    [{ join: [{ name: "n4" }] }, /"join.0.address"/],
    [{ join: { name: "n4" } }, /"join"/],
    [{ leave: "n1" }, /"leave"/],
    [{ leave: [1] }, /"leave.0"/],
    [{ weights: { n1: "200" } }, /"weights.n1"/],
    [{ weights: { n1: -1 } }, /"weights.n1"/],
    [{ weights: { n1: 1.5 } }, /"weights.n1"/],
    [{ quorum: { n: 3 } }, /"quorum": .*\bn\b/],
    [{ quorum: { mode: "loose" } }, /"quorum.mode"/],
    [{ force: "yes" }, /"force"/],
  ])("refuses the body %j, and says what is wrong", async (body, message) => {
    const answer = await ask(body);
    assert.equal(answer.status, 400);
    assert.match(String(json(answer).detail), message);
    assert.deepEqual(model.asked, []);
  });

  it("says why it is refused: another one runs, it would be unsafe, too few members, no ring", async () => {
    model.refusal = new KvError("CHANGE_REFUSED", "Cannot change the ring: the change 00000000000000ab is under way.");
    const refused = await ask({ leave: ["n1"] });
    assert.equal(refused.status, 409);
    assert.match(String(json(refused).detail), /00000000000000ab/);
    assert.equal(json(refused).type, "annulus:CHANGE_REFUSED");
    model.refusal = new KvError("QUORUM_UNAVAILABLE", "Cannot change the ring: 1 of 3 members answered.");
    const alone = await ask({ leave: ["n1"] });
    assert.deepEqual([alone.status, alone.headers["retry-after"], alone.headers["kv-outcome"]], [503, "1", "none"]);
    model.refusal = new KvError("TIMED_OUT", "Cannot change the ring: nobody agreed in time.", { outcome: "unknown" });
    const unknown = await ask({ leave: ["n1"] });
    assert.deepEqual([unknown.status, unknown.headers["kv-outcome"]], [504, "unknown"]);
    model.ringless = true;
    assert.equal((await ask({ leave: ["n1"] })).status, 503);
  });

  it("takes no body over its limit, announced or not, and serves the connection's next request", async () => {
    const body = JSON.stringify({ leave: ["n".repeat(CHANGE_BYTES_MAX)] });
    assert.equal((await ask(body)).status, 413);
    const chunked = await call(port, "POST", PATH, { body, chunked: true });
    conformance.check("POST", PATH, chunked);
    assert.equal(chunked.status, 413);
    const raw = await connectRaw(port);
    raw.send(`POST ${PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
    raw.send("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
    await raw.receives(/HTTP\/1\.1 413 [\s\S]*HTTP\/1\.1 200 /);
    raw.socket.destroy();
    assert.deepEqual(model.asked, []);
  });

  it("reads a chunked body, and lets a client that waits for it go on", async () => {
    const body = JSON.stringify({ leave: ["n1"] });
    const chunked = await call(port, "POST", PATH, { body, chunked: true });
    assert.equal(chunked.status, 202);
    const raw = await connectRaw(port);
    raw.send(`POST ${PATH} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: ${body.length}\r\n\r\n`);
    await raw.receives(/HTTP\/1\.1 100 Continue/);
    raw.send(body);
    await raw.receives(/HTTP\/1\.1 202 /);
    raw.socket.destroy();
    assert.equal(model.asked.length, 2);
  });

  it("begins nothing for a client that leaves in the middle of its body", async () => {
    const raw = await connectRaw(port);
    raw.send(`POST ${PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\n{"leave"`);
    raw.socket.destroy();
    assert.equal((await call(port, "GET", "/healthz")).status, 200);
    assert.deepEqual(model.asked, []);
  });
});

describe("a change that runs", () => {
  const moved = { movedBytes: 10, totalBytes: 2_000, movedPartitions: 0, totalPartitions: 1 };

  it("is shown with what it has moved and what it waits for, and in the cluster's view", async () => {
    model.change = MODEL_CHANGE;
    const answer = await at("GET", MODEL_CHANGE.id);
    const startedAt = "1970-01-01T00:00:01.000Z";
    assert.equal(answer.status, 200);
    assert.deepEqual(json(answer), {
      ...{ id: MODEL_CHANGE.id, state: "prepare", kind: "join n2", startedAt, epoch: 2, ...moved },
      waitsFor: "n2 to have all of what they get",
      members: [{ name: "n2", epoch: 1, complete: false, ...moved }],
    });
    const cluster = await call(port, "GET", "/v1/cluster");
    conformance.check("GET", "/v1/cluster", cluster);
    const transition = { id: MODEL_CHANGE.id, phase: "prepare", kind: "join n2", startedAt, ...moved };
    assert.deepEqual(json(cluster).transition, transition);
  });

  it("is shown by its outcome alone where no more is remembered", async () => {
    const { waitsFor: _, ...rest } = MODEL_CHANGE;
    model.change = { ...rest, state: "done", members: [] };
    Object.assign(model.change, { kind: undefined, startedAtMs: undefined });
    assert.deepEqual(json(await at("GET", MODEL_CHANGE.id)), {
      ...{ id: MODEL_CHANGE.id, state: "done", epoch: 2, ...moved },
      members: [],
    });
  });

  it("is cancelled, unless it has switched", async () => {
    model.change = MODEL_CHANGE;
    const answer = await at("DELETE", MODEL_CHANGE.id);
    assert.deepEqual([answer.status, answer.body.length], [204, 0]);
    assert.deepEqual(model.cancelled, [MODEL_CHANGE.id]);
    model.refusal = new KvError("CHANGE_REFUSED", "Cannot cancel the change: it has switched.");
    assert.equal((await at("DELETE", MODEL_CHANGE.id)).status, 409);
    model.refusal = new KvError("TIMED_OUT", "Cannot cancel the change: nobody agreed in time.", {
      outcome: "unknown",
    });
    assert.equal((await at("DELETE", MODEL_CHANGE.id)).status, 504);
    assert.equal(model.cancelled.length, 1);
  });

  it("is not found under another id, nor without a ring", async () => {
    for (const method of ["GET", "DELETE"] as const) {
      assert.equal((await at(method, "0000000000000000")).status, 404);
      model.ringless = true;
      assert.equal((await at(method, MODEL_CHANGE.id)).status, 503);
      model.ringless = false;
    }
  });

  it("has no other methods, which is said", async () => {
    const put = await call(port, "PUT", `${PATH}/${MODEL_CHANGE.id}`);
    assert.deepEqual([put.status, put.headers.allow], [405, "GET, HEAD, DELETE"]);
    assert.match(String(json(put).detail), /expected GET, HEAD or DELETE/);
    const get = await call(port, "GET", PATH);
    assert.deepEqual([get.status, get.headers.allow], [405, "POST"]);
  });
});
