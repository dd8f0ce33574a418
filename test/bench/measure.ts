/**
 * Runs one load against server processes and measures it: rate and latency as the clients see them, CPU and memory of
 * the servers as the operating system counts them.
 *
 * CPU is what is compared, not operations a second: generator and servers share the machine's cores, so the rate says
 * as much of the generator as of the servers.
 */
import { join } from "node:path";
import type { ClientTls } from "../../node/client/http.ts";
import { ClosedLoop, type Exchange, type LoopFigures, percentile } from "./closed-loop.ts";
import type { LocalCluster } from "./cluster.ts";
import { eachKey, type KeySpace, kvExchange, newCounts, type OperationSource, plainExchange } from "./exchanges.ts";
import { History } from "./history.ts";
import { type KeyChooser, type Uniform, uniformKeys, zipfianKeys } from "./keys.ts";
import type { LevelFigures } from "./limit-level.ts";
import { checkoutDirectory, cpuSeconds, memoryOf, ServerProcess, sleep } from "./processes.ts";
import type { Workload } from "./workloads.ts";

export type Timing = { readonly warmUpSeconds: number; readonly seconds: number };

/** One measured window. */
export type Figures = {
  readonly operations: number;
  readonly operationsPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly p999Ms: number;
  /** Of all server processes together. */
  readonly cpuSeconds: number;
  readonly operationsPerCpuSecond: number;
  /** The largest resident memory that one server process had while it was watched. */
  readonly residentBytesMax: number;
  /** The largest part of it that was no mirror of a file. */
  readonly anonymousBytesMax: number;
  /** CPU of this process, the generator, as a share of one core. */
  readonly generatorCores: number;
  /** In the window and in the warm-up before it. */
  readonly errors: number;
  readonly complaints: readonly string[];
};

export type WorkloadFigures = Figures & {
  readonly workload: Workload;
  readonly stale: number;
  readonly wrong: number;
  readonly siblings: number;
};

export type BareServer = "node" | "express";
export type BareFigures = Figures & { readonly server: BareServer; readonly connections: number };

const RESIDENT_SAMPLE_MS = 200;
const SWEEP_CONNECTIONS = 64;

/** Warms up, measures, and ends the loop. */
async function measure(loop: ClosedLoop, pids: readonly number[], timing: Timing): Promise<Figures> {
  await sleep(timing.warmUpSeconds * 1000);
  const allCpuSeconds = (): number => pids.reduce((sum, pid) => sum + cpuSeconds(pid), 0);
  const warmUp = loop.takeFigures();
  const cpuBefore = allCpuSeconds();
  const ownCpuBefore = process.cpuUsage();
  const endsAt = performance.now() + timing.seconds * 1000;
  let residentBytesMax = 0;
  let anonymousBytesMax = 0;
  while (performance.now() < endsAt) {
    await sleep(Math.min(RESIDENT_SAMPLE_MS, endsAt - performance.now()));
    for (const { residentBytes, anonymousBytes } of pids.map(memoryOf)) {
      residentBytesMax = Math.max(residentBytesMax, residentBytes);
      anonymousBytesMax = Math.max(anonymousBytesMax, anonymousBytes);
    }
  }
  const window = loop.takeFigures();
  const cpu = allCpuSeconds() - cpuBefore;
  const ownCpu = process.cpuUsage(ownCpuBefore);
  await loop.stop();
  const sorted = window.latenciesMs.sort();
  return {
    operations: window.operations,
    operationsPerSecond: window.operations / window.seconds,
    p50Ms: percentile(sorted, 0.5),
    p99Ms: percentile(sorted, 0.99),
    p999Ms: percentile(sorted, 0.999),
    cpuSeconds: cpu,
    operationsPerCpuSecond: window.operations / cpu,
    residentBytesMax,
    anonymousBytesMax,
    generatorCores: (ownCpu.user + ownCpu.system) / 1e6 / window.seconds,
    errors: warmUp.errors + window.errors,
    complaints: [...warmUp.complaints, ...window.complaints],
  };
}

/** One bare server saying hello to as many connections. */
export async function measureBareServer(server: BareServer, connections: number, timing: Timing): Promise<BareFigures> {
  const bare = new ServerProcess([benchProgram("limit-http.js"), server]);
  try {
    while (!bare.output.includes("\n")) {
      if (bare.hasEnded) throw new Error(`The bare ${server} server did not start:\n${bare.output}`);
      await sleep(10);
    }
    const ports = [Number(bare.output)];
    const loop = new ClosedLoop({ ports, connections, exchange: plainExchange, reconnect: true });
    return { ...(await measure(loop, [bare.pid], timing)), server, connections };
  } finally {
    await bare.stop();
  }
}

/** Raw classic-level, in its own process. */
export async function measureLevel(valueBytes: number, keyCount: number, seconds: number): Promise<LevelFigures[]> {
  const level = new ServerProcess([
    benchProgram("limit-level.js"),
    String(valueBytes),
    String(keyCount),
    String(seconds),
  ]);
  const how = await level.ended;
  if (how !== "exit code 0") throw new Error(`The classic-level measurement failed: ${how}\n${level.output}`);
  const lines = level.output.trim().split("\n");
  return lines.map((line) => JSON.parse(line) as LevelFigures);
}

function benchProgram(file: string): string {
  return join(checkoutDirectory(), "dist/test/bench", file);
}

/** The keys that hold values of `valueBytes`, apart from those of other sizes. */
export function newKeySpace(valueBytes: number, keyCount: number): KeySpace {
  const history = new History(valueBytes, keyCount);
  return { prefix: `v${String(valueBytes).padStart(5, "0")}-`, history, valueBytes, counts: newCounts() };
}

/** Writes or reads each of `keys` once; gives what that took and what was wrong. */
export async function sweep(
  ports: readonly number[],
  space: KeySpace,
  kind: "read" | "write",
  options: { readonly keys?: Iterable<number>; readonly tls?: ClientTls | undefined } = {},
): Promise<LoopFigures> {
  const { keys = Array(space.history.keyCount).keys(), tls } = options;
  const source = eachKey(kind, keys);
  const exchange = (): Exchange => kvExchange(space, source);
  const loop = new ClosedLoop({ ports, connections: SWEEP_CONNECTIONS, tls, exchange, reconnect: true });
  await loop.done;
  return loop.takeFigures();
}

/** Reads and writes in the given proportion, for ever. */
export function endlessMix(readShare: number, choose: KeyChooser, uniform: Uniform): OperationSource {
  return () => ({ kind: uniform() < readShare ? "read" : "write", key: choose() });
}

/** One workload against a cluster whose space is loaded. */
export async function measureWorkload(
  cluster: LocalCluster,
  space: KeySpace,
  workload: Workload,
  uniform: Uniform,
  timing: Timing,
  tls?: ClientTls,
): Promise<WorkloadFigures> {
  const { keyCount } = space.history;
  const choose = workload.keys === "zipfian" ? zipfianKeys(keyCount, uniform) : uniformKeys(keyCount, uniform);
  const source = endlessMix(workload.readShare, choose, uniform);
  const before = { ...space.counts };
  const loop = new ClosedLoop({
    ports: cluster.dataPorts,
    connections: workload.connections,
    tls,
    exchange: () => kvExchange(space, source),
    reconnect: true,
  });
  const figures = await measure(loop, cluster.pids, timing);
  return {
    ...figures,
    workload,
    stale: space.counts.stale - before.stale,
    wrong: space.counts.wrong - before.wrong,
    siblings: space.counts.siblings - before.siblings,
  };
}
