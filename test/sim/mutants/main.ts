/**
 * `npm run sim:mutants`: shows that the simulation notices broken rules. Every mutant must be caught by one of its
 * checkers at a seed, or by a story, that the program without the mutant passes.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { mutantArguments, orUsage } from "../arguments.ts";
import { type Hunt, hunt } from "./hunt.ts";
import { applyMutant, describeRun, type Mutant, type Run, readMutants, withRun } from "./mutant.ts";

const ROOT = join(import.meta.dirname, "../../../..");
const all = readMutants(ROOT);
const names = all.map(({ name }) => name);
const values = orUsage("sim:mutants", () => mutantArguments(process.argv.slice(2), names));
const size = values.counted ? "counted" : "short";
const seeds = Array.from({ length: values.seeds }, (_, i) => values.from + i);
const startedMs = performance.now();
const queue = [...chosen(all)];
const count = queue.length;
const survivors: string[] = [];
/** How many were caught by runs of each kind. */
const kinds = new Map<string, number>();
await Promise.all(Array.from({ length: values.jobs }, work));
const caughtBy = [...kinds].map(([kind, times]) => `${times} by a ${kind}`).sort();
say(`${count - survivors.length} of ${count} mutants caught in ${secondsSince(startedMs)} s: ${caughtBy.join(", ")}`);
if (survivors.length > 0) {
  say(`not caught: ${survivors.sort().join(", ")}`);
  process.exitCode = 1;
}

function chosen(mutants: readonly Mutant[]): readonly Mutant[] {
  // All of them, before the first one runs: a stale one is known at once.
  for (const mutant of mutants) applyMutant(mutant, (path) => readFileSync(join(ROOT, path), "utf8"));
  const { only } = values;
  return only === undefined ? mutants : mutants.filter(({ name }) => only.includes(name));
}

async function work(): Promise<void> {
  for (let mutant = queue.shift(); mutant !== undefined; mutant = queue.shift()) {
    const { caughtBy, churn, operator } = mutant;
    const range = seeds.map((seed): Run => ({ seed, size, churn, ...(operator ? { operator: true } : {}) }));
    const runs = caughtBy === undefined ? range : [caughtBy, ...range];
    const beganMs = performance.now();
    const found = await hunt(ROOT, mutant, runs, values);
    if (values.trace) for (const line of found.caught?.trace ?? []) say(line);
    say(describe(mutant, found, secondsSince(beganMs)));
    if (found.caught === undefined) {
      survivors.push(mutant.name);
      continue;
    }
    const kind = kindOf(found.caught.run);
    kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
    if (values.record) writeFileSync(join(ROOT, mutant.path), withRun(mutant, found.caught.run));
  }
}

function kindOf(run: Run): string {
  if ("story" in run) return "story";
  return run.operator ? "seed with operators" : run.churn ? "seed with changes of the ring" : "seed";
}

function describe({ name, breaks, description }: Mutant, { caught, tried, itself }: Hunt, seconds: string): string {
  if (caught !== undefined) {
    const after = caught.tried === 1 ? "at once" : `after ${caught.tried} runs`;
    return `caught    ${name}: ${describeRun(caught.run)}, ${after}, ${seconds} s\n            ${caught.message}`;
  }
  const [first = "never"] = itself;
  return [
    `SURVIVED  ${name}: ${tried} runs, ${seconds} s`,
    `            ${description.replaceAll("\n", " ")} Breaks ${breaks}.`,
    `            broke by itself ${itself.length} times: ${first}`,
  ].join("\n");
}

function secondsSince(ms: number): string {
  return ((performance.now() - ms) / 1_000).toFixed(1);
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
