/** What the client library and the commands say of TLS that cannot come about. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeAll, describe, it, jest } from "@jest/globals";
import { AnnulusError, Client, type ClientTls } from "../../node/client/client.ts";
import { runCli } from "../cli/run-cli.ts";
import { type Issued, TestAuthority } from "../tls/authority.ts";
import { atEnd, connect, scriptedNode, stopAll, takes } from "./scripted-node.ts";
import { failureOf } from "./waiting.ts";

/** The program is started, which takes long on a busy machine. */
jest.setTimeout(60_000);
afterEach(stopAll);

let authority: TestAuthority;
let issued: Issued;
let others: Issued;
beforeAll(async () => {
  authority = await TestAuthority.create("ours");
  issued = await authority.issue({ names: [], addresses: ["127.0.0.1"] });
  others = await authority.issue({ names: ["other"] });
});

describe("what a client is to show or to trust", () => {
  it("is refused at once where it can be neither", () => {
    const wrong: readonly [ClientTls, RegExp][] = [
      [{ authorities: "no certificate" }, /authorities/],
      [{ authorities: authority.pem, certificate: issued.certificate }, /certificate and (its )?key/],
      [{ certificate: "no certificate", key: issued.key }, /certificate/],
      [{ certificate: issued.certificate, key: others.key }, /key/],
    ];
    for (const [tls, what] of wrong) {
      assert.throws(
        () => new Client({ urls: ["https://127.0.0.1:1"], tls }),
        (error: unknown) =>
          error instanceof TypeError &&
          error.message.startsWith("Cannot use the option tls: ") &&
          what.test(error.message),
      );
    }
    new Client({ urls: ["https://127.0.0.1:1"], tls: { authorities: authority.pem, ...issued } }).close();
  });

  it("is wrong arguments on the command line, and no bug", async () => {
    const directory = mkdtempSync(join(tmpdir(), "annulus-tls-"));
    atEnd(() => rmSync(directory, { recursive: true }));
    const file = (name: string, text: string) => {
      writeFileSync(join(directory, name), text);
      return join(directory, name);
    };
    const args = ["--certificate-file", file("c", "no certificate"), "--key-file", file("k", issued.key)];
    const refused = await runCli(["get", "k", "--url", "https://127.0.0.1:1", ...args]);
    assert.equal(refused.exitCode, 2, refused.stderr);
    assert.match(refused.stderr, /^annulus: Cannot use the TLS files: .*certificate/);
  });
});

describe("the error of a connection that TLS did not let come about", () => {
  it("says what may be wrong", async () => {
    const server = createServer({ cert: issued.certificate, key: issued.key }, (_request, response) => response.end());
    atEnd(() => server.close());
    await once(server.listen(0, "127.0.0.1"), "listening");
    const secure = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const plain = (await scriptedNode([takes()])).url.replace("http:", "https:");
    for (const [url, what] of [
      [secure, /authority.* trusted/],
      [plain, /http:\/\//],
    ] as const) {
      const error = await failureOf(connect({ urls: [url], attemptsMax: 1 }).put("k", "v"), AnnulusError);
      assert.deepEqual([error.code, error.outcome], ["UNREACHABLE", "none"]);
      assert.match(error.message, what);
      const told = await runCli(["get", "k", "--url", url]);
      assert.equal(told.exitCode, 5);
      assert.match(told.stderr, what);
    }
  });
});
