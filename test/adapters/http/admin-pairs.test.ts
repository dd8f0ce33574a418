/** The admin port answers for pairs as the data port does: the console's page may ask its own port only. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { createAdminServer } from "../../../node/adapters/http/admin.ts";
import { ADMIN_PORTS, createAdminModel } from "../../contract/http-admin-model.ts";
import { call } from "../../contract/http-client.ts";
import { createTestTelemetry, WORLD_OPTIONS } from "../../contract/http-world.ts";

/** An admin server over a small cluster in memory. */
async function started() {
  const onBug = (error: unknown) => assert.fail(String(error));
  const ports = { ...ADMIN_PORTS, admin: createAdminModel(), telemetry: createTestTelemetry(), onBug };
  const server = createAdminServer(ports, WORLD_OPTIONS);
  return { server, port: await server.start() };
}

describe("pairs on the admin port", () => {
  it("are written and read by the handler of the data port, and closed with the admin port", async () => {
    const { server, port } = await started();
    try {
      const put = await call(port, "PUT", "/v1/kv/a", { headers: { "content-type": "text/plain" }, body: "one" });
      assert.equal(put.status, 204);
      const found = await call(port, "GET", "/v1/kv/a");
      assert.deepEqual([found.status, found.body.toString()], [200, "one"]);
      assert.equal(found.headers["kv-context"], put.headers["kv-context"]);
      assert.equal((await call(port, "GET", "/v1/kv/a?r=99")).status, 400);
    } finally {
      await server.stop(0);
    }
    await assert.rejects(call(port, "GET", "/v1/kv/a"));
  });

  it("are never a document of the console's origin, whatever type a client of the data port gave them", async () => {
    const { server, port } = await started();
    try {
      const html = { headers: { "content-type": "text/html" }, body: "<script>sessionStorage</script>" };
      assert.equal((await call(port, "PUT", "/v1/kv/page", html)).status, 204);
      const { headers } = await call(port, "GET", "/v1/kv/page");
      assert.equal(headers["content-type"], "text/html");
      assert.match(String(headers["content-security-policy"]), /(^|; )sandbox(;|$)/);
      assert.equal(headers["x-content-type-options"], "nosniff");
    } finally {
      await server.stop(0);
    }
  });

  it("and changes are not taken from a page of another site, which a browser lets post without asking", async () => {
    const { server, port } = await started();
    try {
      const own = { origin: `http://127.0.0.1:${port}`, host: `127.0.0.1:${port}` };
      const simple = { "content-type": "text/plain" };
      for (const foreign of [
        { ...own, origin: "http://elsewhere.example" },
        { ...own, "sec-fetch-site": "cross-site" },
      ]) {
        for (const path of ["/v1/repair", "/v1/cluster/changes?dryRun=true"]) {
          const { status } = await call(port, "POST", path, { headers: { ...simple, ...foreign }, body: "{}" });
          assert.equal(status, 403, path);
        }
      }
      assert.equal((await call(port, "POST", "/v1/repair", { headers: own })).status, 202);
      assert.equal((await call(port, "POST", "/v1/repair")).status, 202);
    } finally {
      await server.stop(0);
    }
  });
});
