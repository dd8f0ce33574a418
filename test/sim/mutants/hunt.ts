/** Hunts one mutant: compiles it, and runs seeds against it in a process of its own until a checker catches it. */
import { fork } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { transformSync } from "@swc/core";
import { applyMutant, type Mutant } from "./mutant.ts";
import type { Order, Verdict } from "./run.ts";

export type Catch = {
  readonly seed: number;
  /** What the checker said. */
  readonly message: string;
  /** Seeds that were tried. */
  readonly tried: number;
};

/** What became of a hunt. `itself`: how often the broken code noticed by itself, and what it said. */
export type Hunt = { readonly caught: Catch | undefined; readonly tried: number; readonly itself: readonly string[] };

/** A seed that takes longer hangs. */
const SEED_MS_MAX = 120_000;

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
 * Runs seeds until one catches the mutant that the program without it passes.
 *
 * @param root Top of the repository; what was compiled lies in its `dist`.
 * @param seeds In the order in which they are tried.
 * @throws {Error} The mutant is stale, or a process ended by itself.
 */
export async function hunt(root: string, mutant: Mutant, seeds: readonly number[]): Promise<Hunt> {
  const sources = Object.fromEntries(
    [...applyMutant(mutant, (path) => readFileSync(join(root, path), "utf8"))].map(([path, source]) => [
      pathToFileURL(join(root, "dist", path.replace(/\.ts$/, ".js"))).href,
      compile(path, source),
    ]),
  );
  const itself: string[] = [];
  let tried = 0;
  let left = seeds;
  while (left.length > 0) {
    const last = await runUntil({ sources, seeds: left }, ({ seed, outcome, message }) => {
      tried += 1;
      if (outcome === "itself") itself.push(`seed ${seed}: ${message}`);
      return outcome === "checker";
    });
    if (last === undefined) break;
    if (await passesWithout(last.seed)) return { caught: { ...last, tried }, tried, itself };
    left = left.slice(left.indexOf(last.seed) + 1);
  }
  return { caught: undefined, tried, itself };
}

/** Seeds that were tried without any mutant. */
const tries = new Map<number, Promise<boolean>>();

function passesWithout(seed: number): Promise<boolean> {
  const known = tries.get(seed);
  if (known !== undefined) return known;
  const attempt = runUntil({ sources: {}, seeds: [seed] }, ({ outcome }) => outcome !== "passed");
  const passes = attempt.then((failure) => failure === undefined);
  tries.set(seed, passes);
  return passes;
}

/** Runs seeds in a new process, up to the first verdict that `isEnough`; undefined when none was. */
function runUntil(order: Order, isEnough: (verdict: Verdict) => boolean): Promise<Verdict | undefined> {
  return new Promise((resolve, reject) => {
    const child = fork(join(import.meta.dirname, "run.js"), { stdio: ["ignore", "inherit", "inherit", "ipc"] });
    let found: Verdict | undefined;
    let heard = 0;
    let hanging: NodeJS.Timeout | undefined;
    const watch = () => {
      clearTimeout(hanging);
      hanging = setTimeout(() => child.kill("SIGKILL"), SEED_MS_MAX);
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
      if (found !== undefined || (code === 0 && heard === order.seeds.length)) resolve(found);
      else reject(new Error(`a process ended with ${signal ?? code} at seed ${order.seeds[heard]}`));
    });
    child.send(order);
  });
}
