/**
 * `npm run bench:repair`: what repair sends and how long it takes, and what keeping the trees costs a write.
 *
 * Two nodes of the shipped code in this process, each with LevelDB on this disk, linked over TCP on loopback. The
 * pairs are written straight into both stores as encoded records, the same bytes on both sides except where they are to differ
 * (a third missing here, a third missing there, a third an older version there). The trees are built by scan, laid down by
 * a clean stop, and taken up by the start that is measured. Bytes are what the sockets carried, both ways.
 */
import { mkdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { createLevelEngine } from "../../node/adapters/level/engine.ts";
import { createTreeCost } from "./repair-cost.ts";
import { loadPairs } from "./repair-load.ts";
import { RepairPair } from "./repair-pair.ts";

const USAGE = `npm run bench:repair -- [options]
  --pairs P          pairs of 1 KiB (100000)
  --partitions P     a power of two; all pairs are spread over them (512)
  --differing D      keys that differ (100)
  --one-partition    all pairs in one partition
  --directory DIR    where the stores are (a new one under the system's, removed at the end)
  --phase PHASE      load, build, run or all (all): the first two leave the directory as it is, for the next
  --cost             instead: CPU of 10 interleaved pairs of runs of writes, with trees and without
  --writes W         writes of each run of --cost (20000)
`;

const { values } = parseArgs({
  options: {
    pairs: { type: "string", default: "100000" },
    partitions: { type: "string", default: "512" },
    differing: { type: "string", default: "100" },
    "one-partition": { type: "boolean", default: false },
    directory: { type: "string" },
    phase: { type: "string", default: "all" },
    cost: { type: "boolean", default: false },
    writes: { type: "string", default: "20000" },
    help: { type: "boolean", default: false },
  },
});

const seconds = (ms: number) => `${(ms / 1_000).toFixed(2)} s`;
const kib = (bytes: number) => `${(bytes / 1_024).toFixed(1)} KiB`;
const say = (line: string): void => void process.stdout.write(`${line}\n`);

async function timed<T>(what: string, run: () => Promise<T>): Promise<T> {
  const startMs = performance.now();
  const result = await run();
  say(`${what}: ${seconds(performance.now() - startMs)}`);
  return result;
}

async function load(directory: string, partitions: number): Promise<void> {
  const telemetry = { count() {}, observe() {}, gauge() {}, log() {} };
  const options = { cacheBytes: 8 << 20, writeBufferBytes: 64 << 20, reserveBytes: 0 };
  for (const side of ["a", "b"] as const) {
    const engine = await createLevelEngine({ telemetry }, { ...options, directory: join(directory, side, "store") });
    await timed(`load of ${side}`, () =>
      loadPairs(engine, side, {
        pairs: Number(values.pairs),
        differing: Number(values.differing),
        partitions,
        onePartition: values["one-partition"],
      }),
    );
    await engine.close();
  }
}

async function build(directory: string, partitions: number): Promise<void> {
  const pair = await RepairPair.open(directory, { partitions, backgroundBytesPerSecond: 4 * 2 ** 30 });
  await timed("start of both", () => pair.start());
  await timed("trees of both built by scan", () => pair.treesBuilt());
  await timed("clean stop of both", () => pair.stop());
}

async function run(directory: string, partitions: number): Promise<void> {
  const pair = await RepairPair.open(directory, { partitions, backgroundBytesPerSecond: 16 * 2 ** 20 });
  await timed("start of both, trees from the checkpoint", () => pair.start());
  await pair.treesBuilt();
  for (const what of ["with what differs", "when all is equal"]) {
    const { bytes, ms, cpuMs } = await pair.measurePass();
    const found = pair.takeCounters();
    say(
      `${what}: ${kib(bytes)} on the wire (${kib(bytes / partitions)} a partition), ${seconds(ms)}, CPU of both ${seconds(cpuMs)}`,
    );
    say(
      `  partitions differing ${found["annulus.repair.partitions_differing"] ?? 0}, leaves differing ${found["annulus.repair.leaves_differing"] ?? 0}, records pulled ${found["annulus.repair.records_pulled"] ?? 0}, pushed ${found["annulus.repair.records_pushed"] ?? 0}`,
    );
  }
  const differing = await timed("comparison of both stores, key by key", () => pair.differingKeys());
  say(`keys that differ now: ${differing}`);
  await pair.stop();
  if (differing !== 0) process.exitCode = 1;
}

async function main(): Promise<void> {
  if (values.help) return say(USAGE);
  const partitions = values["one-partition"] ? 1 : Number(values.partitions);
  const directory = values.directory ?? join(tmpdir(), `annulus-bench-repair-${process.pid}`);
  mkdirSync(directory, { recursive: true });
  try {
    if (values.cost) return await createTreeCost(directory, { writes: Number(values.writes), say });
    say(`${values.pairs} pairs of 1 KiB over ${partitions} partition(s), ${values.differing} differing, N = 2`);
    if (["all", "load"].includes(values.phase)) await load(directory, partitions);
    if (["all", "build"].includes(values.phase)) await build(directory, partitions);
    if (["all", "run"].includes(values.phase)) await run(directory, partitions);
  } finally {
    if (values.directory === undefined) rmSync(directory, { recursive: true });
  }
}

await main();
process.exit();
