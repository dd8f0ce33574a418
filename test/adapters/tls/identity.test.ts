import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { beforeAll, describe, it } from "@jest/globals";
import { certifies, readIdentity, type TlsPurpose } from "../../../node/adapters/tls/identity.ts";
import { KvError } from "../../../node/core/errors.ts";
import { type Issued, TestAuthority, type Wish } from "../../tls/authority.ts";

const FILES = { certificate: "/tls/tls.crt", key: "/tls/tls.key", authorities: "/tls/ca.crt" };
const PEER: TlsPurpose = { port: "the peer port", name: "a", isMutual: true };
const HOUR_MS = 3_600_000;

let ours: TestAuthority;
let other: TestAuthority;
let a: Issued;
beforeAll(async () => {
  ours = await TestAuthority.create("ours");
  other = await TestAuthority.create("other");
  a = await ours.issue({ names: ["a"] });
});

const issue = (wish: Partial<Wish>) => ours.issue({ names: ["a"], ...wish });

function readWith(files: { certificate: string; key: string; authorities?: string }, purpose = PEER) {
  const texts = {
    certificate: Buffer.from(files.certificate),
    key: Buffer.from(files.key),
    authorities: Buffer.from(files.authorities ?? ours.pem),
  };
  return readIdentity(texts, FILES, purpose, Date.now());
}

function refusal(files: { certificate: string; key: string; authorities?: string }): string {
  try {
    readWith(files);
  } catch (error) {
    assert(error instanceof KvError && error.code === "INVALID_REQUEST", String(error));
    return error.message;
  }
  return assert.fail("the files were accepted");
}

describe("TLS files", () => {
  it("give what servers and clients need, and say when they end", async () => {
    const until = new Date(Math.floor(Date.now() / 1_000) * 1_000 + HOUR_MS);
    const identity = readWith(await issue({ until }));
    assert.equal(identity.expiresAtMs, until.getTime());
    assert.equal(identity.options.minVersion, "TLSv1.3");
    assert.match(identity.fingerprint, /^([0-9A-F]{2}:){31}[0-9A-F]{2}$/);
  });

  it("may hold several authorities, divided by line breaks or not", () => {
    const identity = readWith({ ...a, authorities: other.pem.trimEnd() + ours.pem.trimEnd() });
    assert.equal((identity.options.ca as string[]).length, 2);
  });

  it("may be for any name where the node does not know by which it is called", async () => {
    assert.ok(readWith(await issue({ names: ["b"] }), { ...PEER, name: undefined }));
  });

  it("certify the names that they hold letter by letter, and no name by its end", async () => {
    const certificate = new X509Certificate((await issue({ names: ["n1.cluster"] })).certificate);
    const names = ["n1.cluster", ".cluster", "cluster", "n2.cluster", "*.cluster", ".n1.cluster", "n1.cluster.", ""];
    assert.deepEqual(
      names.filter((name) => certifies(certificate, name)),
      ["n1.cluster"],
    );
  });

  it("are refused with the file and what to do, in each way in which they are wrong in practice", async () => {
    const b = await issue({ names: ["b"] });
    const past = new Date(Date.now() - HOUR_MS);
    const future = new Date(Date.now() + HOUR_MS);
    const foreign = await other.issue({ names: ["a"] });
    const half = a.certificate.slice(0, a.certificate.length / 2);
    const cases: [{ certificate: string; key: string; authorities?: string }, RegExp][] = [
      [{ ...a, certificate: "" }, /PEM certificates in \/tls\/tls\.crt, found none in 0 bytes\. Write the file anew/],
      [{ ...a, certificate: half }, /PEM certificates in \/tls\/tls\.crt, found one that has no end/],
      [{ ...a, certificate: a.certificate.replace(/M/g, "A") }, /\/tls\/tls\.crt, found one that cannot be read/],
      [{ ...a, key: a.key.slice(0, 80) }, /a PEM private key without a passphrase in \/tls\/tls\.key/],
      [{ ...a, key: b.key }, /in \/tls\/tls\.key the key of the certificate in \/tls\/tls\.crt, found another one's/],
      [{ ...a, authorities: `${ours.pem}-----BEGIN CERTIFICATE-----` }, /PEM certificates in \/tls\/ca\.crt/],
      [await issue({ until: past }), /valid now, found one that expired at .*Z\. Renew it/],
      [await issue({ from: future, until: new Date(future.getTime() + HOUR_MS) }), /found one that begins at .*clock/],
      [b, /the DNS name a in the certificate in \/tls\/tls\.crt, found DNS:b\. Give this member/],
      [await issue({ names: ["*"] }), /the DNS name a .*, found DNS:\*/],
      [foreign, /to come from an authority in \/tls\/ca\.crt, found the issuer CN=other/],
      [await issue({ uses: ["server"] }), /for servers and clients, found .*Issue it with/],
    ];
    for (const [files, expected] of cases) {
      const message = refusal(files);
      assert.match(message, /^Cannot use the TLS files of the peer port: expected /);
      assert.match(message, expected);
    }
  });
});
