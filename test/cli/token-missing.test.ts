/** Backup and export with a token that may see the cluster and not the keys: refused, not unavailable. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it, jest } from "@jest/globals";
import { createGate } from "../../node/adapters/http/gate.ts";
import { KvError } from "../../node/core/errors.ts";
import { FakeAdmin } from "./fake-admin.ts";
import { runCli } from "./run-cli.ts";

/** Each test starts the program, which takes long on a busy machine. */
jest.setTimeout(60_000);

/** What a node says to a token that may not read all keys. */
function refusalText(): string {
  const gate = createGate(
    { table: () => [] },
    { name: "anonymous", data: "none", prefixes: undefined, cluster: "none" },
  );
  try {
    gate.demand({ name: "watcher", data: "none", prefixes: undefined, cluster: "monitor" }, "read-all");
  } catch (error) {
    if (error instanceof KvError) return error.message;
    throw error;
  }
  throw new Error("it was let through");
}

describe("a token without the right to read keys", () => {
  let directory: string;
  let admin: FakeAdmin;
  let env: Record<string, string>;

  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), "annulus-refused-"));
    admin = new FakeAdmin("n1");
    admin.keysRefusal = refusalText();
    env = { ANNULUS_ADMIN_URL: await admin.start() };
  });
  afterEach(async () => {
    await admin.stop();
    rmSync(directory, { recursive: true, force: true });
  });

  it.each(["backup", "export"])("ends an %s as refused, and is told what it lacks", async (command) => {
    const args = command === "backup" ? [command, join(directory, "place")] : [command];
    const { exitCode, stderr } = await runCli(args, { env });
    assert.match(stderr, /^annulus: 403: Cannot read all keys: expected a token with data "read" and no prefixes,/m);
    assert.doesNotMatch(stderr, /repeat/);
    assert.equal(exitCode, 1);
  });
});
