/**
 * `npm run sim:mutants`: shows that the simulation notices broken rules. Every mutant must be caught by one of its
 * checkers, at a seed that the program without the mutant passes.
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
await Promise.all(Array.from({ length: values.jobs }, work));
say(`${count - survivors.length} of ${count} mutants caught in ${secondsSince(startedMs)} s`);
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
    if (found.caught === undefined) survivors.push(mutant.name);
    else if (values.record) writeFileSync(join(ROOT, mutant.path), withRun(mutant, found.caught.run));
  }
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
