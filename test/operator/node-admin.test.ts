/** The operator's client of the nodes against the nodes' own admin server. */
import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, describe, it } from "@jest/globals";
import { createAdminServer } from "../../node/adapters/http/admin.ts";
import type { HttpServer } from "../../node/adapters/http/http-server.ts";
import { createNodeAdmin } from "../../operator/adapters/node-admin.ts";
import { NodeSilentError } from "../../operator/ports.ts";
import { TestCredentials } from "../adapters/tcp/tls-world.ts";
import { type AdminModel, createAdminModel } from "../contract/http-admin-model.ts";
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
      { admin: model, telemetry: createTestTelemetry(), onBug: (error: unknown) => assert.fail(String(error)) },
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
