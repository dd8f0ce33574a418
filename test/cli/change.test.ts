/** Changes of the ring on the command line, against the admin port of a node that plans every change alike. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, describe, it, jest } from "@jest/globals";
import { CommanderError } from "commander";
import { createAdminServer } from "../../node/adapters/http/admin.ts";
import type { ChangeView } from "../../node/adapters/http/admin-api.ts";
import type { HttpServer } from "../../node/adapters/http/http-server.ts";
import { allCommands } from "../../node/cli/commands.ts";
import { KvError } from "../../node/core/errors.ts";
import {
  ADMIN_PORTS,
  type AdminModel,
  createAdminModel,
  MODEL_CHANGE,
  MODEL_PLAN,
} from "../contract/http-admin-model.ts";
import { createTestTelemetry, WORLD_OPTIONS } from "../contract/http-world.ts";
import { closeServer, listenOnLoopback } from "./loopback.ts";
import { runCli } from "./run-cli.ts";

/** Each test starts the program a few times, which takes long on a busy machine. */
jest.setTimeout(60_000);

const NOBODY = "http://127.0.0.1:1";
const JOIN = ["join", "--name", "n2", "--address", "n2.example:7402"];
const ID = MODEL_CHANGE.id;

let model: AdminModel;
let server: HttpServer;
let env: Record<string, string>;

beforeEach(async () => {
  model = createAdminModel();
  server = createAdminServer(
    { ...ADMIN_PORTS, admin: model, telemetry: createTestTelemetry(), onBug: () => {} },
    WORLD_OPTIONS,
  );
  env = { ANNULUS_ADMIN_URL: `http://127.0.0.1:${await server.start()}` };
});

afterEach(() => server.stop(0));

async function run(
  args: readonly string[],
  input = "",
): Promise<{ exitCode: number | null; stdout: string; stderr: string }> {
  const { exitCode, stdout, stderr } = await runCli(args, { env, input });
  return { exitCode, stdout: stdout.toString(), stderr };
}

/** Runs a command in this process, which takes less long; resolves to its standard output. */
async function runHere([name, ...args]: readonly string[]): Promise<string> {
  const command = allCommands().find((one) => one.name() === name);
  assert(command !== undefined);
  command.exitOverride().configureOutput({ writeErr: () => {} });
  let written = "";
  const spy = jest.spyOn(process.stdout, "write").mockImplementation((part) => {
    written += String(part);
    return true;
  });
  try {
    await command.parseAsync([...args, "--admin-url", env.ANNULUS_ADMIN_URL ?? ""], { from: "user" });
  } finally {
    spy.mockRestore();
  }
  return written;
}

/** Answers one after the other; the last one again and again. */
function progress(...views: (Partial<ChangeView> | KvError)[]): void {
  let at = 0;
  Object.assign(model.changes, {
    progress: async () => {
      const view = views[Math.min(at++, views.length - 1)];
      if (view instanceof KvError) throw view;
      return { ...MODEL_CHANGE, ...view };
    },
  });
}

