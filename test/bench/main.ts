/**
 * `npm run bench`: closed-loop load over three real node processes, beside the limits of the machine it runs on.
 *
 * Loads the keys, runs the workloads with the bare servers before, between and after them, reads every key once more,
 * and prints a table. Ends with 1 when any answer was an error, stale or wrong. See docs/benchmarks.md.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { measureClientLibrary, type SideFigures } from "./client-library.ts";
import { clientErrors, renderClient } from "./client-report.ts";
import { LocalCluster } from "./cluster.ts";
import type { KeySpace } from "./exchanges.ts";
import { seededUniform, type Uniform } from "./keys.ts";
import type { LevelFigures } from "./limit-level.ts";
import {
  type BareFigures,
  measureBareServer,
  measureLevel,
  measureWorkload,
  newKeySpace,
  sweep,
  type WorkloadFigures,
} from "./measure.ts";
import { renderProfile } from "./profile.ts";
import { type BenchRun, failureCount, machineFacts, renderRun, type SweepReport } from "./report.ts";
import { runTelemetryCost } from "./telemetry-cost.ts";
import { allWorkloads, quickWorkloads, type Workload } from "./workloads.ts";

const USAGE = `npm run bench -- [options]
  --quick            only the workloads with goals, shorter, fewer keys
  --only TEXT        only the workloads whose name holds TEXT (several: separated by commas)
  --seconds S        measured time of each workload (5; quick: 3)
  --keys K           keys loaded for each value size (100000; quick: 20000)
  --seed S           of keys and mixes (1)
  --client           only the client library against plain HTTP round robin
  --no-limits        without the bare servers and raw classic-level
  --json FILE        writes the figures as JSON
  --markdown FILE    puts the tables between the run:begin and run:end marks (--client: client:begin, client:end) of a Markdown file
  --profile          profiles the nodes (slower) and prints where their CPU went; takes one workload
  --telemetry        instead: CPU of 10 interleaved pairs of runs, with metrics, with traces at 1 %, and without either
  --list             prints the names of the workloads
`;

type Options = {
  readonly workloads: readonly Workload[];
  readonly seconds: number;
  readonly warmUpSeconds: number;
  readonly keyCount: number;
  readonly seed: number;
  readonly limits: boolean;
  readonly clientOnly: boolean;
  readonly clientRounds: number;
  readonly json: string | undefined;
  readonly markdown: string | undefined;
  readonly profile: boolean;
  readonly telemetry: boolean;
};

/** A group of workloads shares the bare servers that run before and after it. */
const GROUP_SIZE = 4;
/** Rounds of the comparison of clients, and the keys that each side uses; many short rounds say more than a few long ones. */
const CLIENT_ROUNDS = 15;
const CLIENT_ROUNDS_QUICK = 5;
const CLIENT_SECONDS_MAX = 1.25;
const CLIENT_KEYS = 2_000;

