/**
 * One process of `npm run sim:mutants`: runs seeds over the compiled program of which some files are exchanged.
 *
 * The files are exchanged where modules are loaded, so that nothing on the disk changes and the mutant is gone with the
 * process. A seed fails when a checker of the simulation says so; what else may go wrong in broken code (an assertion of its
 * own, say) is told apart, for a mutant that only its own process notices says nothing of the checkers.
 */
import { registerHooks } from "node:module";

/** What the process is sent. */
export type Order = {
  /** Compiled text by the URL of the module that it replaces. */
  readonly sources: Readonly<Record<string, string>>;
  readonly seeds: readonly number[];
};

/** What it sends back, seed by seed. `checker`: a checker of the simulation was not content; `itself`: the code broke. */
export type Verdict = {
  readonly seed: number;
  readonly outcome: "passed" | "checker" | "itself";
  readonly message: string;
};

process.once("message", (order: Order) => {
  registerHooks({
    load(url, context, nextLoad) {
      const source = order.sources[url];
      return source === undefined ? nextLoad(url, context) : { format: "module", shortCircuit: true, source };
    },
  });
  runSeeds(order.seeds).then(
    () => process.disconnect(),
    (error: unknown) => {
      throw error;
    },
  );
});

async function runSeeds(seeds: readonly number[]): Promise<void> {
  // Only now, so that the hooks see it.
  const { runScenario, ScenarioFailure } = await import("../scenario.ts");
  for (const seed of seeds) {
    try {
      await runScenario({ seed });
      tell({ seed, outcome: "passed", message: "" });
    } catch (error) {
      const cause = error instanceof ScenarioFailure ? error.cause : error;
      tell({ seed, outcome: isOfChecker(cause) ? "checker" : "itself", message: messageOf(cause) });
    }
  }
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
  const [line = ""] = (error instanceof Error ? error.message : String(error)).split("\n");
  return line;
}
