/**
 * The client library against plain HTTP round robin, in turns over the same nodes.
 *
 * Two clusters: of six nodes, where three are home to a key, so that a straight way spares half of the reads and of the
 * writes a hop; and of three, where every node is home to everything and what can be spared is less. Each round is a second
 * or so of closed-loop callers for each side, half reads and half writes; who goes first changes with each round, so that
 * what else the machine does meets all of them. The sides have keys of their own: what one leaves in its records is not the
 * other's load.
 *
 * Round robin is what a program does that has no library: `node:http`, connections kept, nothing but the request. Two more
 * sides tell where the difference comes from: round robin over the library's connections, and round robin whose writes have
 * an Idempotency-Key and a KV-Attempt as the library's have, without which they cannot be repeated safely.
 */
import { randomUUID } from "node:crypto";
import { Client } from "../../node/client/client.ts";
import { Connections } from "../../node/client/connections.ts";
import { kvPath } from "../../node/client/keys.ts";
import { Nodes } from "../../node/client/nodes.ts";
import { percentile } from "./closed-loop.ts";
import { LocalCluster } from "./cluster.ts";
import { seededUniform, type Uniform, zipfianKeys } from "./keys.ts";
import { cpuSeconds } from "./processes.ts";

export type Side =
  | "client library"
  | "round robin"
  | "round robin, writes named"
  | "round robin, the library's connections";

/** What one side did in one round. */
export type RoundFigures = {
  readonly operations: number;
  readonly operationsPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Of the nodes, and of this process, in CPU-seconds per 1,000 operations. */
  readonly nodeCpuSeconds: number;
  readonly callerCpuSeconds: number;
  /** Reads that asked a second node. */
  readonly hedges: number;
  readonly errors: number;
};

/** What one side did on one cluster, round by round. */
export type SideFigures = { readonly nodes: number; readonly side: Side; readonly rounds: readonly RoundFigures[] };

export type ClientBenchOptions = {
  readonly rounds: number;
  /** Of each side in each round. */
  readonly seconds: number;
  readonly keyCount: number;
  readonly seed: number;
};

/** Sizes of the clusters; N is 3. */
const SIZES = [6, 3];
const CALLERS = 16;
const LOADERS = 4;
const TRIES = 5;
const WARM_UP_SECONDS = 1;
const VALUE = Buffer.alloc(1_000, 7);
const TIMEOUT_MS = 5_000;
const CONNECTIONS_MAX = 64;

type Method = "GET" | "PUT";

/** One way to ask. */
type Way = {
  readonly prefix: string;
  /** Throws when it was no success. */
  readonly ask: (method: Method, key: string) => Promise<void>;
  readonly hedges: () => number;
  readonly close: () => void;
};

/** Measures all sides on each cluster. */
export async function measureClientLibrary(options: ClientBenchOptions): Promise<readonly SideFigures[]> {
  const figures: SideFigures[] = [];
  for (const nodes of SIZES) figures.push(...(await measureOn(nodes, options)));
  return figures;
}

async function measureOn(nodes: number, options: ClientBenchOptions): Promise<readonly SideFigures[]> {
  const cluster = await LocalCluster.start({ nodeCount: nodes });
  try {
    const urls = cluster.dataPorts.map((port) => `http://127.0.0.1:${port}`);
    const ways: readonly (readonly [Side, Way])[] = [
      ["client library", throughLibrary(urls)],
      ["round robin", roundRobin(urls, false)],
      ["round robin, writes named", roundRobin(urls, true)],
      ["round robin, the library's connections", roundRobinOverConnections(urls)],
    ];
    for (const [, way] of ways) await load(way, options.keyCount);
    for (const [, way] of ways) await runRound(way, cluster, { ...options, seconds: WARM_UP_SECONDS });
    const rounds = ways.map((): RoundFigures[] => []);
    for (let round = 0; round < options.rounds; round++) {
      for (let turn = 0; turn < ways.length; turn++) {
        const at = (round + (round % 2 === 0 ? turn : ways.length - turn)) % ways.length;
        const [, way] = ways[at] as (typeof ways)[number];
        rounds[at]?.push(await runRound(way, cluster, { ...options, seed: options.seed + round }));
      }
    }
    for (const [, way] of ways) way.close();
    return ways.map(([side], at) => ({ nodes, side, rounds: rounds[at] ?? [] }));
  } finally {
    await cluster.stop();
  }
}

function throughLibrary(urls: readonly string[]): Way {
  const client = new Client({ urls });
  return {
    prefix: "library",
    ask: async (method, key) => {
      await (method === "GET" ? client.read(key) : client.put(key, VALUE));
    },
    hedges: () => client.counters.hedges,
    close: () => client.close(),
  };
}

