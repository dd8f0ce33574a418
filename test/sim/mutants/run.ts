/**
 * One process of `npm run sim:mutants`: runs seeds over the compiled program of which some files are exchanged.
 *
 * The files are exchanged where modules are loaded, so that nothing on the disk changes and the mutant is gone with the
 * process. A seed fails when a checker of the simulation says so; what else may go wrong in broken code (an assertion of its
 * own, say) is told apart, for a mutant that only its own process notices says nothing of the checkers.
 */
import { registerHooks } from "node:module";
import type { Run } from "./mutant.ts";
import { tellAll } from "./stories.ts";

/** What the process is sent. */
export type Order = {
  /** Compiled text by the URL of the module that it replaces. */
  readonly sources: Readonly<Record<string, string>>;
  readonly runs: readonly Run[];
  /** Whether a seed that fails sends its story with its verdict. */
  readonly trace?: boolean;
};

/** What it sends back, run by run. `checker`: a checker of the simulation was not content; `itself`: the code broke. */
export type Verdict = {
  readonly run: Run;
  readonly outcome: "passed" | "checker" | "itself";
  readonly message: string;
  /** The told lines of a seed that failed, if they were asked for. */
  readonly trace?: readonly string[];
};

const STORIES = new URL("./stories.js", import.meta.url).href;
const TOP = new URL("../../../", import.meta.url);

process.once("message", (order: Order) => {
  registerHooks({
    resolve(specifier, context, nextResolve) {
      return nextResolve(specifier === "@jest/globals" ? STORIES : specifier, context);
    },
    load(url, context, nextLoad) {
      const source = order.sources[url];
      return source === undefined ? nextLoad(url, context) : { format: "module", shortCircuit: true, source };
    },
  });
  runAll(order).then(
    () => process.disconnect(),
    (error: unknown) => {
      throw error;
    },
  );
});

async function runAll({ runs, trace: isTold = false }: Order): Promise<void> {
  for (const run of runs) {
    let trace: readonly string[] = [];
    const onFailure = (told: readonly string[]) => {
      trace = told;
    };
    try {
      if ("story" in run) await tellStories(run.story);
      else await runSeed(run, isTold, onFailure);
      tell({ run, outcome: "passed", message: "" });
    } catch (error) {
      tell({ run, outcome: isOfChecker(error) ? "checker" : "itself", message: messageOf(error), trace });
    }
  }
}

/** Modules are loaded only now, so that the hooks see them. */
async function runSeed(
  run: Extract<Run, { readonly seed: number }>,
  isTold: boolean,
  onFailure: (trace: readonly string[]) => void,
): Promise<void> {
  const { runScenario, ScenarioFailure } = await import("../scenario.ts");
  try {
    await runScenario({ ...run, trace: isTold });
  } catch (error) {
    if (!(error instanceof ScenarioFailure)) throw error;
    onFailure(error.trace);
    throw error.cause;
  }
}

async function tellStories(path: string): Promise<void> {
  await import(new URL(path.replace(/\.ts$/, ".js"), TOP).href);
  await tellAll();
}

function tell(verdict: Verdict): void {
  process.send?.(verdict);
}

/** Whether the assertion that failed stands in the simulation and not in what it runs. */
function isOfChecker(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const thrower = error.stack?.split("\n").find((line) => /^\s+at .*\/dist\/(node|test)\//.test(line));
  return error.name === "AssertionError" && thrower !== undefined && thrower.includes("/dist/test/sim/");
}

function messageOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text
    .split("\n")
    .filter((line) => line.trim() !== "")
    .slice(0, 3)
    .join(" ");
}