describe("a command that changes the ring", () => {
  it("shows first what moves, how much and how even it is afterwards, then begins", async () => {
    const { exitCode, stdout, stderr } = await run([...JOIN, "--yes"]);
    assert.deepEqual([exitCode, stderr], [0, ""]);
    assert.deepEqual(stdout.split("\n"), [
      "MEMBER  ZONE  WEIGHT  REPLICAS  SHARE   IDEAL   GETS  GIVES UP",
      "n1      a     100     2 -> 1    50.0 %  50.0 %  0     1",
      "n2      b     100     0 -> 1    50.0 %  50.0 %  1     0",
      "",
      "This change copies 1 replica of partitions, about 2.0 KiB. Afterwards each member holds just its share.",
      "note: There is 1 zone for N = 1.",
      `change ${ID} has begun`,
      `how far it is, and how it ended: annulus changes ${ID}`,
      "",
    ]);
    assert.deepEqual(
      model.asked.map(({ dryRun }) => dryRun),
      [true, false],
    );
  });

  it("begins nothing where there is no terminal to ask at, or when it only was to plan", async () => {
    const unasked = await run(JOIN, "y\n");
    assert.equal(unasked.exitCode, 2);
    assert.match(unasked.stdout, /This change copies 1 replica/);
    assert.match(unasked.stderr, /nothing has begun: .*--yes is needed/);
    assert.equal((await run([...JOIN, "--dry-run"])).exitCode, 0);
    const { exitCode, stdout } = await run([...JOIN, "--dry-run", "--json"]);
    assert.deepEqual([exitCode, JSON.parse(stdout)], [0, MODEL_PLAN]);
    assert.deepEqual(
      model.asked.map(({ dryRun }) => dryRun),
      [true, true, true],
    );
  });

  it.each([
    [[...JOIN], { join: [{ name: "n2", address: "n2.example:7402", zone: "default", weight: 100 }] }],
    [
      [...JOIN, "--zone", "b", "--weight", "0", "--force"],
      { join: [{ name: "n2", address: "n2.example:7402", zone: "b", weight: 0 }], force: true },
    ],
    [["leave", "n1", "n3"], { leave: ["n1", "n3"] }],
    [["replace", "n1"], { replace: ["n1"] }],
    [
      ["join", "n4=h:1@c*50", "n5=[::1]:2", "--name", "n6", "--address", "h:3"],
      {
        join: [
          { name: "n6", address: "h:3", zone: "default", weight: 100 },
          { name: "n4", address: "h:1", zone: "c", weight: 50 },
          { name: "n5", address: "[::1]:2", zone: "default", weight: 100 },
        ],
      },
    ],
    [
      ["replace", "n1", "n2", "--with", "n4=h:1@c*50", "--with", "n5=h:2@c"],
      {
        replace: ["n1", "n2"],
        join: [
          { name: "n4", address: "h:1", zone: "c", weight: 50 },
          { name: "n5", address: "h:2", zone: "c", weight: 100 },
        ],
      },
    ],
    [["weight", "n1", "250"], { weights: { n1: 250 } }],
    [["zone", "n1", "b"], { zones: { n1: "b" } }],
    [["drain", "n1", "n3"], { weights: { n1: 0, n3: 0 } }],
  ] as const)("asks with %j for just that", async (args, asked) => {
    const stdout = await runHere([...args, "--yes", "--json"]);
    assert.deepEqual(JSON.parse(stdout), { id: ID, ...MODEL_PLAN });
    const quorum = { readQuorum: undefined, writeQuorum: undefined, mode: undefined };
    const nothing = { join: [], leave: [], replace: [], weights: {}, zones: {}, quorum, force: false };
    assert.deepEqual(model.asked, [{ request: { ...nothing, ...asked }, dryRun: false }]);
  });

  it.each([
    [["join"], /name a member/],
    [["join", "--name", "n2"], /go together/],
    [["join", "--address", "h:1"], /go together/],
    [["join", "n4=h:1", "--zone", "b"], /need --name/],
    [["join", "n4"], /each is name=host:peerPort@zone\*weight, found "n4"/],
    [["join", "n4=h:1*20000"], /weight is a whole number from 0 to 10000/],
    [["leave"], /names/],
    [["weight", "n1", "1.5"], /from 0 to 10000/],
    [["weight", "n1", "10001"], /from 0 to 10000/],
    [["replace", "n1", "--with", "N4=h:1"], /name matches/],
    [["changes", "--cancel", ID, "--wait"], /--cancel goes alone/],
  ] as const)("refuses the arguments %j", async (args, message) => {
    await assert.rejects(runHere(args), (error) => error instanceof CommanderError && message.test(error.message));
    assert.deepEqual(model.asked, []);
  });

  it.each([
    [["changes", ID], /done/],
    [["changes", ID, "--wait"], /done/],
    [["changes", "--cancel", ID], /is cancelled/],
  ] as const)("asks on where a node that is no member does not know the change: %j", async (args, text) => {
    const stranger = createAdminModel();
    const unknown = async () => {
      throw new KvError("NOT_FOUND", `Cannot find the change ${ID}.`);
    };
    Object.assign(stranger.changes, { progress: unknown, cancel: unknown });
    const beside = createAdminServer(
      { ...ADMIN_PORTS, admin: stranger, telemetry: createTestTelemetry(), onBug: () => {} },
      WORLD_OPTIONS,
    );
    progress({ state: "done" });
    model.change = MODEL_CHANGE;
    try {
      const url = `http://127.0.0.1:${await beside.start()}`;
      const knowing = env.ANNULUS_ADMIN_URL;
      for (const urls of [`${url},${knowing}`, `${knowing},${url}`]) {
        env = { ANNULUS_ADMIN_URL: urls };
        // Which of them is asked first is drawn.
        for (let time = 0; time < 4; time++) assert.match(await runHere(args), text);
      }
    } finally {
      await beside.stop(0);
    }
  });

  it("says why the cluster refuses, and by its exit code whether the same may succeed later", async () => {
    model.refusal = new KvError("CHANGE_REFUSED", `Cannot change the ring: the change ${ID} is under way.`);
    const refused = await run([...JOIN, "--yes"]);
    assert.deepEqual([refused.exitCode, refused.stdout], [1, ""]);
    assert.match(refused.stderr, new RegExp(`409: .*${ID} is under way`));
    model.refusal = new KvError("QUORUM_UNAVAILABLE", "Cannot change the ring: 1 of 3 members answered.");
    assert.equal((await run([...JOIN, "--yes"])).exitCode, 5);
    env = { ANNULUS_ADMIN_URL: NOBODY };
    assert.equal((await run([...JOIN, "--yes"])).exitCode, 5);
  });

  it("passes over a node that cannot be reached, and asks no other when one may have got it", async () => {
    env = { ANNULUS_ADMIN_URL: `${NOBODY},${env.ANNULUS_ADMIN_URL}` };
    assert.equal((await run([...JOIN, "--yes"])).exitCode, 0);
    const before = model.asked.length;
    const silent = createServer((request, response) => {
      if (request.method === "POST") request.socket.destroy();
      else response.end();
    });
    silent.listen(0, "127.0.0.1");
    await once(silent, "listening");
    env = { ANNULUS_ADMIN_URL: `http://127.0.0.1:${(silent.address() as AddressInfo).port},${env.ANNULUS_ADMIN_URL}` };
    const { exitCode, stderr } = await run([...JOIN, "--yes", "--json"]);
    silent.close();
    assert.equal(exitCode, 5);
    assert.match(stderr, /may have been done all the same: see `annulus changes`/);
    assert.equal(model.asked.length, before);
  });

  it("is not sent to a node that hangs where another takes it", async () => {
    let posts = 0;
    const hanging = createServer((request) => {
      if (request.method === "POST") posts += 1;
    });
    const hangs = await listenOnLoopback(hanging);
    env = { ANNULUS_ADMIN_URL: `${hangs},${env.ANNULUS_ADMIN_URL}` };
    const { exitCode, stderr } = await run([...JOIN, "--yes", "--json"]);
    await closeServer(hanging);
    assert.deepEqual([exitCode, stderr, posts], [0, "", 0]);
  });

  it("stays until the end when it is told to, through nodes that do not answer for a while", async () => {
    const busy = new KvError("NOT_READY", "Cannot say: this node has no ring yet.");
    const unheard = new KvError("NOT_FOUND", "Cannot find the change.");
    progress(unheard, {}, busy, { state: "switch" }, { state: "cleaning", waitsFor: "n1 to drop" }, { state: "done" });
    const { exitCode, stdout, stderr } = await run([...JOIN, "--yes", "--wait"]);
    assert.equal(exitCode, 0);
    assert.match(stdout, new RegExp(`change ${ID} has begun\nchange ${ID} is done\n$`));
    const moved = "10 B of about 2.0 KiB, 0 of 1 replica";
    const waits = "waits for n2 to have all of what they get";
    assert.deepEqual(stderr.split("\n"), [
      `annulus: prepare, ${moved}, ${waits}`,
      `annulus: switch, ${moved}, ${waits}`,
      `annulus: cleaning, ${moved}, waits for n1 to drop`,
      `annulus: done, ${moved}, ${waits}`,
      "",
    ]);
  });

  it("fails when the change that it waits for is cancelled", async () => {
    progress({}, { state: "cancelled", waitsFor: undefined });
    const { exitCode, stderr } = await run([...JOIN, "--yes", "--wait"]);
    assert.equal(exitCode, 1);
    assert.match(stderr, new RegExp(`annulus: the change ${ID} was cancelled\n$`));
  });
});

