/**
 * What metrics and traces cost: CPU-seconds of 1,000 operations with them and without, in interleaved pairs of runs.
 *
 * Three clusters of three real nodes stand side by side and are loaded in turn, so that what the machine does besides
 * falls on all: one keeps no metrics, one keeps them, one also traces a hundredth of the requests and sends that to a
 * collector in this process, whose CPU does not count.
 */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { LocalCluster } from "./cluster.ts";
import type { KeySpace } from "./exchanges.ts";
import { seededUniform, type Uniform } from "./keys.ts";
import { measureWorkload, newKeySpace, sweep } from "./measure.ts";
import { interval, median, percent } from "./paired.ts";
import type { Workload } from "./workloads.ts";

const PAIRS_OF_RUNS = 10;
/** Turns into which each run of a pair is cut. */
const TURNS = 2;
const WARM_UP_SECONDS = 0.2;
const LONG_WARM_UP_SECONDS = 5;
const WORKLOAD: Workload = {
  name: "50/50 1000 B 16c zipfian",
  readShare: 0.5,
  valueBytes: 1_000,
  connections: 16,
  keys: "zipfian",
  goalShare: undefined,
};

type Side = { readonly name: string; readonly cluster: LocalCluster; readonly space: KeySpace };
export type CostOptions = {
  readonly keyCount: number;
  /** Of each run. */
  readonly seconds: number;
  readonly seed: number;
  readonly say: (line: string) => void;
};

/** Takes what is sent and throws it away. */
async function startSink(): Promise<{ readonly endpoint: string; stop(): void }> {
  const server = createServer((request, response) => {
    request.resume().on("end", () => response.setHeader("content-type", "application/json").end("{}"));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    stop: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}

async function open(name: string, settings: Readonly<Record<string, string>>, keyCount: number): Promise<Side> {
  // Nine nodes on one machine: what is measured is CPU, and a request that times out is none.
  const cluster = await LocalCluster.start({ settings: { ANNULUS_TIMEOUT_MS: "10000", ...settings } });
  const space = newKeySpace(WORKLOAD.valueBytes, keyCount);
  const { errors, complaints } = await sweep(cluster.dataPorts, space, "write");
  if (errors > 0) throw new Error(`Cannot load the cluster with ${name}: ${complaints.join("; ")}`);
  return { name, cluster, space };
}

/** CPU-seconds of the three nodes per 1,000 operations. */
async function costOf({ name, cluster, space }: Side, uniform: Uniform, seconds: number, warmUpSeconds: number) {
  const figures = await measureWorkload(cluster, space, WORKLOAD, uniform, { warmUpSeconds, seconds });
  const wrong = figures.errors + figures.stale + figures.wrong;
  if (wrong > 0) throw new Error(`Wrong answers of the cluster with ${name}: ${figures.complaints.join("; ")}`);
  return 1_000 / figures.operationsPerCpuSecond;
}

async function runPairs(sides: readonly Side[], { seconds, say }: CostOptions, uniform: Uniform): Promise<void> {
  const ratios: number[][] = sides.map(() => []);
  for (const side of sides) await costOf(side, uniform, seconds, LONG_WARM_UP_SECONDS);
  for (let pair = 0; pair < PAIRS_OF_RUNS; pair++) {
    const costs = sides.map(() => 0);
    for (let turn = 0; turn < TURNS; turn++) {
      for (let i = 0; i < sides.length; i++) {
        const at = turn % 2 === 0 ? i : sides.length - 1 - i;
        const cost = await costOf(sides[at] as Side, uniform, seconds / TURNS, WARM_UP_SECONDS);
        costs[at] = (costs[at] ?? 0) + cost / TURNS;
      }
    }
    const [none = 0] = costs;
    for (const [index, cost] of costs.entries()) ratios[index]?.push(cost / none);
    const shown = sides.map(({ name }, index) => `${costs[index]?.toFixed(4)} s with ${name}`);
    say(`pair ${pair + 1}, CPU per 1,000 operations: ${shown.join(", ")}`);
  }
  for (const [index, { name }] of sides.entries()) {
    if (index === 0) continue;
    const [low, high] = interval(ratios[index] ?? [], 0.9, uniform);
    say(`${name}: median ${percent(median(ratios[index] ?? []))}, 90 % interval ${percent(low)} to ${percent(high)}`);
  }
}

/** Starts the clusters, runs the pairs, and prints each, the medians and their intervals. */
export async function runTelemetryCost(options: CostOptions): Promise<void> {
  const sink = await startSink();
  const traced = {
    OTEL_EXPORTER_OTLP_ENDPOINT: sink.endpoint,
    OTEL_TRACES_SAMPLER: "parentbased_traceidratio",
    OTEL_TRACES_SAMPLER_ARG: "0.01",
  };
  const sides: Side[] = [];
  try {
    sides.push(await open("nothing", { OTEL_SDK_DISABLED: "true" }, options.keyCount));
    sides.push(await open("metrics", {}, options.keyCount));
    sides.push(await open("metrics and traces at 1 %", traced, options.keyCount));
    await runPairs(sides, options, seededUniform(options.seed));
  } finally {
    for (const { cluster } of sides) await cluster.stop();
    sink.stop();
  }
}
