/**
 * A certificate, its key and the authorities to trust, read from PEM files and checked before anything uses them.
 *
 * OpenSSL says of bad files little that helps, and of some nothing until the first handshake fails. So each way in which
 * files are wrong in practice is looked for here, and told with the file and with what to do: half-written, no PEM, the
 * key of another certificate, expired, not valid yet, of another authority, not for this purpose, of another name.
 * Pure: bytes in, identity out. Reading the files and following their changes is credentials.ts.
 */
import { constants, createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { createSecureContext, type SecureContext, type SecureContextOptions } from "node:tls";
import { KvError } from "../../core/errors.ts";

/** Where the PEM files of one port are. */
export type TlsFiles = {
  /** The certificate, followed by intermediate ones if there are any. */
  readonly certificate: string;
  /** The certificate's private key, without a passphrase. */
  readonly key: string;
  /** Certificates of the authorities that the other side's must come from; undefined where none is asked of it. */
  readonly authorities: string | undefined;
};

/** What stands in the files. */
export type TlsTexts = {
  readonly certificate: Buffer;
  readonly key: Buffer;
  readonly authorities: Buffer | undefined;
};

/** What the certificate is for. */
export type TlsPurpose = {
  /** For messages: "the peer port". */
  readonly port: string;
  /** A DNS name that the certificate must hold, or undefined where clients know it by names that the node does not. */
  readonly name: string | undefined;
  /** Whether it is also shown when this side dials, and comes from the authorities that the other side is held to. */
  readonly isMutual: boolean;
};

/** Checked files, in the forms that `node:tls` takes. */
export type TlsIdentity = {
  /** For servers. */
  readonly options: SecureContextOptions;
  /** For connections that are dialled. */
  readonly context: SecureContext;
  /** When the certificate ends, by the wall clock in ms. */
  readonly expiresAtMs: number;
  /** The certificate's fingerprint (SHA-256), for logs. */
  readonly fingerprint: string;
};

/** TLS 1.2 and older are refused: nothing that speaks to a node needs them. */
export const TLS_VERSION_MIN = "TLSv1.3";

const SERVER_USE = "1.3.6.1.5.5.7.3.1";
const CLIENT_USE = "1.3.6.1.5.5.7.3.2";
/** Certificates between a node's own and its authority's. */
const CHAIN_MAX = 8;

/**
 * Reads and checks one set of files.
 *
 * @param files Their paths, for messages.
 * @param nowMs The wall clock.
 * @throws {KvError} INVALID_REQUEST: which file is wrong, how, and what to do.
 */
export function readIdentity(texts: TlsTexts, files: TlsFiles, purpose: TlsPurpose, nowMs: number): TlsIdentity {
  const wrong = (expected: string, found: string, advice: string): KvError =>
    new KvError(
      "INVALID_REQUEST",
      `Cannot use the TLS files of ${purpose.port}: expected ${expected}, found ${found}. ${advice}`,
    );
  const chain = certificatesIn(texts.certificate, files.certificate, wrong);
  const [leaf] = chain as [X509Certificate, ...X509Certificate[]];
  const key = keyIn(texts.key, files.key, wrong);
  if (!leaf.checkPrivateKey(key)) {
    const expected = `in ${files.key} the key of the certificate in ${files.certificate}`;
    throw wrong(expected, "another one's", "Write both files of one issue.");
  }
  checkDates(leaf, files, nowMs, wrong);
  checkName(leaf, files, purpose, wrong);
  checkUse(leaf, files, purpose, wrong);
  const authorities =
    texts.authorities === undefined || files.authorities === undefined
      ? undefined
      : certificatesIn(texts.authorities, files.authorities, wrong);
  if (authorities !== undefined && purpose.isMutual) {
    const expected = `the certificate in ${files.certificate} to come from an authority in ${files.authorities}`;
    if (!isIssued(chain, authorities))
      throw wrong(expected, `the issuer ${oneLine(leaf.issuer)}`, "Add its authority's certificate to the bundle.");
  }
  // As read here and not as they stand: OpenSSL stops in silence at a bundle whose parts no line break divides.
  const options: SecureContextOptions = {
    cert: pemOf(chain).join(""),
    key: texts.key,
    minVersion: TLS_VERSION_MIN,
    // Who came back with the session of an earlier connection would show no certificate: one that has expired since, or of an
    // authority that was removed, would count as it did then.
    ...(authorities === undefined ? {} : { ca: pemOf(authorities), secureOptions: constants.SSL_OP_NO_TICKET }),
  };
  return {
    options,
    context: contextOf(options, files, wrong),
    expiresAtMs: leaf.validToDate.getTime(),
    fingerprint: leaf.fingerprint256,
  };
}

type Wrong = (expected: string, found: string, advice: string) => KvError;

function certificatesIn(pem: Buffer, path: string, wrong: Wrong): X509Certificate[] {
  const text = pem.toString("latin1");
  const blocks = text.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? [];
  const begun = text.split("-----BEGIN CERTIFICATE-----").length - 1;
  const expected = `PEM certificates in ${path}`;
  if (blocks.length === 0 || blocks.length !== begun) {
    const found = begun === 0 ? `none in ${pem.length} bytes` : "one that has no end";
    throw wrong(expected, found, "Write the file anew, whole.");
  }
  return blocks.map((block) => {
    try {
      return new X509Certificate(block);
    } catch (cause) {
      throw wrong(expected, `one that cannot be read (${(cause as Error).message})`, "Write the file anew, whole.");
    }
  });
}

function pemOf(certificates: readonly X509Certificate[]): string[] {
  return certificates.map((certificate) => certificate.toString());
}

function keyIn(pem: Buffer, path: string, wrong: Wrong): KeyObject {
  try {
    return createPrivateKey(pem);
  } catch (cause) {
    const found = `none that can be read (${(cause as Error).message})`;
    throw wrong(`a PEM private key without a passphrase in ${path}`, found, "Write the file anew, whole.");
  }
}

function checkDates(leaf: X509Certificate, files: TlsFiles, nowMs: number, wrong: Wrong): void {
  if (leaf.validToDate.getTime() <= nowMs) {
    const found = `one that expired at ${leaf.validToDate.toISOString()}`;
    throw wrong(`a certificate in ${files.certificate} that is valid now`, found, "Renew it.");
  }
  if (leaf.validFromDate.getTime() > nowMs) {
    const found = `one that begins at ${leaf.validFromDate.toISOString()}`;
    throw wrong(`a certificate in ${files.certificate} that is valid now`, found, "Correct this machine's clock.");
  }
}

function checkName(leaf: X509Certificate, files: TlsFiles, { name }: TlsPurpose, wrong: Wrong): void {
  if (name === undefined || certifies(leaf, name)) return;
  const expected = `the DNS name ${name} in the certificate in ${files.certificate}`;
  throw wrong(expected, leaf.subjectAltName ?? "no name", "Give this member a certificate of its own name.");
}

function checkUse(leaf: X509Certificate, files: TlsFiles, { isMutual }: TlsPurpose, wrong: Wrong): void {
  // No list of uses is no limit of them. What Node calls key usage is the extended one.
  const uses = leaf.keyUsage as readonly string[] | undefined;
  if (uses === undefined) return;
  const missing = (isMutual ? [SERVER_USE, CLIENT_USE] : [SERVER_USE]).filter((use) => !uses.includes(use));
  if (missing.length === 0) return;
  const expected = `the certificate in ${files.certificate} to be for ${isMutual ? "servers and clients" : "servers"}`;
  throw wrong(expected, `the extended key usages ${uses.join(", ")}`, `Issue it with ${missing.join(" and ")}.`);
}

/** Whether the certificate holds exactly this DNS name; a wildcard stands for no member. */
export function certifies(certificate: X509Certificate, name: string): boolean {
  // To OpenSSL a dot at the beginning stands for every name that ends so.
  return !name.startsWith(".") && certificate.checkHost(name, { subject: "never", wildcards: false }) !== undefined;
}

function isIssued(chain: readonly X509Certificate[], authorities: readonly X509Certificate[]): boolean {
  let current = chain[0];
  for (let depth = 0; depth < CHAIN_MAX && current !== undefined; depth += 1) {
    const below: X509Certificate = current;
    const issued = (issuer: X509Certificate) => below.checkIssued(issuer) && below.verify(issuer.publicKey);
    if (authorities.some(issued)) return true;
    current = chain.find((other) => other !== below && issued(other));
  }
  return false;
}

function contextOf(options: SecureContextOptions, files: TlsFiles, wrong: Wrong): SecureContext {
  try {
    return createSecureContext(options);
  } catch (cause) {
    const found = `files that OpenSSL refuses (${(cause as Error).message})`;
    throw wrong(`a certificate and key in ${files.certificate} and ${files.key}`, found, "Issue them anew.");
  }
}

function oneLine(text: string): string {
  return text.replaceAll("\n", ", ");
}
