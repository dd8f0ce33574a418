/** Tokens on the command line: making one, and what is refused before it is sent anywhere. */
import assert from "node:assert/strict";
import { describe, it, jest } from "@jest/globals";
import { parseTokens } from "../../node/adapters/http/token-file.ts";
import { grantOf } from "../../node/core/access.ts";
import { runCli } from "./run-cli.ts";

/** Each test starts the program a few times, which takes long on a busy machine. */
jest.setTimeout(60_000);

describe("a token on the command line", () => {
  it("is made with an entry that a node takes, and is another one each time", async () => {
    const args = ["token", "shop", "--data", "read", "--prefix", "a%2F", "b", "--cluster", "monitor"];
    const [first, second] = await Promise.all([runCli(args), runCli(args)]);
    const { token, entry } = JSON.parse(first.stdout.toString()) as { token: string; entry: object };
    const prefixes = [Buffer.from("a/"), Buffer.from("b")];
    const grant = grantOf(parseTokens(JSON.stringify({ tokens: [entry] })), token);
    assert.deepEqual(grant, { name: "shop", data: "read", cluster: "monitor", prefixes });
    assert.equal(Buffer.from(token, "base64url").length, 32);
    assert.ok(!second.stdout.includes(token));
  });

  it("is not made without a right, or with a name that no file takes", async () => {
    const [noRight, noName] = await Promise.all([
      runCli(["token", "shop"]),
      runCli(["token", "a b", "--data", "read"]),
    ]);
    assert.deepEqual([noRight.exitCode, noName.exitCode], [2, 2]);
    assert.match(noRight.stderr, /give it a right/);
  });

  it("is refused when it is none, without telling it", async () => {
    const [text, file] = await Promise.all([
      runCli(["get", "k"], { env: { ANNULUS_TOKEN: "sesame\nopen" } }),
      runCli(["get", "k", "--token-file", "/nowhere/token"]),
    ]);
    assert.equal(text.exitCode, 2);
    assert.match(text.stderr, /Cannot use the token/);
    assert.ok(!text.stderr.includes("sesame"));
    assert.equal(file.exitCode, 2);
    assert.match(file.stderr, /cannot read the token: ENOENT/);
  });
});
