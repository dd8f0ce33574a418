/** `npm run sim`: many seeds, or one with its story told, or a failing one made small. */
import { parseArgs } from "node:util";
import { runCampaign } from "./campaign.ts";
import { runScenario, ScenarioFailure, type ScenarioOptions, type Size } from "./scenario.ts";
import { shrink } from "./shrink.ts";
import { Summary } from "./summary.ts";

const { values } = parseArgs({
  options: {
    seeds: { type: "string", default: "100" },
    from: { type: "string", default: "1" },
    seed: { type: "string" },
    /** Small and quick clusters, as the fast tests run them. */
    short: { type: "boolean", default: false },
    /** The ring changes meanwhile. */
    churn: { type: "boolean", default: false },
    /** The nodes run in a simulated Kubernetes, and operators change their ring. */
    operator: { type: "boolean", default: false },
    trace: { type: "boolean", default: false },
    jobs: { type: "string", default: "1" },
    /** Leave out what of a failing seed's faults is not needed for it to fail. */
    shrink: { type: "boolean", default: false },
    /** Only these strikes, and only so many ms with faults, as `--shrink` says. */
    strikes: { type: "string" },
    "fault-ms": { type: "string" },
    /** Begin no further seed after so many seconds. */
    seconds: { type: "string" },
    /** Fail when something never happened that should have. */
    sometimes: { type: "boolean", default: false },
    /** Fail when fewer seeds than this count. */
    least: { type: "string", default: "0" },
  },
});
const { churn, operator } = values;
const size: Size = values.short ? "short" : "counted";
/** No run has more. */
const STRIKES_MAX = 1_000;
const say = (text: string) => process.stdout.write(`${text}\n`);

if (values.seed === undefined) await runMany();
else if (values.shrink) await shrinkOne(Number(values.seed));
else await runOne(Number(values.seed));

async function runMany(): Promise<void> {
  Error.stackTraceLimit = 0;
  const [first, count] = [values.from === "date" ? seedOfDay() : Number(values.from), Number(values.seeds)];
  const startedMs = performance.now();
  const seconds = () => (performance.now() - startedMs) / 1_000;
  const secondsMax = values.seconds === undefined ? Number.POSITIVE_INFINITY : Number(values.seconds);
  const summary = new Summary({ churn, operator });
  const seeds = Array.from({ length: count }, (_, i) => first + i).values();
  await runCampaign(
    { seeds, size, churn, operator, jobs: Number(values.jobs), mayGoOn: () => seconds() < secondsMax },
    (verdict) => {
      summary.add(verdict);
      if (verdict.failure !== undefined) say(verdict.failure);
    },
  );
  say(summary.totals());
  const missing = summary.neverMet;
  if (missing.length > 0) say(`never met:\n${missing.map((what) => `  ${what}`).join("\n")}`);
  say(summary.lines(`seeds ${first} to ${first + summary.count - 1}`, seconds()));
  const least = Number(values.least);
  if (summary.counted < least) say(`too few: ${summary.counted} of at least ${least} seeds count`);
  const isPoor = summary.counted < least || (values.sometimes && missing.length > 0);
  if (summary.failures.length > 0 || isPoor) process.exitCode = 1;
}

/** Each day has a hundred thousand seeds of its own, so that nobody runs the same ones every day. */
function seedOfDay(): number {
  return Math.floor(Date.now() / 86_400_000) * 100_000;
}

/** What of a seed is to be run. */
function optionsOf(seed: number): ScenarioOptions {
  const faultMs = values["fault-ms"] === undefined ? {} : { faultMs: Number(values["fault-ms"]) };
  if (values.strikes === undefined) return { seed, size, churn, operator, ...faultMs };
  const kept = new Set(
    values.strikes
      .split(",")
      .filter((text) => text !== "")
      .map(Number),
  );
  const without = new Set(Array.from({ length: STRIKES_MAX }, (_, i) => i).filter((strike) => !kept.has(strike)));
  return { seed, size, churn, operator, ...faultMs, faults: { without } };
}

async function runOne(seed: number): Promise<void> {
  try {
    const { trace, ...result } = await runScenario({ ...optionsOf(seed), trace: values.trace });
    if (values.trace) say(trace.join("\n"));
    say(JSON.stringify(result, undefined, 2));
  } catch (error) {
    if (!(error instanceof ScenarioFailure)) throw error;
    if (values.trace) say(error.trace.join("\n"));
    say(error.message);
    if (error.cause instanceof Error) say(`${error.cause.stack}`);
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
