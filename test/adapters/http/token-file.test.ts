/** The file of tokens: what it may say, what it is refused for, and how a running node follows it. */
import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "@jest/globals";
import { followTokens, parseTokens, TOKEN_COUNT_MAX } from "../../../node/adapters/http/token-file.ts";
import { systemTime } from "../../../node/adapters/system.ts";
import { digestOf, grantOf } from "../../../node/core/access.ts";
import { createTestTelemetry } from "../../contract/http-world.ts";

const SECRET = "V2hhdCBuZXZlciBtYXkgYmUgc2VlbiBhbnl3aGVyZSE";
const hex = (token: string) => Buffer.from(digestOf(token)).toString("hex");
const file = (...tokens: object[]) => JSON.stringify({ tokens });

describe("a file of tokens", () => {
  it("gives each token its rights; prefixes are bytes, written as in a URL", () => {
    const table = parseTokens(
      file(
        { name: "shop", sha256: hex("one"), data: "read-write", prefixes: ["cart%2F", "%ff"] },
        { name: "operator", sha256: hex("two"), cluster: "admin" },
      ),
    );
    const prefixes = [Buffer.from("cart/"), Buffer.from([0xff])];
    assert.deepEqual(grantOf(table, "one"), { name: "shop", data: "read-write", cluster: "none", prefixes });
    const operator = { name: "operator", data: "none", cluster: "admin", prefixes: undefined };
    assert.deepEqual(grantOf(table, "two"), operator);
    assert.equal(grantOf(table, "three"), undefined);
    assert.deepEqual(parseTokens(file()), []);
  });

  const entry = { name: "a", sha256: hex("one"), data: "read" };
  const many = Array.from({ length: TOKEN_COUNT_MAX + 1 }, (_, i) => ({
    ...entry,
    name: `t${i}`,
    sha256: hex(`${i}`),
  }));
  it.each([
    ["no JSON", `{"tokens": [${SECRET}`, /it is no JSON/],
    ["another document", "[]", /the document/],
    ["the token in the digest's place", file({ ...entry, sha256: SECRET }), /tokens\.0\.sha256: expected 64 .* hex/],
    ["the token beside its digest", file({ ...entry, [SECRET]: SECRET }), /tokens\.0: has a field that is not known/],
    ["a token as a name", file({ ...entry, name: `${SECRET}/${SECRET}` }), /tokens\.0\.name: expected 1 to 63/],
    ["a right that there is not", file({ ...entry, data: SECRET }), /tokens\.0\.data/],
    ["no right", file({ name: "a", sha256: hex("one") }), /gives no right at all/],
    ["an empty list of prefixes", file({ ...entry, prefixes: [] }), /tokens\.0\.prefixes/],
    ["a prefix that is no key", file({ ...entry, prefixes: ["a/b"] }), /tokens\.0\.prefixes: expected the beginning/],
    ["an empty prefix", file({ ...entry, prefixes: [""] }), /tokens\.0\.prefixes: expected the beginning/],
    ["a name twice", file(entry, { ...entry, sha256: hex("two") }), /tokens\.1\.name: stands there twice/],
    ["a digest twice", file(entry, { ...entry, name: "b" }), /tokens\.1\.sha256: stands there twice/],
    ["too many", file(...many), /tokens/],
  ])("is refused for %s, and the refusal does not tell a token", (_what, text, expected) => {
    assert.throws(
      () => parseTokens(text),
      (error: Error) => expected.test(error.message) && !error.message.includes(SECRET),
    );
  });
});

describe("a followed file of tokens", () => {
  let folder: string;
  let path: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "annulus-tokens-"));
    path = join(folder, "tokens.json");
  });
  afterEach(() => rm(folder, { recursive: true }));

  it("is taken over when it changes, and kept while the new one is broken or away", async () => {
    const telemetry = createTestTelemetry();
    const logged: string[] = [];
    const log = (_level: string, event: string, fields?: object) => logged.push(`${event} ${JSON.stringify(fields)}`);
    await writeFile(path, file({ name: "old", sha256: hex("old"), data: "read" }));
    const tokens = await followTokens({ time: systemTime, telemetry: { ...telemetry, log } }, path);
    try {
      const first = tokens.table();
      await tokens.look();
      assert.equal(tokens.table(), first);
      await writeFile(path, `{"tokens": "${SECRET}`);
      await tokens.look();
      await tokens.look();
      assert.equal(tokens.table(), first);
      await rm(path);
      await tokens.look();
      assert.equal(grantOf(tokens.table(), "old")?.name, "old");
      await writeFile(path, file({ name: "new", sha256: hex("new"), data: "read" }));
      await tokens.look();
      assert.equal(grantOf(tokens.table(), "old"), undefined);
      assert.equal(grantOf(tokens.table(), "new")?.name, "new");
      assert.equal(telemetry.counts.get("annulus.access.reload_failures"), 3);
      assert.equal(telemetry.counts.get("annulus.access.reloads"), 1);
      assert.equal(telemetry.gauges.get("annulus.access.tokens")?.(), 1);
      assert.deepEqual(
        logged.map((line) => line.split(" ")[0]),
        ["access.not_reloaded", "access.not_reloaded", "access.reloaded"],
      );
      assert.ok(!logged.join().includes(SECRET));
    } finally {
      tokens.stop();
    }
  });

  it("stops a start that would be more open than was meant", async () => {
    await assert.rejects(
      followTokens({ time: systemTime, telemetry: createTestTelemetry() }, path),
      /cannot be read \(ENOENT\)/,
    );
    await writeFile(path, "{}");
    await assert.rejects(followTokens({ time: systemTime, telemetry: createTestTelemetry() }, path), {
      code: "INVALID_REQUEST",
    });
  });
});
