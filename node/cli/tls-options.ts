/** The certificates of the command line: whom it trusts, and what it shows of itself. */
import { readFileSync } from "node:fs";
import type { Command } from "commander";
import type { ClientTls } from "../client/http.ts";
import { tlsFaultOf } from "../client/tls-fault.ts";
import { CommandError, EXIT } from "./exit.ts";

export type TlsOptions = {
  readonly caFile?: string;
  readonly certificateFile?: string;
  readonly keyFile?: string;
};

/** Adds the options for nodes whose URL begins with https. */
export function withTls(command: Command): Command {
  return command
    .option("--ca-file <path>", "PEM certificates of the nodes' authorities (else ANNULUS_CA_FILE, else the system's)")
    .option(
      "--certificate-file <path>",
      "PEM certificate to show, where one is asked for (else ANNULUS_CERTIFICATE_FILE)",
    )
    .option("--key-file <path>", "PEM key of that certificate (else ANNULUS_KEY_FILE)");
}

/** The texts of the files that are named; a file that cannot be read, or half a pair, ends the command. */
export function tlsOf(options: TlsOptions): ClientTls {
  const { ANNULUS_CA_FILE, ANNULUS_CERTIFICATE_FILE, ANNULUS_KEY_FILE } = process.env;
  const tls = {
    authorities: readPem(options.caFile ?? ANNULUS_CA_FILE),
    certificate: readPem(options.certificateFile ?? ANNULUS_CERTIFICATE_FILE),
    key: readPem(options.keyFile ?? ANNULUS_KEY_FILE),
  };
  const fault = tlsFaultOf(tls);
  if (fault !== undefined) throw new CommandError(`Cannot use the TLS files: ${fault}`, EXIT.usage);
  return tls;
}

function readPem(path: string | undefined): string | undefined {
  if (path === undefined) return undefined;
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new CommandError(`Cannot read ${path}: ${(error as Error).message}`, EXIT.usage);
  }
}
