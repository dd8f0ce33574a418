/**
 * What one client may hold of a node, on either HTTP port: headers and bodies that trickle, too many connections, too many
 * requests on one. Others are served all the while, and the documented figures are those of the server.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "@jest/globals";
import { createAdminServer } from "../../../node/adapters/http/admin.ts";
import { RESTORE_BYTES_MAX } from "../../../node/adapters/http/backup.ts";
import { CHANGE_BYTES_MAX } from "../../../node/adapters/http/changes.ts";
import { BODY_TIMEOUT_MS, HEADER_BYTES_MAX, HTTP_TIMES } from "../../../node/adapters/http/http-server.ts";
import { Settings } from "../../../node/config.ts";
import { ADMIN_PORTS, createAdminModel } from "../../contract/http-admin-model.ts";
import { call, connectRaw, eventually, type RawConnection } from "../../contract/http-client.ts";
import { createTestTelemetry, inFront, startWorld, WORLD_OPTIONS } from "../../contract/http-world.ts";

const HEAD = "HTTP/1.1\r\nHost: x\r\n";
/** Short, so that a test sees the end of them. */
const SHORT = { headersTimeoutMs: 150, requestTimeoutMs: 300, connectionsMax: 4, requestsPerConnectionMax: 3 };
const TRICKLE_MS = 20;

type Port = {
  readonly port: number;
  readonly refused: () => number;
  /** What was asked of what stands behind the port. */
  readonly asked: () => number;
  /** A request that is in work until it is told to end. */
  readonly lasting: () => {
    readonly path: string;
    /** Resolves once so many are in work. */
    begun(count: number): Promise<void>;
    end(): void;
  };
  readonly stop: () => Promise<void>;
};

async function dataPort(): Promise<Port> {
  const world = await startWorld(inFront, SHORT);
  const { port, model, telemetry } = world;
  const refused = () => telemetry.counts.get("annulus.http.connections_refused") ?? 0;
  const stop = async () => {
    await world.stop();
    assert.deepEqual(world.bugs, []);
  };
  const lasting = () => {
    const before = model.asked.length;
    const end = model.hold();
    return { path: "/v1/kv/a", end, begun: (count: number) => eventually(() => model.asked.length === before + count) };
  };
  return { port, refused, asked: () => model.asked.length, lasting, stop };
}

async function adminPort(): Promise<Port> {
  const model = createAdminModel();
  const telemetry = createTestTelemetry();
  const bugs: unknown[] = [];
  const ports = { ...ADMIN_PORTS, admin: model, telemetry, onBug: (error: unknown) => bugs.push(error) };
  const server = createAdminServer(ports, { ...WORLD_OPTIONS, ...SHORT });
  const port = await server.start();
  const refused = () => telemetry.counts.get("annulus.http.connections_refused") ?? 0;
  const stop = async () => {
    await server.stop(0);
    assert.deepEqual(bugs, []);
  };
  const lasting = () => ({
    path: "/v1/events",
    end() {},
    begun: (count: number) => eventually(() => telemetry.gauges.get("annulus.console.viewers")?.() === count),
  });
  return { port, refused, asked: () => model.asked.length + model.repairs, lasting, stop };
}

/** The head and the beginning of an answer's status. */
const statusOf = (text: string) => Number(/^HTTP\/1\.1 (\d{3}) /.exec(text)?.[1]);

type Body = readonly [method: string, target: string];
const CHANGE: Body = ["POST", "/v1/cluster/changes"];
const PORTS: readonly [string, () => Promise<Port>, string, readonly Body[]][] = [
  ["data", dataPort, "/v1/kv/a", [["PUT", "/v1/kv/a"]]],
  ["admin", adminPort, "/healthz", [CHANGE, ["POST", "/v1/restore"]]],
];

