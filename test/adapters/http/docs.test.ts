/** The curl lines of docs/api.md do what stands beside them, in the order in which they stand there. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, it } from "@jest/globals";
import { createAdminServer } from "../../../node/adapters/http/admin.ts";
import { KV_PARAMETERS } from "../../../node/adapters/http/parse-request.ts";
import { PROBLEMS, WIRE_PROBLEMS } from "../../../node/adapters/http/problem.ts";
import { ADMIN_PORTS, createAdminModel } from "../../contract/http-admin-model.ts";
import { createTestTelemetry, inFront, startWorld, WORLD_OPTIONS } from "../../contract/http-world.ts";

const run = promisify(execFile);
const TEXT = readFileSync(join(import.meta.dirname, "../../../docs/api.md"), "utf8");

/** Prints each call's status on a line of its own, beside what the call prints anyway. */
const CURL = `curl() { command curl -sS -w '\\nstatus %{http_code}\\n' "$@"; }`;

describe("docs/api.md", () => {
  it("has curl lines that work as printed", async () => {
    const world = await startWorld(inFront);
    const ports = { ...ADMIN_PORTS, admin: createAdminModel(), telemetry: createTestTelemetry(), onBug: () => {} };
    const admin = createAdminServer(ports, WORLD_OPTIONS);
    const adminPort = await admin.start();
    const statuses: string[] = [];
    try {
      for (const [, block = ""] of TEXT.matchAll(/^```sh\n([\s\S]*?)^```$/gm)) {
        const script = block.replaceAll(":7400/", `:${world.port}/`).replaceAll(":7401/", `:${adminPort}/`);
        const { stdout } = await run("sh", ["-euc", `${CURL}\n${script}`]);
        statuses.push([...stdout.matchAll(/^status (\d+)$/gm)].map(([, status]) => status).join(" "));
      }
    } finally {
      await admin.stop(0);
      await world.stop();
    }
    assert.deepEqual(statuses, [
      "204 200 204",
      "204 204",
      "204 204 300",
      "204",
      "204 200",
      "200",
      "200 200 200 200 200 200",
      "200 202 200 204",
    ]);
  });

  it("names every parameter and every problem", () => {
    for (const name of Object.keys(KV_PARAMETERS)) assert.match(TEXT, new RegExp(`\`${name}[=\`]`), name);
    for (const [code, { status }] of [...Object.entries(PROBLEMS), ...Object.entries(WIRE_PROBLEMS)]) {
      assert.ok(TEXT.includes(`annulus:${code}`), code);
      assert.ok(TEXT.includes(String(status)), code);
    }
  });
});
