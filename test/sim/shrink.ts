/**
 * Makes a failing run small: fewer faults, less time, until nothing can be left out.
 *
 * Strikes are numbered, and each draws from a stream of its own, so that leaving one out leaves the others as they are. What
 * happens after the failure is cut off first; then strikes are left out by halves, quarters and so on (Zeller and Hildebrandt
 * 2002, "ddmin"). Any failure of the same kind will do: its first words say which kind it is.
 */
import { runScenario, ScenarioFailure, type ScenarioOptions } from "./scenario.ts";

export type Shrunk = {
  readonly options: ScenarioOptions;
  /** Numbers of the strikes that are left. */
  readonly strikes: readonly number[];
  readonly message: string;
  readonly runs: number;
};

const RUNS_MAX = 200;
const STEP_MS = 1_000;

/**
 * @param options A run that fails.
 * @param tell Is told of each step that made it smaller.
 * @returns Undefined when it does not fail.
 */
export async function shrink(
  options: ScenarioOptions,
  tell: (line: string) => void,
  run: (options: ScenarioOptions) => Promise<unknown> = runScenario,
): Promise<Shrunk | undefined> {
  const fails = (next: ScenarioOptions) => failureOf(run, next);
  const first = await fails(options);
  if (first === undefined) return undefined;
  const kind = kindOf(first.message);
  let runs = 1;
  let best: ScenarioOptions = options;
  let message = first.message;
  let kept = Array.from({ length: first.strikes }, (_, i) => i);
  const all = kept;
  const attempt = async (next: ScenarioOptions): Promise<boolean> => {
    runs += 1;
    const failure = await fails(next);
    if (failure === undefined || kindOf(failure.message) !== kind) return false;
    best = next;
    message = failure.message;
    return true;
  };
  const having = (strikes: readonly number[]): ScenarioOptions => ({
    ...best,
    faults: { without: new Set(all.filter((strike) => !strikes.includes(strike))) },
  });
  for (
    let size = Math.ceil(kept.length / 2);
    size >= 1 && runs < RUNS_MAX;
    size = size === 1 ? 0 : Math.ceil(size / 2)
  ) {
    for (let at = 0; at < kept.length && runs < RUNS_MAX; ) {
      const rest = [...kept.slice(0, at), ...kept.slice(at + size)];
      if (await attempt(having(rest))) {
        kept = rest;
        tell(`${kept.length} strikes are enough`);
      } else at += size;
    }
  }
  for (let faultMs = shorter(first.atMs); faultMs >= STEP_MS && runs < RUNS_MAX; faultMs = shorter(faultMs)) {
    if (!(await attempt({ ...best, faultMs }))) break;
    tell(`${faultMs} ms are enough`);
  }
  return { options: best, strikes: kept, message, runs };
}

function shorter(ms: number): number {
  return Math.floor((ms * 0.8) / STEP_MS) * STEP_MS;
}

async function failureOf(
  run: (options: ScenarioOptions) => Promise<unknown>,
  options: ScenarioOptions,
): Promise<ScenarioFailure | undefined> {
  try {
    await run(options);
    return undefined;
  } catch (error) {
    if (!(error instanceof ScenarioFailure)) throw error;
    return error;
  }
}

/** A failure's words without its numbers. */
function kindOf(message: string): string {
  const [line = ""] = message.replace(/^seed \d+: /, "").split("\n");
  return line.replace(/\d+(\.\d+)?/g, "#").slice(0, 40);
}
