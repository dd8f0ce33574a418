/** `npm run sim`: many seeds, or one with its story told. */
import { parseArgs } from "node:util";
import { runScenario, ScenarioFailure, type ScenarioResult } from "./scenario.ts";

const { values } = parseArgs({
  options: {
    seeds: { type: "string", default: "100" },
    from: { type: "string", default: "1" },
    seed: { type: "string" },
    trace: { type: "boolean", default: false },
  },
});

const first = Number(values.seed ?? values.from);
const count = values.seed === undefined ? Number(values.seeds) : 1;
const results: ScenarioResult[] = [];
let failures = 0;
const startedMs = performance.now();
for (let seed = first; seed < first + count; seed++) {
  try {
    results.push(await runScenario({ seed, trace: values.trace }));
  } catch (error) {
    if (!(error instanceof ScenarioFailure)) throw error;
    failures += 1;
    if (values.trace) process.stdout.write(`${error.trace.join("\n")}\n`);
    process.stdout.write(`${error.message}\n`);
    if (values.seed !== undefined && error.cause instanceof Error) process.stdout.write(`${error.cause.stack}\n`);
  }
}
process.stdout.write(`${summary()}\n`);
if (failures > 0) process.exitCode = 1;

function summary(): string {
  const totals = new Map<string, number>();
  for (const { faults, counters } of results) {
    for (const [name, times] of [...Object.entries(faults), ...Object.entries(counters)]) {
      totals.set(name, (totals.get(name) ?? 0) + times);
    }
  }
  const seconds = (performance.now() - startedMs) / 1_000;
  const median = (of: (result: ScenarioResult) => number) =>
    results.map(of).sort((a, b) => a - b)[results.length >> 1] ?? 0;
  return [
    ...[...totals].sort().map(([name, times]) => `  ${String(times).padStart(9)}  ${name}`),
    `medians: ${median((r) => r.operations)} operations, ${median((r) => r.acknowledged)} acknowledged, ${median((r) => r.events)} events`,
    `${count} seeds from ${first} in ${seconds.toFixed(1)} s: ${results.length} passed, ${failures} failed`,
  ].join("\n");
}