describe("annulus changes", () => {
  it("says that there is none, and shows the one under way, which status does too", async () => {
    const none = await run(["changes"]);
    assert.deepEqual([none.exitCode, none.stderr], [0, ""]);
    assert.match(none.stdout, /^no change is under way\. How one ended: annulus changes ID; [^\n]*\n$/);
    assert.equal((await run(["changes", "--json"])).stdout, "null\n");
    assert.doesNotMatch((await run(["status"])).stdout, /change/);
    model.change = MODEL_CHANGE;
    const { exitCode, stdout } = await run(["changes"]);
    assert.equal(exitCode, 0);
    assert.deepEqual(stdout.split("\n"), [
      `change ${ID} since 1970-01-01T00:00:01.000Z: join n2`,
      "prepare, 10 B of about 2.0 KiB, 0 of 1 replica, waits for n2 to have all of what they get, ring epoch 2",
      "",
      "MEMBER  EPOCH  COMPLETE  BYTES            REPLICAS",
      "n2      1      no        10 B of 2.0 KiB  0 of 1",
      "",
    ]);
    const line = `change ${ID} since 1970-01-01T00:00:01.000Z: join n2; prepare, 10 B of about 2.0 KiB, 0 of 1 replica`;
    assert.ok((await run(["status"])).stdout.endsWith(`\n${line}\n`));
  });

  it("shows one by its id, and says by its exit code that there is none", async () => {
    model.change = { ...MODEL_CHANGE, state: "done", waitsFor: undefined, members: [] };
    const { exitCode, stdout } = await run(["changes", ID, "--json"]);
    assert.equal(exitCode, 0);
    assert.equal((JSON.parse(stdout) as ChangeView).state, "done");
    assert.equal((await run(["changes", ID, "--wait"])).exitCode, 0);
    const missing = await run(["changes", "../cluster"]);
    assert.equal(missing.exitCode, 4);
    assert.match(missing.stderr, /404: Cannot find the change/);
  });

  it("cancels one, unless it is too late for that", async () => {
    model.change = MODEL_CHANGE;
    const cancelled = await run(["changes", "--cancel", ID]);
    assert.deepEqual([cancelled.exitCode, cancelled.stdout], [0, `change ${ID} is cancelled\n`]);
    assert.deepEqual(model.cancelled, [ID]);
    model.refusal = new KvError("CHANGE_REFUSED", "Cannot cancel the change: it has switched.");
    const late = await run(["changes", "--cancel", ID]);
    assert.equal(late.exitCode, 1);
    assert.match(late.stderr, /it has switched/);
    assert.equal((await run(["changes", "--cancel", "0"])).exitCode, 4);
  });

  it("says that what answers is no admin port", async () => {
    const other = createServer((_request, response) => response.end("hello"));
    other.listen(0, "127.0.0.1");
    await once(other, "listening");
    env = { ANNULUS_ADMIN_URL: `http://127.0.0.1:${(other.address() as AddressInfo).port}` };
    const { exitCode, stderr } = await run(["changes"]);
    other.close();
    assert.equal(exitCode, 1);
    assert.match(stderr, /this is not the admin port of a node/);
  });
});
