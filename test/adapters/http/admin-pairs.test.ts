/** The admin port answers for pairs as the data port does: the console's page may ask its own port only. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { createAdminServer } from "../../../node/adapters/http/admin.ts";
import { ADMIN_PORTS, createAdminModel } from "../../contract/http-admin-model.ts";
import { call } from "../../contract/http-client.ts";
import { createTestTelemetry, WORLD_OPTIONS } from "../../contract/http-world.ts";

describe("pairs on the admin port", () => {
  it("are written and read by the handler of the data port, and closed with the admin port", async () => {
    const onBug = (error: unknown) => assert.fail(String(error));
    const ports = { ...ADMIN_PORTS, admin: createAdminModel(), telemetry: createTestTelemetry(), onBug };
    const server = createAdminServer(ports, WORLD_OPTIONS);
    const port = await server.start();
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
});
