/** Certificate authorities and certificates for tests, made as they are needed. */
import "reflect-metadata";
import { createPrivateKey, randomBytes, webcrypto } from "node:crypto";
import * as x509 from "@peculiar/x509";

const KEY = { name: "ECDSA", namedCurve: "P-256" } as const;
const SIGNATURE = { name: "ECDSA", hash: "SHA-256" } as const;
const DAY_MS = 86_400_000;
const USES = { server: x509.ExtendedKeyUsage.serverAuth, client: x509.ExtendedKeyUsage.clientAuth } as const;

/** A certificate with its key, as PEM. */
export type Issued = { readonly certificate: string; readonly key: string };

export type Wish = {
  /** DNS names. */
  readonly names: readonly string[];
  readonly addresses?: readonly string[];
  readonly from?: Date;
  readonly until?: Date;
  /** Both when absent. */
  readonly uses?: readonly (keyof typeof USES)[];
};

export class TestAuthority {
  /** Its certificate, as PEM. */
  readonly pem: string;
  readonly #certificate: x509.X509Certificate;
  readonly #keys: webcrypto.CryptoKeyPair;

  private constructor(certificate: x509.X509Certificate, keys: webcrypto.CryptoKeyPair) {
    this.#certificate = certificate;
    this.#keys = keys;
    this.pem = `${certificate.toString("pem")}\n`;
  }

  static async create(name: string): Promise<TestAuthority> {
    const keys = await newKeys();
    const certificate = await x509.X509CertificateGenerator.createSelfSigned({
      serialNumber: randomBytes(8).toString("hex"),
      name: `CN=${name}`,
      ...validity({}),
      keys,
      signingAlgorithm: SIGNATURE,
      extensions: [
        new x509.BasicConstraintsExtension(true, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      ],
    });
    return new TestAuthority(certificate, keys);
  }

  async issue(wish: Wish): Promise<Issued> {
    const keys = await newKeys();
    const certificate = await x509.X509CertificateGenerator.create({
      serialNumber: randomBytes(8).toString("hex"),
      subject: `CN=${wish.names[0] ?? "nobody"}`,
      issuer: this.#certificate.subject,
      ...validity(wish),
      signingKey: this.#keys.privateKey,
      publicKey: keys.publicKey,
      signingAlgorithm: SIGNATURE,
      extensions: [
        new x509.SubjectAlternativeNameExtension([
          ...wish.names.map((value) => ({ type: "dns" as const, value })),
          ...(wish.addresses ?? []).map((value) => ({ type: "ip" as const, value })),
        ]),
        new x509.ExtendedKeyUsageExtension((wish.uses ?? ["server", "client"]).map((use) => USES[use])),
      ],
    });
    const key = createPrivateKey({
      key: Buffer.from(await webcrypto.subtle.exportKey("pkcs8", keys.privateKey)),
      format: "der",
      type: "pkcs8",
    });
    return { certificate: certificate.toString("pem"), key: key.export({ format: "pem", type: "pkcs8" }).toString() };
  }
}

function newKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(KEY, true, ["sign", "verify"]) as Promise<webcrypto.CryptoKeyPair>;
}

function validity({ from, until }: Pick<Wish, "from" | "until">): { notBefore: Date; notAfter: Date } {
  const nowMs = Date.now();
  return { notBefore: from ?? new Date(nowMs - DAY_MS), notAfter: until ?? new Date(nowMs + 30 * DAY_MS) };
}
