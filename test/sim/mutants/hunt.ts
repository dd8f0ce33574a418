/** Hunts one mutant: compiles it, and runs seeds against it in a process of its own until a checker catches it. */
import { fork } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { transformSync } from "@swc/core";
import { applyMutant, describeRun, type Mutant, type Run } from "./mutant.ts";
import type { Order, Verdict } from "./run.ts";

export type Catch = {
  readonly run: Run;
  /** What the checker said. */
  readonly message: string;
  /** Runs that it took. */
  readonly tried: number;
  /** The story of the run, where it was a seed and was to be told. */
  readonly trace: readonly string[];
};

/** What became of a hunt. `itself`: how often the broken code noticed by itself, and what it said. */
export type Hunt = { readonly caught: Catch | undefined; readonly tried: number; readonly itself: readonly string[] };

/** A run that takes longer hangs. */
const RUN_MS_MAX = 300_000;

const COMPILER: Parameters<typeof transformSync>[1] = {
  jsc: { parser: { syntax: "typescript" }, target: "es2024" },
  module: { type: "es6" },
  sourceMaps: false,
};
/** What an import ends with, which the compiler leaves as it is. */
const IMPORTED = /(\bfrom\s+|\bimport\(?\s*)"(\.[^"]*)\.ts"/g;

/** The compiled text of a source file, as `tsc` would write it. */
export function compile(path: string, source: string): string {
  return transformSync(source, { ...COMPILER, filename: path }).code.replace(IMPORTED, '$1"$2.js"');
}

/**
 * Tries runs until one catches the mutant that the program without it passes.
 *
 * @param root Top of the repository; what was compiled lies in its `dist`.
 * @param runs In the order in which they are tried.
 * @param options `trace`: whether the run that catches it is told.
 * @throws {Error} The mutant is stale, or a process ended by itself.
 */
export async function hunt(
  root: string,
  mutant: Mutant,
  runs: readonly Run[],
  { trace = false }: { readonly trace?: boolean } = {},
): Promise<Hunt> {
  const sources = Object.fromEntries(
    [...applyMutant(mutant, (path) => readFileSync(join(root, path), "utf8"))].map(([path, source]) => [
      pathToFileURL(join(root, "dist", path.replace(/\.ts$/, ".js"))).href,
      compile(path, source),
    ]),
  );
  const itself: string[] = [];
  let tried = 0;
  let left = runs;
  while (left.length > 0) {
    const last = await runUntil({ sources, runs: left, trace }, ({ run, outcome, message }) => {
      tried += 1;
      if (outcome === "itself") itself.push(`${describeRun(run)}: ${message}`);
      return outcome === "checker";
    });
    if (last === undefined) break;
    const { run, message, trace: told = [] } = last;
    if (await passesWithout(run)) return { caught: { run, message, tried, trace: told }, tried, itself };
    left = left.slice(left.findIndex((other) => describeRun(other) === describeRun(run)) + 1);
  }
  return { caught: undefined, tried, itself };
}

/** Runs that were tried without any mutant. */
const tries = new Map<string, Promise<boolean>>();

function passesWithout(run: Run): Promise<boolean> {
  const name = describeRun(run);
  const known = tries.get(name);
  if (known !== undefined) return known;
  const attempt = runUntil({ sources: {}, runs: [run] }, ({ outcome }) => outcome !== "passed");
  const passes = attempt.then((failure) => failure === undefined);
  tries.set(name, passes);
  return passes;
}

/** Runs them in a new process, up to the first verdict that `isEnough`; undefined when none was. */
function runUntil(order: Order, isEnough: (verdict: Verdict) => boolean): Promise<Verdict | undefined> {
  return new Promise((resolve, reject) => {
    const child = fork(join(import.meta.dirname, "run.js"), { stdio: ["ignore", "inherit", "inherit", "ipc"] });
    let found: Verdict | undefined;
    let heard = 0;
    let hanging: NodeJS.Timeout | undefined;
    const watch = () => {
      clearTimeout(hanging);
      hanging = setTimeout(() => child.kill("SIGKILL"), RUN_MS_MAX);
    };
    watch();
    child.on("message", (verdict: Verdict) => {
      watch();
      heard += 1;
      if (found !== undefined || !isEnough(verdict)) return;
      found = verdict;
      child.kill("SIGKILL");
    });
    child.on("error", reject);
    child.on("exit", (code, signal) => {
      clearTimeout(hanging);
      if (found !== undefined || (code === 0 && heard === order.runs.length)) resolve(found);
      else reject(new Error(`a process ended with ${signal ?? code} after ${heard} runs`));
    });
    child.send(order);
  });
}