describe.each(PORTS)("the %s port", (_name, open, path, bodies) => {
  let made: Port;

  beforeEach(async () => {
    made = await open();
  });

  afterEach(async () => {
    assert.ok((await call(made.port, "GET", path)).status < 500, "others are still served");
    await made.stop();
  });

  /** Whether one more connection is taken and answered; one that is not taken fails. */
  function isServed(): Promise<boolean> {
    return call(made.port, "GET", path).then(
      ({ status }) => status < 500,
      () => false,
    );
  }

  async function trickled(begin: string, piece: string): Promise<string> {
    const raw = await connectRaw(made.port);
    raw.send(begin);
    const timer = setInterval(() => raw.send(piece), TRICKLE_MS);
    const text = await raw.closes();
    clearInterval(timer);
    return text;
  }

  it("answers headers that trickle with 408 and closes the connection, and one that says nothing", async () => {
    for (const text of [await trickled(`GET ${path} HTTP/1.1\r\n`, "X: y\r\n"), await trickled("", "")])
      assert.match(text, /^HTTP\/1\.1 408 [\s\S]*annulus:REQUEST_TIMEOUT/);
  });

  it.each(bodies)("answers a body that trickles with 408 and closes the connection: %s %s", async (method, target) => {
    const before = made.asked();
    const head = `${method} ${target} ${HEAD}Content-Type: application/json\r\n`;
    for (const framing of ["Content-Length: 1000", "Transfer-Encoding: chunked"]) {
      const text = await trickled(`${head}${framing}\r\n\r\n`, framing.startsWith("C") ? " " : "1\r\n \r\n");
      assert.match(text, /^HTTP\/1\.1 408 [\s\S]*annulus:REQUEST_TIMEOUT/);
    }
    assert.equal(made.asked(), before, "something was done with half a body");
  });

  it("answers headers beyond 32 KiB with 431", async () => {
    const raw = await connectRaw(made.port);
    raw.send(`GET ${path} ${HEAD}X-Long: ${"x".repeat(HEADER_BYTES_MAX)}\r\n`);
    assert.equal(statusOf(await raw.closes()), 431);
  });

  it("closes the one on which nothing was asked for longest when there are too many, and none with a request in work", async () => {
    const lasting = made.lasting();
    const working = await connectRaw(made.port);
    working.send(`GET ${lasting.path} ${HEAD}\r\n`);
    await lasting.begun(1);
    const used = await connectRaw(made.port);
    const silent = [await connectRaw(made.port), await connectRaw(made.port)];
    used.send(`GET /nowhere ${HEAD}\r\n`);
    await used.receives(/^HTTP\/1\.1 404/);
    const last = await connectRaw(made.port);
    last.send(`GET /nowhere ${HEAD}\r\n`);
    await last.receives(/^HTTP\/1\.1 404/);
    await eventually(() => silent[0]?.socket.destroyed === true && made.refused() === 1);
    assert.ok(!working.socket.destroyed && !used.socket.destroyed);
    for (const raw of [working, used, last, ...silent]) raw.socket.destroy();
    lasting.end();
  });

  it("closes connections over its number as they come where all have a request in work, and takes others when one has gone", async () => {
    const lasting = made.lasting();
    const busy: RawConnection[] = [];
    for (let index = 0; index < SHORT.connectionsMax; index += 1) {
      const raw = await connectRaw(made.port);
      raw.send(`GET ${lasting.path} ${HEAD}\r\n`);
      busy.push(raw);
    }
    await lasting.begun(SHORT.connectionsMax);
    assert.equal(await (await connectRaw(made.port)).closes(), "");
    assert.equal(made.refused(), 1);
    for (const raw of busy) raw.socket.destroy();
    lasting.end();
    while (!(await isServed())) await new Promise(setImmediate);
  });

  it("closes a connection with the answer to its last request, and does nothing that was sent behind it", async () => {
    const raw = await connectRaw(made.port);
    const [method, target] = bodies[0] ?? CHANGE;
    raw.send(`GET ${path} ${HEAD}\r\n`.repeat(SHORT.requestsPerConnectionMax));
    raw.send(`${method} ${target} ${HEAD}Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}`);
    const before = made.asked();
    const text = await raw.closes();
    const answers = text.split(/(?=HTTP\/1\.1 )/);
    assert.equal(answers.length, SHORT.requestsPerConnectionMax);
    const saidLast = answers.map((answer) => /\r\nConnection: close\r\n/.test(answer));
    assert.deepEqual(saidLast, [false, false, true]);
    const reads = path === "/healthz" ? 0 : SHORT.requestsPerConnectionMax;
    assert.ok(made.asked() - before <= reads, "a request behind the last was done");
    const next = await connectRaw(made.port);
    next.send(`GET ${path} ${HEAD}\r\n`);
    assert.match(await next.receives(/\r\n\r\n/), /^HTTP\/1\.1 [24]/);
    next.socket.destroy();
  });
});

describe("the limits in docs/security.md", () => {
  const text = readFileSync(join(import.meta.dirname, "..", "..", "..", "docs", "security.md"), "utf8");
  const KIB = 1024;
  const preset = (name: "ANNULUS_CONNECTIONS_MAX" | "ANNULUS_CONNECTION_REQUESTS_MAX") =>
    Settings.shape[name].parse(undefined).toLocaleString("en");

  it.each([
    ["request line and headers", `${HEADER_BYTES_MAX / KIB} KiB within ${HTTP_TIMES.headersTimeoutMs / 1000} s`],
    ["the body of a pair", `${BODY_TIMEOUT_MS / 1000} s`],
    ["the body of a change", `${CHANGE_BYTES_MAX / KIB} KiB`],
    ["the body of a restore", `${RESTORE_BYTES_MAX / KIB / KIB} MiB`],
    ["a whole request", `${HTTP_TIMES.requestTimeoutMs / 1000} s`],
    ["an idle connection", `${HTTP_TIMES.keepAliveTimeoutMs / 1000} s`],
    ["connections to a port", `${preset("ANNULUS_CONNECTIONS_MAX")} (\`ANNULUS_CONNECTIONS_MAX\`)`],
    ["requests on a connection", `${preset("ANNULUS_CONNECTION_REQUESTS_MAX")} (\`ANNULUS_CONNECTION_REQUESTS_MAX\`)`],
  ])("are those of the server: %s", (what, figure) => {
    const row = text.split("\n").find((line) => line.startsWith(`| ${what} |`));
    assert.ok(row?.includes(figure), `${what}: expected ${figure}, found ${row}`);
  });
});
