/** Members with certificates, over loopback sockets. */
import { createSecureContext } from "node:tls";
import { type PeerTls, secureNetwork } from "../../../node/adapters/tcp/secure-network.ts";
import type { Network } from "../../../node/adapters/tcp/wire.ts";
import type { Credentials } from "../../../node/adapters/tls/credentials.ts";
import { readIdentity, type TlsIdentity } from "../../../node/adapters/tls/identity.ts";
import type { Issued } from "../../tls/authority.ts";

/** What a member's three files hold, as PEM. */
export type MemberFiles = Issued & { readonly authorities: string | undefined };

const FILES = { certificate: "tls.crt", key: "tls.key", authorities: "ca.crt" };

/** Credentials that change when the test says so. Whom they name, and whether they are valid now, is for the peers. */
export class TestCredentials implements Credentials {
  readonly #listeners: ((identity: TlsIdentity) => void)[] = [];
  #identity: TlsIdentity;

  /** @param nowMs The wall clock by which they are valid. */
  constructor(files: MemberFiles, nowMs = Date.now()) {
    this.#identity = identityOf(files, nowMs);
  }

  current(): TlsIdentity {
    return this.#identity;
  }

  onChange(changed: (identity: TlsIdentity) => void): void {
    this.#listeners.push(changed);
  }

  rotate(files: MemberFiles): void {
    this.#identity = identityOf(files, Date.now());
    for (const changed of this.#listeners) changed(this.#identity);
  }

  async reload(): Promise<void> {}

  stop(): void {}
}

/** Shows no certificate where it dials. */
export function withoutCertificate(files: MemberFiles): Credentials {
  const identity = { ...identityOf(files, Date.now()), context: createSecureContext({ minVersion: "TLSv1.3" }) };
  return { current: () => identity, onChange() {}, async reload() {}, stop() {} };
}

/** The network of one member; each is certified by its bare name. */
export function networkOf(credentials: Credentials, mode: PeerTls["mode"] = "require"): Network {
  return secureNetwork({ credentials, mode, certifiedName: (member) => member });
}

function identityOf({ certificate, key, authorities }: MemberFiles, nowMs: number): TlsIdentity {
  const texts = {
    certificate: Buffer.from(certificate),
    key: Buffer.from(key),
    authorities: authorities === undefined ? undefined : Buffer.from(authorities),
  };
  return readIdentity(texts, FILES, { port: "the test", name: undefined, isMutual: false }, nowMs);
}
