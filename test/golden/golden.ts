/**
 * Golden files: bytes as a release wrote them, beside what they mean. They keep a format what it was: a change that can no
 * longer read them, or writes other bytes for the same, is seen before a user's disk or an older member sees it.
 *
 * What is there is never changed. `ANNULUS_GOLDEN=add npm test -- golden` writes entries that are missing, for a format that is new.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** One example: `bytes` in hex, and what a reader makes of them; byte strings within are `{ "hex": … }`. */
export type Golden = { readonly what: string; readonly bytes: string; readonly means: unknown };

const DIRECTORY = join(import.meta.dirname, "files");

/**
 * The examples of one file.
 *
 * @param name Of the file, without its ending.
 * @param present What the code of today writes, to be added where it is missing and that was asked for.
 */
export function golden(name: string, present: readonly Golden[]): readonly Golden[] {
  const path = join(DIRECTORY, `${name}.json`);
  const known = read(path);
  if (process.env.ANNULUS_GOLDEN !== "add") return known;
  const missing = present.filter(({ what }) => !known.some((one) => one.what === what));
  const all = [...known, ...missing];
  if (missing.length > 0) writeFileSync(path, `[\n${all.map((one) => `  ${JSON.stringify(one)}`).join(",\n")}\n]\n`);
  return all;
}

/** A value as JSON can hold it, and back by `fromJson`. */
export function toJson(value: unknown): unknown {
  if (value instanceof Uint8Array) return { hex: Buffer.from(value).toString("hex") };
  if (value === undefined) return { absent: true };
  if (Array.isArray(value)) return value.map(toJson);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, field]) => [name, toJson(field)]));
}

/** What `toJson` was given. */
export function fromJson(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(fromJson);
  if (typeof value !== "object" || value === null) return value;
  if ("absent" in value) return undefined;
  if ("hex" in value) return new Uint8Array(Buffer.from(String(value.hex), "hex"));
  return Object.fromEntries(Object.entries(value).map(([name, field]) => [name, fromJson(field)]));
}

function read(path: string): readonly Golden[] {
  try {
    return JSON.parse(readFileSync(path, "utf8")) as Golden[];
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT" && process.env.ANNULUS_GOLDEN === "add") return [];
    throw error;
  }
}
