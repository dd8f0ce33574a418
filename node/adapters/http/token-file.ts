/**
 * The file with the tokens that a node knows: read at the start, looked at again every few seconds, and taken over
 * whole or not at all.
 *
 * While it cannot be read or understood the node goes on with what it knew (followed-files.ts). The file holds digests; an
 * error names the entry and the field, never what stands in it.
 */
import { readFile } from "node:fs/promises";
import { z } from "zod";
import type { TokenEntry } from "../../core/access.ts";
import { KvError } from "../../core/errors.ts";
import type { Telemetry, Time } from "../../ports.ts";
import { type FollowedFiles, followFiles } from "../followed-files.ts";
import type { TokenSource } from "./gate.ts";
import { parseKey } from "./parse-key.ts";

/** Room for some thousand tokens; beyond it, comparing a new connection's token with each would be felt. */
export const TOKEN_COUNT_MAX = 1_000;
const RELOAD_INTERVAL_MS = 5_000;

const Entry = z
  .strictObject({
    name: z.string().regex(/^[A-Za-z0-9._-]{1,63}$/, "expected 1 to 63 of A-Za-z0-9._-"),
    sha256: z.string().regex(/^[0-9a-f]{64}$/, "expected 64 lower-case hex digits"),
    data: z.enum(["none", "read", "read-write"]).default("none"),
    /** Percent-encoded as in `/v1/kv/{key}`. */
    prefixes: z.array(z.string()).min(1).max(100).optional(),
    cluster: z.enum(["none", "monitor", "admin"]).default("none"),
  })
  .refine(({ data, cluster }) => data !== "none" || cluster !== "none", "gives no right at all");
const TokenFile = z.strictObject({ tokens: z.array(Entry).max(TOKEN_COUNT_MAX) });

/** Tokens that follow a file. */
export type FollowedTokens = TokenSource & FollowedFiles;

/**
 * Reads the text of a file of tokens.
 *
 * @throws {KvError} INVALID_REQUEST, naming the first entry that is wrong.
 */
export function parseTokens(text: string): readonly TokenEntry[] {
  const parsed = TokenFile.safeParse(jsonOf(text));
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw broken(`${issue?.path.join(".") || "the document"}: ${explain(issue)}`);
  }
  const { tokens } = parsed.data;
  for (const field of ["name", "sha256"] as const) {
    const index = tokens.findIndex((entry, at) => tokens.findIndex((other) => other[field] === entry[field]) < at);
    if (index >= 0) throw broken(`tokens.${index}.${field}: stands there twice`);
  }
  return tokens.map(({ name, sha256, data, prefixes, cluster }, index) => ({
    digest: Buffer.from(sha256, "hex"),
    grant: { name, data, cluster, prefixes: prefixes?.map((prefix) => prefixOf(prefix, index)) },
  }));
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    // The parser's own message quotes the text.
    throw broken("it is no JSON");
  }
}

/** What is wrong, without what was found: a token put where its digest belongs must not reach the log. */
function explain(issue: z.core.$ZodIssue | undefined): string {
  if (issue?.code === "unrecognized_keys") return "has a field that is not known";
  return issue?.message ?? "is wrong";
}

function prefixOf(text: string, index: number): Uint8Array {
  try {
    return parseKey(text, 0, text.length);
  } catch (error) {
    if (!(error instanceof KvError)) throw error;
    throw broken(`tokens.${index}.prefixes: expected the beginning of a key, percent-encoded, 1 to 1024 bytes`);
  }
}

function broken(what: string): KvError {
  return new KvError("INVALID_REQUEST", `Cannot use the file of tokens: ${what}.`);
}

/**
 * Reads a file of tokens and follows it until `stop`.
 *
 * @throws {KvError} INVALID_REQUEST when it cannot be read or understood now: a node must not start more open than it
 *   was told to.
 */
export async function followTokens(
  { time, telemetry }: { readonly time: Pick<Time, "after">; readonly telemetry: Telemetry },
  path: string,
): Promise<FollowedTokens> {
  const read = async () => {
    try {
      return await readFile(path, "utf8");
    } catch (error) {
      throw broken(`it cannot be read (${(error as NodeJS.ErrnoException).code ?? "unknown"})`);
    }
  };
  let text = await read();
  let table = parseTokens(text);
  telemetry.gauge("annulus.access.tokens", () => table.length);

  async function takeOver(): Promise<void> {
    const found = await read();
    if (found === text) return;
    table = parseTokens(found);
    text = found;
    telemetry.count("annulus.access.reloads");
    telemetry.log("info", "access.reloaded", { tokens: table.map(({ grant }) => grant.name) });
  }

  function failed(reason: string, isNews: boolean): void {
    telemetry.count("annulus.access.reload_failures");
    if (isNews) telemetry.log("error", "access.not_reloaded", { reason });
  }

  return { table: () => table, ...followFiles(time, { takeOver, failed, intervalMs: RELOAD_INTERVAL_MS }) };
}
