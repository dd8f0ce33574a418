/** `npm run sim`: many seeds, or one with its story told, or a failing one made small. */
import { orUsage, simArguments } from "./arguments.ts";
import { differenceHere, runCampaign, type Verdict } from "./campaign.ts";
import { runScenario, ScenarioFailure, type ScenarioOptions, type Size } from "./scenario.ts";
import { shrink } from "./shrink.ts";
import { Summary, verdictOf } from "./summary.ts";

const values = orUsage("sim", () => simArguments(process.argv.slice(2)));
const { churn, operator } = values;
const size: Size = values.short ? "short" : "counted";
/** No run has more. */
const STRIKES_MAX = 1_000;
const say = (text: string) => process.stdout.write(`${text}\n`);

if (values.seed === undefined) await runMany();
else if (values.shrink) await shrinkOne(values.seed);
else await runOne(values.seed);

async function runMany(): Promise<void> {
  Error.stackTraceLimit = 0;
  const first = values.from === "date" ? seedOfDay() : values.from;
  const startedMs = performance.now();
  const seconds = () => (performance.now() - startedMs) / 1_000;
  const secondsMax = values.seconds ?? Number.POSITIVE_INFINITY;
  const summary = new Summary({ churn, operator });
  const seeds = Array.from({ length: values.seeds }, (_, i) => first + i).values();
  const { jobs, least } = values;
  let earliest: Verdict | undefined;
  await runCampaign({ seeds, size, churn, operator, jobs, mayGoOn: () => seconds() < secondsMax }, (verdict) => {
    earliest ??= verdict;
    summary.add(verdict);
    if (verdict.failure !== undefined) say(verdict.failure);
  });
  say(summary.totals());
  const missing = summary.neverMet;
  const why = values.sometimes ? "" : " (rare: it takes more seeds)";
  if (missing.length > 0) say(`never met${why}:\n${missing.map((what) => `  ${what}`).join("\n")}`);
  say(summary.lines(`seeds ${first} to ${first + summary.count - 1}`, seconds()));
  const wrong: string[] = [];
  if (summary.counted < least) wrong.push(`too few: ${summary.counted} of at least ${least} seeds count`);
  if (size === "counted" && summary.tooFew !== undefined) wrong.push(summary.tooFew);
  // With one job this process has run them all, and a test does the same twice.
  const isElsewhere = jobs > 1 && earliest !== undefined;
  const difference = isElsewhere ? await differenceHere(earliest as Verdict, { size, churn, operator }) : undefined;
  if (difference !== undefined) wrong.push(difference);
  for (const what of wrong) say(what);
  const isPoor = wrong.length > 0 || (values.sometimes && missing.length > 0);
  if (summary.failures.length > 0 || isPoor) process.exitCode = 1;
}

/** Each day has a hundred thousand seeds of its own, so that nobody runs the same ones every day. */
function seedOfDay(): number {
  return Math.floor(Date.now() / 86_400_000) * 100_000;
}

/** What of a seed is to be run. */
function optionsOf(seed: number): ScenarioOptions {
  const faultMs = values.faultMs === undefined ? {} : { faultMs: values.faultMs };
  if (values.strikes === undefined) return { seed, size, churn, operator, ...faultMs };
  const kept = new Set(values.strikes);
  const without = new Set(Array.from({ length: STRIKES_MAX }, (_, i) => i).filter((strike) => !kept.has(strike)));
  return { seed, size, churn, operator, ...faultMs, faults: { without } };
}

async function runOne(seed: number): Promise<void> {
  try {
    const { trace, ...result } = await runScenario({ ...optionsOf(seed), trace: values.trace });
    say(values.trace ? trace.join("\n") : JSON.stringify(result, undefined, 2));
    say(verdictOf({ ...result, trace }));
  } catch (error) {
    if (!(error instanceof ScenarioFailure)) throw error;
    if (values.trace) say(error.trace.join("\n"));
    say(error.message);
    if (error.cause instanceof Error) say(`${error.cause.stack}`);
    say(`seed ${seed} failed`);
    process.exitCode = 1;
  }
}

async function shrinkOne(seed: number): Promise<void> {
  const shrunk = await shrink(optionsOf(seed), say);
  if (shrunk === undefined) {
    say(`seed ${seed} does not fail`);
    return;
  }
  const { options, strikes, message, runs } = shrunk;
  const time = options.faultMs === undefined ? "" : ` --fault-ms ${options.faultMs}`;
  say(`${message.split("\n")[0]}`);
  say(
    `after ${runs} runs: npm run sim -- --seed ${seed}${values.short ? " --short" : ""}${operator ? " --operator" : churn ? " --churn" : ""} --strikes ${strikes}${time} --trace`,
  );
  process.exitCode = 1;
}
