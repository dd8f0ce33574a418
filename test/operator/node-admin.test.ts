/** The operator's client of the nodes against the nodes' own admin server. */
import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, describe, it } from "@jest/globals";
import { createAdminServer } from "../../node/adapters/http/admin.ts";
import { createGate } from "../../node/adapters/http/gate.ts";
import type { HttpServer } from "../../node/adapters/http/http-server.ts";
import { digestOf } from "../../node/core/access.ts";
import { createNodeAdmin } from "../../operator/adapters/node-admin.ts";
import { NodeSilentError } from "../../operator/ports.ts";
import { TestCredentials } from "../adapters/tcp/tls-world.ts";
import { ADMIN_PORTS, type AdminModel, createAdminModel } from "../contract/http-admin-model.ts";
import { createTestTelemetry, WORLD_OPTIONS } from "../contract/http-world.ts";
import { TestAuthority } from "../tls/authority.ts";

const NOW_MS = 1_800_000_000_000;
const TIME = { monotonicMs: () => 0, wallMs: () => NOW_MS, after: () => ({ cancel() {} }) };
const TARGET = { pod: "n1", ip: "127.0.0.1" };

let model: AdminModel;
let server: HttpServer;
let port: number;

beforeEach(async () => {
  model = createAdminModel();
  const ports = {
    ...ADMIN_PORTS,
    admin: model,
    telemetry: createTestTelemetry(),
    onBug: (error: unknown) => assert.fail(String(error)),
  };
  server = createAdminServer(ports, WORLD_OPTIONS);
  port = await server.start();
});

afterEach(() => server.stop(0));

describe("a node whose admin port speaks TLS", () => {
  it("is asked by its certified name, and silent where its certificate is another's", async () => {
    const authority = await TestAuthority.create("ours");
    const other = await TestAuthority.create("other");
    const name = "n1.c-peers.default.svc";
    const issued = await authority.issue({ names: [name] });
    const secure = createAdminServer(
      {
        ...ADMIN_PORTS,
        admin: model,
        telemetry: createTestTelemetry(),
        onBug: (error: unknown) => assert.fail(String(error)),
      },
      { ...WORLD_OPTIONS, tls: new TestCredentials({ ...issued, authorities: undefined }) },
    );
    const admin = createNodeAdmin(TIME, await secure.start());
    const ask = (tls: { authorities: string; name: string }) => admin.ask({ ...TARGET, tls });
    assert.equal((await ask({ authorities: authority.pem, name })).name, "n1");
    await assert.rejects(ask({ authorities: authority.pem, name: "n2.c-peers.default.svc" }), NodeSilentError);
    await assert.rejects(ask({ authorities: other.pem, name }), NodeSilentError);
    // The same name under an authority that is known by now.
    assert.equal((await ask({ authorities: other.pem + authority.pem, name })).name, "n1");
    await assert.rejects(admin.ask(TARGET), NodeSilentError);
    await secure.stop(0);
  });
});

describe("a node that asks for tokens", () => {
  const TOKEN = "t".repeat(43);
  const admitted = { name: "annulus.admin", data: "none", cluster: "admin", prefixes: undefined } as const;

  it("is shown the one it asks for, and silent to another: an order that was not heard is no refusal", async () => {
    const source = { table: () => [{ digest: digestOf(TOKEN), grant: admitted }] };
    const gate = createGate(source, { name: "anonymous", data: "none", cluster: "none", prefixes: undefined });
    const closed = createAdminServer(
      {
        ...ADMIN_PORTS,
        admin: model,
        telemetry: createTestTelemetry(),
        onBug: (error: unknown) => assert.fail(String(error)),
        gate,
      },
      WORLD_OPTIONS,
    );
    const admin = createNodeAdmin(TIME, await closed.start());
    const answer = await admin.ask({ ...TARGET, token: TOKEN });
    assert.equal(answer.name, "n1");
    assert.ok(answer.knowsTokens);
    assert.equal((await admin.change({ ...TARGET, token: TOKEN }, { weights: { n1: 200 } })).kind, "accepted");
    const asked = model.asked.length;
    for (const target of [TARGET, { ...TARGET, token: "u".repeat(43) }]) {
      await assert.rejects(admin.ask(target), NodeSilentError);
      await assert.rejects(admin.change(target, { weights: { n1: 100 } }), (error: Error) => {
        assert.ok(error instanceof NodeSilentError && error.message.includes("401"));
        return !error.message.includes("u".repeat(43));
      });
    }
    assert.equal(model.asked.length, asked);
    await closed.stop(0);
  });

  it("does not get a token that was meant for another, however it points to itself", async () => {
    const seen: (string | undefined)[] = [];
    const thief = createServer((request, response) => {
      seen.push(request.headers.authorization);
      response.end("{}");
    });
    await new Promise<void>((resolve) => thief.listen(0, resolve));
    const away = `http://127.0.0.1:${(thief.address() as AddressInfo).port}/`;
    const node = createServer((_request, response) => void response.writeHead(307, { Location: away }).end());
    await new Promise<void>((resolve) => node.listen(0, resolve));
    const admin = createNodeAdmin(TIME, (node.address() as AddressInfo).port);
    await assert.rejects(admin.ask({ ...TARGET, token: TOKEN }), NodeSilentError);
    await assert.rejects(admin.change({ ...TARGET, token: TOKEN }, {}), NodeSilentError);
    assert.deepEqual(seen, []);
    for (const server of [node, thief]) await new Promise((resolve) => server.close(resolve));
  });
});

