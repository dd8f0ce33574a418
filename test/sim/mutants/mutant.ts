/**
 * A mutant: one rule of the shipped code broken on purpose, as a text to be found in its source and one to be put there.
 *
 *     What is broken, and what comes of it, in a sentence or two.
 *
 *     breaks: where the rule is written down
 *     seed: 17                                 the run that caught it last, tried first; or "17, counted" for a large one;
 *                                              or "story: test/sim/rebuild.test.ts" where no seed has met it
 *     churn: yes                               the ring changes in its runs; left out where it does not
 *     operator: yes                            its runs have operators in a simulated Kubernetes; left out where they have none
 *
 *     --- node/services/write.ts
 *     text that is there exactly once
 *     +++
 *     what stands there instead
 *     ===
 *
 * The shipped code knows nothing of it: there is no hook, flag or branch for tests in it. The price is that a mutant
 * goes stale when its text changes; then it is an error (mutants.test.ts), for a mutant that breaks nothing proves nothing.
 */
import { readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";

const FOLDER = "test/sim/mutants";
const EXTENSION = ".mutant";

/** One replacement; several in one file are made one after the other. */
export type Edit = { readonly path: string; readonly find: string; readonly put: string };

export type Size = "short" | "counted";

/** A run of the simulation: a seed, or the stories of a test file, told on purpose because seeds meet them too seldom. */
export type Run =
  | { readonly seed: number; readonly size: Size; readonly churn: boolean; readonly operator?: true }
  | { readonly story: string };

export type Mutant = {
  readonly name: string;
  /** Path of its file, from the top of the repository. */
  readonly path: string;
  readonly text: string;
  readonly description: string;
  /** The rule that it breaks, and where that is written down. */
  readonly breaks: string;
  /** Whether the ring changes in the runs that are to catch it. */
  readonly churn: boolean;
  /** Whether operators look after the nodes in those runs. */
  readonly operator: boolean;
  /** The run that caught it last. */
  readonly caughtBy: Run | undefined;
  readonly edits: readonly Edit[];
};

/** Reads every mutant, by name. `root` is the top of the repository. */
export function readMutants(root: string): readonly Mutant[] {
  return readdirSync(join(root, FOLDER))
    .filter((file) => file.endsWith(EXTENSION))
    .sort()
    .map((file) => {
      const path = `${FOLDER}/${file}`;
      return parseMutant(path, readFileSync(join(root, path), "utf8"));
    });
}

/** @throws {Error} The text is no mutant; the message says what is missing. */
export function parseMutant(path: string, text: string): Mutant {
  const [head = "", ...rest] = text.split(/^--- /m);
  const fields = new Map<string, string>();
  const prose = head
    .split("\n")
    .filter((line) => {
      const [, key, value] = /^(breaks|seed|story|churn|operator): +(.+)$/.exec(line) ?? [];
      if (key !== undefined && value !== undefined) fields.set(key, value);
      return key === undefined;
    })
    .join("\n")
    .trim();
  const breaks = fields.get("breaks");
  const seed = fields.get("seed");
  const story = fields.get("story");
  const churn = isYes(path, "churn", fields.get("churn"));
  const operator = isYes(path, "operator", fields.get("operator"));
  const edits = rest.map((block) => parseEdit(path, block));
  if (prose === "") throw new Error(`${path} does not say what it breaks.`);
  if (breaks === undefined) throw new Error(`${path} does not say which rule it breaks, and where that is written.`);
  if (edits.length === 0) throw new Error(`${path} changes nothing.`);
  return {
    name: basename(path, EXTENSION),
    path,
    text,
    description: prose,
    breaks,
    churn,
    operator,
    caughtBy:
      story !== undefined ? { story } : seed !== undefined ? parseRun(path, seed, { churn, operator }) : undefined,
    edits,
  };
}

/** For people. */
export function describeRun(run: Run): string {
  if ("story" in run) return run.story;
  const kind = run.operator ? "operator seed" : run.churn ? "churn seed" : "seed";
  return `${kind} ${run.seed}${run.size === "short" ? "" : ` (${run.size})`}`;
}

function isYes(path: string, field: string, text: string | undefined): boolean {
  if (text !== undefined && text !== "yes")
    throw new Error(`${path} says neither yes nor nothing to ${field}: ${text}`);
  return text === "yes";
}

function parseRun(path: string, text: string, kind: { churn: boolean; operator: boolean }): Run {
  const [, seed, size = "short"] = /^(\d+)(?:, (short|counted))?$/.exec(text) ?? [];
  if (seed === undefined) throw new Error(`${path} remembers no seed: ${text}`);
  return { seed: Number(seed), size: size as Size, churn: kind.churn, ...(kind.operator ? { operator: true } : {}) };
}

function parseEdit(path: string, block: string): Edit {
  const [, file, find, put] = /^(\S+)\n([\s\S]+?)\n\+\+\+\n([\s\S]*?)\n?===\s*$/.exec(block) ?? [];
  if (file === undefined || find === undefined || put === undefined || find === put) {
    throw new Error(`${path} has a change that is none: "--- FILE", what is there, "+++", what comes instead, "===".`);
  }
  return { path: file, find, put };
}

/**
 * The sources that a mutant changes, changed.
 *
 * @param readSource Gives the text of a source file, by its path from the top of the repository.
 * @throws {Error} A text is not there exactly once.
 */
export function applyMutant(
  { path, edits }: Mutant,
  readSource: (path: string) => string,
): ReadonlyMap<string, string> {
  const sources = new Map<string, string>();
  for (const edit of edits) {
    const source = sources.get(edit.path) ?? readSource(edit.path);
    const parts = source.split(edit.find);
    if (parts.length !== 2) {
      throw new Error(`${path} is stale: its text is ${parts.length - 1} times in ${edit.path}:\n${edit.find}`);
    }
    sources.set(edit.path, parts.join(edit.put));
  }
  return sources;
}

/** The mutant's text with another run remembered. */
export function withRun({ text, caughtBy }: Mutant, run: Run): string {
  const line =
    "story" in run ? `story: ${run.story}` : `seed: ${run.seed}${run.size === "short" ? "" : `, ${run.size}`}`;
  if (caughtBy !== undefined) return text.replace(/^(seed|story): .*$/m, line);
  return text.replace(/^breaks: .*$/m, (breaks) => `${breaks}\n${line}`);
}