function roundRobin(urls: readonly string[], isNamed: boolean): Way {
  const nodes = new Nodes({ urls, connectionsMax: CONNECTIONS_MAX, timeoutMs: TIMEOUT_MS });
  return {
    prefix: isNamed ? "named" : "plain",
    ask: async (method, key) => {
      const call = callOf(method, key);
      const headers = { "idempotency-key": randomUUID(), "kv-attempt": "1" };
      refuse(await nodes.attempt(isNamed && method === "PUT" ? { ...call, headers } : call));
    },
    hedges: () => 0,
    close: () => nodes.close(),
  };
}

function roundRobinOverConnections(urls: readonly string[]): Way {
  const nodes = urls.map(
    (url) =>
      new Connections(url, {
        connectionsMax: CONNECTIONS_MAX,
        connectTimeoutMs: TIMEOUT_MS,
        tls: undefined,
        headers: {},
      }),
  );
  let next = 0;
  return {
    prefix: "kept",
    ask: async (method, key) => {
      const node = nodes[next++ % nodes.length] as Connections;
      refuse(await node.exchange(callOf(method, key), { timeoutMs: TIMEOUT_MS }));
    },
    hedges: () => 0,
    close: () => {
      for (const node of nodes) node.close();
    },
  };
}

function callOf(method: Method, key: string): { method: Method; path: string; body?: Uint8Array } {
  const call = { method, path: kvPath(Buffer.from(key)) };
  return method === "GET" ? call : { ...call, body: VALUE };
}

function refuse({ status }: { readonly status: number }): void {
  if (status >= 400) throw new Error(`the answer was ${status}`);
}

/** Writes every key once. Nodes that have just come up may ask for patience. */
async function load({ prefix, ask }: Way, keyCount: number): Promise<void> {
  let next = 0;
  const loader = async (): Promise<void> => {
    while (next < keyCount) {
      const key = keyName(prefix, next++);
      for (let attempt = 1; ; attempt++) {
        try {
          await ask("PUT", key);
          break;
        } catch (error) {
          if (attempt === TRIES) throw error;
        }
      }
    }
  };
  await Promise.all(Array.from({ length: LOADERS }, loader));
}

async function runRound(way: Way, { pids }: LocalCluster, options: ClientBenchOptions): Promise<RoundFigures> {
  const uniform = seededUniform(options.seed);
  const choose = zipfianKeys(options.keyCount, uniform);
  const nodeCpu = () => pids.reduce((sum, pid) => sum + cpuSeconds(pid), 0);
  const [cpuBefore, ownBefore, hedgesBefore, startedMs] = [
    nodeCpu(),
    process.cpuUsage(),
    way.hedges(),
    performance.now(),
  ];
  const { latenciesMs, errors } = await callFor(options.seconds * 1_000, way, { uniform, choose });
  const seconds = (performance.now() - startedMs) / 1_000;
  const own = process.cpuUsage(ownBefore);
  const thousands = latenciesMs.length / 1_000;
  return {
    operations: latenciesMs.length,
    operationsPerSecond: latenciesMs.length / seconds,
    p50Ms: percentile(latenciesMs, 0.5),
    p99Ms: percentile(latenciesMs, 0.99),
    nodeCpuSeconds: (nodeCpu() - cpuBefore) / thousands,
    callerCpuSeconds: (own.user + own.system) / 1e6 / thousands,
    hedges: way.hedges() - hedgesBefore,
    errors,
  };
}

/** Callers that wait for each answer; gives the sorted latencies. */
async function callFor(
  durationMs: number,
  { prefix, ask }: Way,
  { uniform, choose }: { readonly uniform: Uniform; readonly choose: () => number },
): Promise<{ readonly latenciesMs: Float32Array; readonly errors: number }> {
  const latenciesMs: number[] = [];
  let errors = 0;
  const untilMs = performance.now() + durationMs;
  const call = async (): Promise<void> => {
    while (performance.now() < untilMs) {
      const key = keyName(prefix, choose());
      const beganMs = performance.now();
      try {
        await ask(uniform() < 0.5 ? "GET" : "PUT", key);
        latenciesMs.push(performance.now() - beganMs);
      } catch (error) {
        errors += 1;
        process.stderr.write(`${prefix}: ${String(error)}\n`);
      }
    }
  };
  await Promise.all(Array.from({ length: CALLERS }, call));
  return { latenciesMs: Float32Array.from(latenciesMs).sort(), errors };
}

function keyName(prefix: string, key: number): string {
  return `${prefix}-${key}`;
}
