/**
 * Many seeds, over several processes: each asks for its next seeds when it is done with the last, so that none waits.
 *
 * A seed runs in one process from its beginning to its end, and its result does not depend on which one that is.
 */
import { fork } from "node:child_process";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { runScenario, ScenarioFailure, type ScenarioResult, type Size } from "./scenario.ts";

/** What a worker is sent, and what it sends back for each seed. */
export type Order = RunKind & { readonly seeds: readonly number[] };

/** What kind of runs the seeds are for; see `ScenarioOptions`. */
export type RunKind = { readonly size: Size; readonly churn?: boolean; readonly operator?: boolean };
export type Verdict = {
  readonly seed: number;
  /** Processor time of the seed, in ms. */
  readonly cpuMs: number;
  readonly result: ScenarioResult | undefined;
  /** Why it failed, with the line that repeats it. */
  readonly failure: string | undefined;
};

/** Almost all that a run makes is garbage soon: with more room for what is young, a tenth of the processor time is spared. */
const WORKER_OPTIONS = ["--max-semi-space-size=64"];
/** Seeds that a worker is sent at a time. */
const PORTION = 5;

/**
 * Runs seeds.
 *
 * @param plan `seeds` are drawn from as long as `mayGoOn` says so. `jobs` 1 runs them in this process.
 * @param tell Is told of each, in the order in which they end.
 */
export async function runCampaign(
  plan: RunKind & {
    readonly seeds: Iterator<number>;
    readonly jobs: number;
    readonly mayGoOn: () => boolean;
  },
  tell: (verdict: Verdict) => void,
): Promise<void> {
  const { seeds, jobs, mayGoOn, size, churn = false, operator = false } = plan;
  const kind = { size, churn, operator };
  const next = (): number | undefined => {
    if (!mayGoOn()) return undefined;
    const drawn = seeds.next();
    return drawn.done === true ? undefined : drawn.value;
  };
  if (jobs > 1) {
    await Promise.all(Array.from({ length: jobs }, () => runWorker(next, kind, tell)));
    return;
  }
  for (let seed = next(); seed !== undefined; seed = next()) tell(await judge(seed, kind));
}

/** Runs one seed in this process. */
export async function judge(seed: number, kind: RunKind): Promise<Verdict> {
  const before = process.cpuUsage();
  const spentMs = () => {
    const { user, system } = process.cpuUsage(before);
    return (user + system) / 1_000;
  };
  try {
    const result = await runScenario({ seed, ...kind });
    return { seed, cpuMs: spentMs(), result, failure: undefined };
  } catch (error) {
    if (!(error instanceof ScenarioFailure)) throw error;
    return { seed, cpuMs: spentMs(), result: undefined, failure: error.message };
  }
}

/**
 * Runs a seed that another process has run once more in this one. One seed gives one run, wherever it is run.
 *
 * @param first What came of it there.
 * @returns What is different here, in words; undefined where nothing is.
 */
export async function differenceHere(
  { seed, result: there, failure }: Verdict,
  kind: RunKind,
  run: typeof judge = judge,
): Promise<string | undefined> {
  const here = await run(seed, kind);
  // What comes from another process has no fields that are undefined.
  if (isDeepStrictEqual(plainOf([here.result, here.failure]), plainOf([there, failure]))) return undefined;
  const ends = [there?.hash ?? failure, here.result?.hash ?? here.failure];
  return `seed ${seed} gives another run in another process: ${ends.join(" there, and here ")}`;
}

function plainOf(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value));
}

function runWorker(next: () => number | undefined, what: RunKind, tell: (verdict: Verdict) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = fork(join(import.meta.dirname, "worker.js"), {
      execArgv: [...process.execArgv, ...WORKER_OPTIONS],
      stdio: ["ignore", "inherit", "inherit", "ipc"],
    });
    let waiting = 0;
    const feed = () => {
      const seeds: number[] = [];
      for (let seed = next(); seed !== undefined; seed = next()) {
        seeds.push(seed);
        if (seeds.length === PORTION) break;
      }
      waiting = seeds.length;
      if (waiting === 0) child.disconnect();
      else child.send({ seeds, ...what } satisfies Order);
    };
    child.on("message", (verdict: Verdict) => {
      tell(verdict);
      waiting -= 1;
      if (waiting === 0) feed();
    });
    child.on("error", reject);
    child.on("exit", (code) => {
      if (code === 0 && waiting === 0) resolve();
      else reject(new Error(`a worker of the simulation ended with ${code}, and ${waiting} seeds were not run`));
    });
    feed();
  });
}
