/** Inputs that are kept in the repository, one file a target and one input in base64 a line, and tried with every change. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const FOLDER = join(import.meta.dirname.replace("/dist/test/", "/test/"), "corpus");
/** Small enough to be read in a review, and tried in a moment. */
const INPUTS_MAX = 150;
const KEPT_BYTES_MAX = 512;

/** What is kept of one target. */
export function readCorpus(name: string): readonly Uint8Array[] {
  const path = join(FOLDER, `${name}.txt`);
  if (!existsSync(path)) return [];
  return readFileSync(path, "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => Uint8Array.from(Buffer.from(line, "base64")));
}

/** Adds inputs, the shortest first, while there is room; `always` goes before the rest and whatever its length. */
export function extendCorpus(name: string, inputs: readonly Uint8Array[], always: readonly Uint8Array[]): number {
  const encode = (input: Uint8Array) => Buffer.from(input).toString("base64");
  const before = readCorpus(name).map(encode);
  const short = inputs.filter(({ length }) => length > 0 && length <= KEPT_BYTES_MAX);
  const bred = [...short].sort((a, b) => a.length - b.length).map(encode);
  const lines = [...new Set([...always.map(encode), ...before, ...bred])].slice(0, INPUTS_MAX);
  mkdirSync(FOLDER, { recursive: true });
  writeFileSync(join(FOLDER, `${name}.txt`), `${lines.join("\n")}\n`);
  return lines.length - before.length;
}
