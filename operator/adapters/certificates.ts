/**
 * The CertificateMaker port: keys by Node.js' own cryptography, certificates by @peculiar/x509.
 *
 * Keys are elliptic (P-256), as TLS 1.3 wants them: small, and quick to sign with in a handshake. An authority of another kind was
 * not made here: nothing is issued from it, for what is made elsewhere has a way of its own (cert-manager).
 */
import "reflect-metadata"; // Before the library, which does not load without it.
import { createPrivateKey, type KeyObject, randomBytes, webcrypto, X509Certificate } from "node:crypto";
import * as x509 from "@peculiar/x509";
import { AuthorityError, type CertificateMaker, type Issued, type Span } from "../ports.ts";

const KEY = { name: "ECDSA", namedCurve: "P-256" } as const;
/** What OpenSSL calls that curve. */
const CURVE = "prime256v1";
const SIGNATURE = { name: "ECDSA", hash: "SHA-256" } as const;
/** Too long to be drawn twice. */
const SERIAL_BYTES = 16;
/** A common name holds so many letters at most, and nobody reads it: names are in an extension of their own. */
const COMMON_NAME_MAX = 64;

/** Makes keys and certificates in this process. */
export function createCertificateMaker(): CertificateMaker {
  return { createAuthority, issue };
}

async function createAuthority(name: string, span: Span): Promise<Issued> {
  const keys = await newKeys();
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serial(),
    name: commonName(name),
    ...validity(span),
    keys,
    signingAlgorithm: SIGNATURE,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { certificate: pem(certificate), key: await exported(keys) };
}

async function issue(authority: Issued, names: readonly string[], span: Span): Promise<Issued> {
  const authorityKey = usableKey(authority);
  const issuer = new x509.X509Certificate(authority.certificate);
  const der = authorityKey.export({ format: "der", type: "pkcs8" });
  const signingKey = await webcrypto.subtle.importKey("pkcs8", der, KEY, false, ["sign"]);
  const keys = await newKeys();
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: serial(),
    subject: commonName(names[0] ?? ""),
    issuer: issuer.subjectName,
    ...validity(span),
    signingKey,
    publicKey: keys.publicKey,
    signingAlgorithm: SIGNATURE,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth, x509.ExtendedKeyUsage.clientAuth]),
      new x509.SubjectAlternativeNameExtension(names.map((value) => ({ type: "dns", value }))),
      await x509.AuthorityKeyIdentifierExtension.create(issuer.publicKey),
    ],
  });
  return { certificate: pem(certificate), key: await exported(keys) };
}

/** The authority's key. Whatever is wrong with one is found here, before a library stumbles over it. */
function usableKey({ certificate, key }: Issued): KeyObject {
  const [issuer, found] = readable(certificate, key);
  const { asymmetricKeyType: kind, asymmetricKeyDetails: details } = found;
  if (kind !== "ec" || details?.namedCurve !== CURVE)
    throw new AuthorityError(`its key is of the kind ${details?.namedCurve ?? kind}, and not of the curve P-256`);
  if (!issuer.checkPrivateKey(found)) throw new AuthorityError("its key is not that of its certificate");
  if (!issuer.ca) throw new AuthorityError("its certificate is no authority's");
  return found;
}

function readable(certificate: string, key: string): [X509Certificate, KeyObject] {
  try {
    return [new X509Certificate(certificate), createPrivateKey(key)];
  } catch (cause) {
    throw new AuthorityError("its certificate or its key cannot be read", { cause });
  }
}

function commonName(text: string): x509.Name {
  return new x509.Name([{ CN: [text.slice(0, COMMON_NAME_MAX)] }]);
}

async function newKeys(): Promise<webcrypto.CryptoKeyPair> {
  return (await webcrypto.subtle.generateKey(KEY, true, ["sign", "verify"])) as webcrypto.CryptoKeyPair;
}

async function exported({ privateKey }: webcrypto.CryptoKeyPair): Promise<string> {
  const der = Buffer.from(await webcrypto.subtle.exportKey("pkcs8", privateKey));
  const key = createPrivateKey({ key: der, format: "der", type: "pkcs8" });
  return key.export({ format: "pem", type: "pkcs8" }).toString();
}

function serial(): string {
  const bytes = randomBytes(SERIAL_BYTES);
  bytes.writeUInt8(bytes.readUInt8(0) & 0x7f, 0); // A serial number is positive.
  return bytes.toString("hex");
}

function validity({ fromMs, untilMs }: Span): { notBefore: Date; notAfter: Date } {
  return { notBefore: new Date(fromMs), notAfter: new Date(untilMs) };
}

function pem(certificate: x509.X509Certificate): string {
  return `${certificate.toString("pem")}\n`;
}
