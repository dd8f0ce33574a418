/**
 * The TLS files of one port, and their changes while the node runs.
 *
 * The files are read again every few seconds (followed-files.ts) and compared, which works for every way in which files are
 * replaced: a Kubernetes Secret swaps a symbolic link above them, others rename or overwrite. Three files are not replaced
 * at one instant, so that what was read may be half of the old and half of the new: whatever does not pass the checks of
 * identity.ts is left alone; new connections go on with what passed last.
 */
import { readFile } from "node:fs/promises";
import { KvError } from "../../core/errors.ts";
import type { Telemetry, Time } from "../../ports.ts";
import { type FollowedFiles, followFiles } from "../followed-files.ts";
import { readIdentity, type TlsFiles, type TlsIdentity, type TlsPurpose, type TlsTexts } from "./identity.ts";

export type CredentialsOptions = {
  /** Names the port in metrics. */
  readonly port: "peer" | "data" | "admin";
  readonly files: TlsFiles;
  readonly purpose: TlsPurpose;
  /** Time between two looks at the files, in ms. */
  readonly reloadIntervalMs: number;
};

/** The present identity of one port. */
export type Credentials = {
  /** What new connections use; another object after each change of the files. */
  current(): TlsIdentity;
  /** Calls back after each change, until `stop`. */
  onChange(changed: (identity: TlsIdentity) => void): void;
  /** Looks at the files now. Never rejects: what is wrong with them is counted and logged. */
  reload(): Promise<void>;
  /** Looks at the files no more. */
  stop(): void;
};

/**
 * Reads the files, and goes on to look after them.
 *
 * @throws {KvError} INVALID_REQUEST: a file cannot be read, or is wrong; the message says what to do.
 */
export async function openCredentials(
  ports: { readonly time: Time; readonly telemetry: Telemetry },
  options: CredentialsOptions,
): Promise<Credentials> {
  const texts = await readTexts(options);
  const identity = readIdentity(texts, options.files, options.purpose, ports.time.wallMs());
  return new WatchedCredentials(ports, options, texts, identity);
}

class WatchedCredentials implements Credentials {
  readonly #ports: { readonly time: Time; readonly telemetry: Telemetry };
  readonly #options: CredentialsOptions;
  readonly #listeners: ((identity: TlsIdentity) => void)[] = [];
  readonly #files: FollowedFiles;
  #texts: TlsTexts;
  #identity: TlsIdentity;

  constructor(
    ports: { readonly time: Time; readonly telemetry: Telemetry },
    options: CredentialsOptions,
    texts: TlsTexts,
    identity: TlsIdentity,
  ) {
    this.#ports = ports;
    this.#options = options;
    this.#texts = texts;
    this.#identity = identity;
    const { time, telemetry } = ports;
    const { port } = options;
    telemetry.gauge(`annulus.tls.expires.${port}`, () =>
      Math.round((this.#identity.expiresAtMs - time.wallMs()) / 1_000),
    );
    this.#files = followFiles(time, {
      takeOver: () => this.#takeOver(),
      failed(reason, isNews) {
        telemetry.count("annulus.tls.reload_failures");
        if (isNews) telemetry.log("error", "tls.reload_failed", { port, reason });
      },
      intervalMs: options.reloadIntervalMs,
    });
  }

  current(): TlsIdentity {
    return this.#identity;
  }

  onChange(changed: (identity: TlsIdentity) => void): void {
    this.#listeners.push(changed);
  }

  reload(): Promise<void> {
    return this.#files.look();
  }

  stop(): void {
    this.#files.stop();
  }

  async #takeOver(): Promise<void> {
    const { time, telemetry } = this.#ports;
    const { port, files, purpose } = this.#options;
    const texts = await readTexts(this.#options);
    if (areEqual(texts, this.#texts)) return;
    this.#identity = readIdentity(texts, files, purpose, time.wallMs());
    this.#texts = texts;
    const { fingerprint, expiresAtMs } = this.#identity;
    telemetry.count("annulus.tls.reloads");
    telemetry.log("info", "tls.reloaded", { port, fingerprint, expiresAt: new Date(expiresAtMs).toISOString() });
    for (const changed of this.#listeners) changed(this.#identity);
  }
}

async function readTexts({ files, purpose }: CredentialsOptions): Promise<TlsTexts> {
  const read = async (path: string): Promise<Buffer> => {
    try {
      return await readFile(path);
    } catch (cause) {
      const found = `an error (${(cause as Error).message})`;
      const advice = "Mount or write the file, readable for the user that this program runs as.";
      const message = `Cannot use the TLS files of ${purpose.port}: expected to read ${path}, found ${found}. ${advice}`;
      throw new KvError("INVALID_REQUEST", message, { cause });
    }
  };
  const [certificate, key, authorities] = await Promise.all([
    read(files.certificate),
    read(files.key),
    files.authorities === undefined ? undefined : read(files.authorities),
  ]);
  return { certificate, key, authorities };
}

function areEqual(a: TlsTexts, b: TlsTexts): boolean {
  if (!a.certificate.equals(b.certificate) || !a.key.equals(b.key)) return false;
  if (a.authorities === undefined || b.authorities === undefined) return a.authorities === b.authorities;
  return a.authorities.equals(b.authorities);
}
