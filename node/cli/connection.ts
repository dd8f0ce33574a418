/** Which nodes a command speaks to, and what their error answers mean for its exit code. */
import { readFileSync } from "node:fs";
import type { Command } from "commander";
import type { Answer } from "../client/http.ts";
import { Nodes } from "../client/nodes.ts";
import { CommandError, EXIT } from "./exit.ts";
import { type TlsOptions, tlsOf, withTls } from "./tls-options.ts";

const URL_DEFAULT = "http://127.0.0.1:7400";
/** Longer than the server's own limit of a request, so that its answer comes first. */
export const TIMEOUT_MS = 15_000;

export type ConnectionOptions = TlsOptions & {
  readonly url?: string;
  readonly adminUrl?: string;
  readonly tokenFile?: string;
};

/** What a header can carry as a bearer token (RFC 6750 §2.1). */
const TOKEN = /^[A-Za-z0-9._~+/-]{1,512}=*$/;

/** Adds the options that name the cluster's nodes. */
export function withConnection(command: Command): Command {
  return withTls(command)
    .option("-u, --url <urls>", "data API of one or several nodes, comma-separated (else ANNULUS_URL)")
    .option("--admin-url <urls>", "admin API of one or several nodes, comma-separated (else ANNULUS_ADMIN_URL)")
    .option(
      "--token-file <path>",
      "file with the bearer token (else ANNULUS_TOKEN_FILE, else the text of ANNULUS_TOKEN)",
    );
}

/** The nodes' data API. */
export function dataNodes(options: ConnectionOptions, connectionsMax = 1): Nodes {
  return connect(dataUrls(options), connectionsMax, options);
}

/** The nodes' admin API. */
export function adminNodes(options: ConnectionOptions): Nodes {
  const named = options.adminUrl ?? process.env.ANNULUS_ADMIN_URL;
  return connect(named === undefined ? dataUrls(options).map(adminUrlOf) : split(named), 1, options);
}

function connect(urls: readonly string[], connectionsMax: number, options: ConnectionOptions): Nodes {
  const tls = tlsOf(options);
  const token = tokenOf(options);
  try {
    return new Nodes({ urls, connectionsMax, timeoutMs: TIMEOUT_MS, tls, token });
  } catch (error) {
    throw new CommandError(`Cannot use these URLs: ${(error as Error).message}`, EXIT.usage);
  }
}

/** The token to show. There is no option for its text: the arguments of a process are everybody's to read. */
function tokenOf({ tokenFile }: ConnectionOptions): string | undefined {
  const { ANNULUS_TOKEN_FILE, ANNULUS_TOKEN } = process.env;
  const path = tokenFile ?? ANNULUS_TOKEN_FILE;
  const token = path === undefined ? ANNULUS_TOKEN : readToken(path);
  if (token === undefined || TOKEN.test(token)) return token;
  throw new CommandError("Cannot use the token: expected letters, digits and ._~+/- only", EXIT.usage);
}

function readToken(path: string): string {
  try {
    return readFileSync(path, "utf8").trim();
  } catch (error) {
    throw new CommandError(`cannot read the token: ${(error as Error).message}`, EXIT.usage);
  }
}

function dataUrls(options: ConnectionOptions): readonly string[] {
  return split(options.url ?? process.env.ANNULUS_URL ?? URL_DEFAULT);
}

/** Each node's admin port is its data port plus one, unless it was set otherwise. */
function adminUrlOf(dataUrl: string): string {
  const url = URL.parse(dataUrl);
  if (url === null) return dataUrl;
  url.port = String(Number(url.port === "" ? (url.protocol === "https:" ? 443 : 80) : url.port) + 1);
  return url.href;
}

function split(urls: string): readonly string[] {
  return urls
    .split(",")
    .map((url) => url.trim())
    .filter((url) => url !== "");
}

/** What an error answer says of itself, in one line: title, detail, figures. */
export function problemLine(answer: Answer): string {
  const figures = ["required", "acknowledged"] as const;
  try {
    const problem = JSON.parse(answer.body.toString()) as Record<string, unknown>;
    const counted = figures.filter((name) => problem[name] !== undefined).map((name) => `${name} ${problem[name]}`);
    const outcome = answer.headers["kv-outcome"] === "unknown" ? ["it may take effect all the same"] : [];
    const notes = [...counted, ...outcome];
    return `${problem.detail ?? problem.title ?? "error"}${notes.length > 0 ? ` (${notes.join(", ")})` : ""}`;
  } catch {
    return answer.body.toString().slice(0, 200).trim() || `HTTP status ${answer.status}`;
  }
}

/**
 * Holds what could be taken for an answer of the data API, a success or "not found", to be a node's, which says its name.
 *
 * @throws {CommandError} Something else is at the URL: nothing was read or written.
 */
export function requireNode(answer: Answer): Answer {
  const { status, headers, from } = answer;
  if (headers["kv-node"] !== undefined || (status >= 400 && status !== 404)) return answer;
  const what = `it answers ${status} without KV-Node; is ANNULUS_URL, or --url, right?`;
  throw new CommandError(`${from}: this is not the data port of a node (${what})`, EXIT.failed);
}

const TOKEN_ADVICE = "give a token with --token-file, or in ANNULUS_TOKEN_FILE or ANNULUS_TOKEN";

/** The error that an answer which is no success ends a command with. */
export function answerError(answer: Answer): CommandError {
  const isTransient = answer.status === 429 || answer.status === 503 || answer.status === 504;
  const problem = `${answer.status}: ${problemLine(answer)}`;
  const message = answer.status === 401 ? `${problem.replace(/\.$/, "")}; ${TOKEN_ADVICE}` : problem;
  return new CommandError(message, isTransient ? EXIT.unavailable : EXIT.failed);
}