describe("what a node answers", () => {
  it("is read whole: identity, ring, hints, health, disk", async () => {
    const page = "annulus_store_free_bytes 70\nannulus_store_table_bytes 30\n";
    model.metricsText = async () => page;
    model.progress = {
      running: false,
      rounds: 1,
      owned: 1,
      built: 1,
      partitions: [{ partition: 0, equalAtMs: 5_000 }],
    };
    const answer = await createNodeAdmin(TIME, port).ask(TARGET);
    assert.equal(answer.clusterId, "c");
    assert.equal(answer.name, "n1");
    assert.equal(answer.ringEpoch, 1);
    assert.equal(answer.ownState, "active");
    assert.deepEqual([...(answer.hints ?? [])], [["n2", 3]]);
    assert.deepEqual(answer.disk, { usedBytes: 30, freeBytes: 70 });
    assert.equal(answer.change, undefined);
    assert.deepEqual(
      answer.ring?.members.map(({ name, owned }) => [name, owned]),
      [["n1", 2]],
    );
  });

  it("leaves unknown what is not said: hints that are still counted, a disk without figures", async () => {
    const cluster = model.cluster;
    model.cluster = async () => ({ ...(await cluster()), hints: { complete: false, waiting: [] } });
    const answer = await createNodeAdmin(TIME, port).ask(TARGET);
    assert.equal(answer.hints, undefined);
    assert.equal(answer.disk, undefined);
  });

  it("takes the disk for unknown where its free space is not told, and for full where there is none", async () => {
    for (const [free, disk] of [
      ["", undefined],
      ["annulus_store_free_bytes 0\n", { usedBytes: 30, freeBytes: 0 }],
    ] as const) {
      model.metricsText = async () => `${free}annulus_store_table_bytes 30\n`;
      assert.deepEqual((await createNodeAdmin(TIME, port).ask(TARGET)).disk, disk);
    }
  });

  it("tells of a change what it does, in the words by which one that is not wanted is known", async () => {
    const { cluster } = model;
    const moved = { movedBytes: 1, totalBytes: 2, movedPartitions: 1, totalPartitions: 2 };
    const transition = { id: "1f", phase: "prepare", kind: "drain n2; w 3", startedAtMs: 0, ...moved } as const;
    model.cluster = async () => ({ ...(await cluster()), transition });
    const { change } = await createNodeAdmin(TIME, port).ask(TARGET);
    assert.deepEqual([change?.phase, change?.kind], ["prepare", "drain n2; w 3"]);
  });
});

describe("a node that does not answer", () => {
  it("is silent, whether it is away, not started yet, or not understood", async () => {
    const admin = createNodeAdmin(TIME, port);
    model.ringless = true;
    await assert.rejects(admin.ask(TARGET), NodeSilentError);
    const strange = createServer((_request, response) => response.end('{"id": 7}'));
    await new Promise<void>((resolve) => strange.listen(0, resolve));
    await assert.rejects(
      createNodeAdmin(TIME, (strange.address() as AddressInfo).port).ask(TARGET),
      /not understood: node|not understood/,
    );
    await new Promise((resolve) => strange.close(resolve));
    await assert.rejects(createNodeAdmin(TIME, 1).ask(TARGET), NodeSilentError);
  });
});

describe("what answers in a node's place", () => {
  it("is silent when it answers without an end: a pod that somebody gave a member's labels fills nobody's memory", async () => {
    let sent = 0;
    const endless = createServer((_request, response) => {
      const chunk = Buffer.alloc(1 << 20, " ");
      const send = () => {
        while (!response.destroyed && sent < 400) {
          sent += 1;
          if (!response.write(chunk)) return void response.once("drain", send);
        }
        response.end();
      };
      send();
    });
    await new Promise<void>((resolve) => endless.listen(0, resolve));
    // Too long, or too late on a machine that has other things to do.
    await assert.rejects(createNodeAdmin(TIME, (endless.address() as AddressInfo).port).ask(TARGET), NodeSilentError);
    endless.closeAllConnections();
    await new Promise((resolve) => endless.close(resolve));
    assert.ok(sent < 400, `${sent} MiB were taken`);
  });
});

describe("an order", () => {
  it("is carried as the contract says, and its answer's id is kept", async () => {
    const seen: string[] = [];
    const answers: [number, string][] = [
      [202, '{"id": "change-1"}'],
      [204, ""],
      [409, '{"detail": "Cannot cancel the change: it has switched."}'],
    ];
    const node = createServer((request, response) => {
      let body = "";
      request.on("data", (chunk: Buffer) => {
        body += chunk.toString();
      });
      request.on("end", () => {
        seen.push(`${request.method} ${request.url} ${body}`);
        const [status, text] = answers[seen.length - 1] as [number, string];
        response.writeHead(status, { "Content-Type": "application/json" });
        response.end(text);
      });
    });
    await new Promise<void>((resolve) => node.listen(0, resolve));
    const admin = createNodeAdmin(TIME, (node.address() as AddressInfo).port);
    assert.deepEqual(await admin.change(TARGET, { weights: { n1: 200 } }), { kind: "accepted", id: "change-1" });
    assert.deepEqual(await admin.cancel(TARGET, "change-1"), { kind: "accepted", id: "change-1" });
    assert.deepEqual(await admin.cancel(TARGET, "change-1"), {
      kind: "refused",
      why: "Cannot cancel the change: it has switched.",
    });
    const cancel = "DELETE /v1/cluster/changes/change-1 ";
    assert.deepEqual(seen, ['POST /v1/cluster/changes {"weights":{"n1":200}}', cancel, cancel]);
    await new Promise((resolve) => node.close(resolve));
  });
});
