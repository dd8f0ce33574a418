/**
 * Which blocks of the project's own code were run since the last look, by V8's own counting (`node:inspector`).
 *
 * A look costs a millisecond or two, so that it is taken once for many inputs, and for each of them alone only where
 * the many had run something new.
 */
import { type Profiler, Session } from "node:inspector";

export type Coverage = {
  /** Blocks that were run since the last look and are not remembered. */
  look(): readonly string[];
  /** From now on these are nothing new. */
  remember(blocks: readonly string[]): void;
  /** Blocks remembered so far. */
  blocks(): number;
  stop(): void;
};

/** Begins to count. */
export function startCoverage(): Coverage {
  const session = new Session();
  session.connect();
  session.post("Profiler.enable");
  session.post("Profiler.startPreciseCoverage", { callCount: true, detailed: true });
  const seen = new Set<string>();
  return {
    look() {
      let found: string[] = [];
      // The in-process session answers before `post` returns.
      session.post("Profiler.takePreciseCoverage", (_error, { result }) => {
        found = result.filter(({ url }) => isOwn(url)).flatMap(blocksOf);
      });
      return found.filter((block) => !seen.has(block));
    },
    remember(blocks) {
      for (const block of blocks) seen.add(block);
    },
    blocks: () => seen.size,
    stop: () => session.disconnect(),
  };
}

function isOwn(url: string): boolean {
  return /\/(node|operator)\/.*\.[jt]s$/.test(url) && !url.includes("node_modules");
}

/** By where they begin: where one ends depends on what its neighbours were counted, too. */
function blocksOf({ url, functions }: Profiler.ScriptCoverage): string[] {
  return functions.flatMap(({ ranges }) =>
    ranges.flatMap(({ startOffset, count }) => (count > 0 ? [`${url}:${startOffset}`] : [])),
  );
}