function parseOptions(args: string[]): Options | string {
  const { values } = parseArgs({
    args,
    options: {
      quick: { type: "boolean", default: false },
      only: { type: "string" },
      seconds: { type: "string" },
      keys: { type: "string" },
      seed: { type: "string", default: "1" },
      client: { type: "boolean", default: false },
      "no-limits": { type: "boolean", default: false },
      json: { type: "string" },
      markdown: { type: "string" },
      profile: { type: "boolean", default: false },
      list: { type: "boolean", default: false },
      telemetry: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) return USAGE;
  const known = values.quick ? quickWorkloads() : allWorkloads();
  if (values.list) return `${known.map(({ name }) => name).join("\n")}\n`;
  const wanted = values.only?.split(",");
  const workloads = known.filter(({ name }) => wanted?.some((text) => name.includes(text)) ?? true);
  if (workloads.length === 0) return `No workload is called ${values.only}; --list prints their names.\n`;
  const seconds = Number(values.seconds ?? (values.quick ? 3 : 5));
  return {
    workloads: values.profile ? workloads.slice(0, 1) : workloads,
    seconds,
    warmUpSeconds: Math.min(2, seconds / 2),
    keyCount: Number(values.keys ?? (values.quick ? 20_000 : 100_000)),
    seed: Number(values.seed),
    limits: !values["no-limits"] && !values.profile,
    clientOnly: values.client,
    clientRounds: values.quick ? CLIENT_ROUNDS_QUICK : CLIENT_ROUNDS,
    json: values.json,
    markdown: values.markdown,
    profile: values.profile,
    telemetry: values.telemetry,
  };
}

function say(text: string): void {
  process.stderr.write(`${text}\n`);
}

async function run(options: Options): Promise<BenchRun> {
  const bare: BareFigures[] = [];
  const workloads: WorkloadFigures[] = [];
  const sweeps: SweepReport[] = [];
  const level: (LevelFigures & { valueBytes: number })[] = [];
  const uniform = seededUniform(options.seed);
  const startedAt = new Date().toISOString();
  const cluster = await LocalCluster.start();
  try {
    const spaces = new Map<number, KeySpace>();
    for (const { valueBytes } of options.workloads) {
      if (spaces.has(valueBytes)) continue;
      const space = newKeySpace(valueBytes, options.keyCount);
      spaces.set(valueBytes, space);
      sweeps.push(await sweepReport(cluster, space, "write"));
    }
    for (let from = 0; from < options.workloads.length; from += GROUP_SIZE) {
      const group = options.workloads.slice(from, from + GROUP_SIZE);
      if (options.limits) bare.push(...(await measureBare(options, group, from === 0)));
      for (const workload of group) {
        const space = spaces.get(workload.valueBytes);
        if (space !== undefined) workloads.push(await runWorkload(cluster, space, workload, uniform, options));
      }
      if (options.limits) bare.push(...(await measureBare(options, group, false)));
    }
    for (const space of spaces.values()) sweeps.push(await sweepReport(cluster, space, "read"));
    if (options.profile) await profile(cluster, spaces, uniform, options);
    else if (options.limits) {
      for (const valueBytes of spaces.keys()) {
        say(`raw classic-level, ${valueBytes} B`);
        const figures = await measureLevel(valueBytes, options.keyCount, Math.min(3, options.seconds));
        level.push(...figures.map((each) => ({ ...each, valueBytes })));
      }
    }
  } finally {
    const hung = await cluster.stop();
    if (hung.length > 0) say(`had to be killed at the end: ${hung.join(", ")}`);
  }
  const client = options.profile ? [] : await runClient(options);
  const { seed, keyCount, seconds, warmUpSeconds } = options;
  const settings = { seed, keys: keyCount, seconds, warmUpSeconds };
  return { startedAt, machine: machineFacts(), settings, bare, level, sweeps, workloads, client };
}

/** The client library against plain round robin, in turns. */
async function runClient(options: Options): Promise<readonly SideFigures[]> {
  const { seed, clientRounds: rounds } = options;
  const seconds = Math.min(CLIENT_SECONDS_MAX, options.seconds);
  say(`the client library against plain HTTP round robin, ${rounds} rounds of ${seconds} s`);
  return await measureClientLibrary({ seed, seconds, rounds, keyCount: CLIENT_KEYS });
}

/** Bare `node:http` for each number of connections of a group, Express once. */
async function measureBare(options: Options, group: readonly Workload[], withExpress: boolean): Promise<BareFigures[]> {
  const timing = { warmUpSeconds: 1, seconds: Math.min(3, options.seconds) };
  const figures: BareFigures[] = [];
  for (const connections of new Set(group.map((workload) => workload.connections))) {
    for (const server of withExpress ? (["node", "express"] as const) : (["node"] as const)) {
      const bare = await measureBareServer(server, connections, timing);
      say(`bare ${server} ${connections}c: ${bare.operationsPerCpuSecond.toFixed(0)} ops per CPU-second`);
      figures.push(bare);
    }
  }
  return figures;
}

async function sweepReport(cluster: LocalCluster, space: KeySpace, kind: "read" | "write"): Promise<SweepReport> {
  const figures = await sweep(cluster.dataPorts, space, kind);
  const { operations, seconds, errors, complaints } = figures;
  const name = `${kind === "write" ? "load" : "check"} ${space.valueBytes} B`;
  say(`${name}: ${operations} in ${seconds.toFixed(1)} s, ${errors} errors`);
  for (const complaint of complaints) say(`  ${complaint}`);
  return { name, operations, seconds, errors, complaints };
}

async function runWorkload(
  cluster: LocalCluster,
  space: KeySpace,
  workload: Workload,
  uniform: Uniform,
  options: Options,
): Promise<WorkloadFigures> {
  const figures = await measureWorkload(cluster, space, workload, uniform, options);
  const rates = `${figures.operationsPerSecond.toFixed(0)}/s, ${figures.operationsPerCpuSecond.toFixed(0)} per CPU-second`;
  say(`${workload.name}: ${rates}, p99 ${figures.p99Ms.toFixed(1)} ms, ${figures.errors} errors`);
  for (const complaint of figures.complaints) say(`  ${complaint}`);
  return figures;
}

/** Runs the workload again over nodes that write CPU profiles. */
async function profile(
  cluster: LocalCluster,
  spaces: ReadonlyMap<number, KeySpace>,
  uniform: Uniform,
  options: Options,
): Promise<void> {
  const [workload] = options.workloads;
  const space = spaces.get(workload?.valueBytes ?? 0);
  if (workload === undefined || space === undefined) return;
  const directory = mkdtempSync(join(tmpdir(), "annulus-profile-"));
  await cluster.stopProcesses();
  await cluster.startAll(["--cpu-prof", `--cpu-prof-dir=${directory}`, "--cpu-prof-interval=250"]);
  const { operations } = await runWorkload(cluster, space, workload, uniform, { ...options, warmUpSeconds: 2 });
  await cluster.stopProcesses();
  // Start and warm-up are some three seconds of the profile.
  process.stdout.write(renderProfile(directory, 3 / (3 + options.seconds), operations));
  rmSync(directory, { recursive: true, force: true });
}

/** Replaces what stands between the marks of a Markdown file. */
function writeMarkdown(file: string, marks: "run" | "client", text: string): void {
  const [begin, end] = [`<!-- ${marks}:begin -->`, `<!-- ${marks}:end -->`];
  const document = readFileSync(file, "utf8");
  const from = document.indexOf(begin);
  const until = document.indexOf(end);
  if (from < 0 || until < from) throw new Error(`${file} has no ${begin} … ${end}`);
  writeFileSync(file, `${document.slice(0, from + begin.length)}\n${text}${document.slice(until)}`);
}

const options = parseOptions(process.argv.slice(2));
if (typeof options === "string") {
  process.stdout.write(options);
} else if (options.clientOnly) {
  const sides = await runClient(options);
  const text = `${new Date().toISOString()}\n\n${renderClient(sides)}\n`;
  process.stdout.write(text);
  if (options.markdown !== undefined) writeMarkdown(options.markdown, "client", text);
  process.exitCode = clientErrors(sides) > 0 ? 1 : 0;
} else if (options.telemetry) {
  const { keyCount, seconds, seed } = options;
  await runTelemetryCost({ keyCount, seconds, seed, say: (line) => process.stdout.write(`${line}\n`) });
} else {
  const result = await run(options);
  process.stdout.write(renderRun(result));
  if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify(result, undefined, 2)}\n`);
  if (options.markdown !== undefined) writeMarkdown(options.markdown, "run", renderRun(result));
  process.exitCode = failureCount(result) === 0 ? 0 : 1;
}
