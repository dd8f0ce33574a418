/**
 * Runs the TypeScript blocks of a document as programs, and holds what they print against what stands in them: a comment
 * `// → text` is one line of output.
 */
import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { promisify } from "node:util";

const run = promisify(execFile);
const ROOT = fileURLToPath(new URL("../..", import.meta.url));

export type Example = { readonly source: string; readonly expected: readonly string[] };

/** A fenced block of a document. */
export type Block = { readonly language: string; readonly text: string };

/** All fenced blocks of a document under `docs/`, in order. */
export function blocksOf(document: string): readonly Block[] {
  const all = readFileSync(join(ROOT, "docs", document), "utf8");
  return [...all.matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)].map(([, language = "", text = ""]) => ({ language, text }));
}

/** The programs of a document under `docs/`, in order. */
export function examplesOf(document: string): readonly Example[] {
  return blocksOf(document).flatMap(({ language, text }) => (language === "ts" ? [exampleOf(text)] : []));
}

/** A block of TypeScript as a program. */
export function exampleOf(source: string): Example {
  return { source, expected: [...source.matchAll(/\/\/ → (.*)$/gm)].map(([, line = ""]) => line) };
}

/**
 * Runs one; gives the lines that it printed. A program that fails throws.
 *
 * @param url What each URL of the cluster that `npm start` runs is replaced by.
 * @param library The module that stands for `annulus/client`.
 */
export async function runExample(
  { source }: Example,
  url: (port: number) => string,
  library: string,
): Promise<string[]> {
  const directory = mkdtempSync(join(tmpdir(), "annulus-example-"));
  const file = join(directory, "example.mts");
  const placed = source
    .replaceAll('"annulus/client"', JSON.stringify(pathToFileURL(join(ROOT, library)).href))
    .replaceAll(/http:\/\/127\.0\.0\.1:(74[0-2]0)/g, (_, port: string) => url(Number(port)));
  writeFileSync(file, placed);
  try {
    const { stdout } = await run(process.execPath, [file], { env: { PATH: process.env.PATH } });
    return stdout.trimEnd().split("\n");
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
