/**
 * The client library against plain HTTP round robin: same nodes, same keys, same HTTP client, in turns.
 *
 * Six nodes, so that a key's three homes are half of them: at three every node is home to everything and a straight way is
 * none. Each turn is a few seconds of closed-loop callers, half reads and half writes; the two sides alternate, so that what
 * else the machine does meets both. Counted are operations a second, latencies as the caller sees them, and the CPU of the nodes
 * and of the callers.
 */
import { Client } from "../../node/client/client.ts";
import { kvPath } from "../../node/client/keys.ts";
import { Nodes } from "../../node/client/nodes.ts";
import { percentile } from "./closed-loop.ts";
import { LocalCluster } from "./cluster.ts";
import { seededUniform, zipfianKeys } from "./keys.ts";
import { cpuSeconds } from "./processes.ts";

export type Side = "client library" | "round robin";

export type SideFigures = {
  readonly side: Side;
  readonly operations: number;
  readonly operationsPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Of the nodes, and of this process, per 1,000 operations. */
  readonly nodeCpuSeconds: number;
  readonly callerCpuSeconds: number;
  readonly errors: number;
};

export type ClientOptions = {
  readonly turns: number;
  readonly seconds: number;
  readonly keyCount: number;
  readonly seed: number;
};

const NODES = 6;
const CALLERS = 16;
const VALUE = Buffer.alloc(1_000, 7);

type Ask = {
  readonly get: (key: string) => Promise<void>;
  readonly put: (key: string) => Promise<void>;
  readonly close: () => void;
};

/** Measures both sides in turns; gives the figures of all turns of each, the library's first. */
export async function measureClientLibrary(options: ClientOptions): Promise<readonly SideFigures[]> {
  const cluster = await LocalCluster.start({ nodeCount: NODES });
  try {
    const urls = cluster.dataPorts.map((port) => `http://127.0.0.1:${port}`);
    const sides: Readonly<Record<Side, Ask>> = {
      "client library": throughLibrary(urls),
      "round robin": roundRobin(urls),
    };
    for (let key = 0; key < options.keyCount; key++) await sides["round robin"].put(keyName(key));
    const names = Object.keys(sides) as Side[];
    const tallies = new Map(names.map((side) => [side, new Tally()]));
    for (const side of names) await run(sides[side], new Tally(), cluster, { ...options, seconds: 1 });
    for (let turn = 0; turn < options.turns; turn++) {
      // Who goes first alternates, too.
      for (const side of turn % 2 === 0 ? names : names.toReversed()) {
        await run(sides[side], tallies.get(side) as Tally, cluster, { ...options, seed: options.seed + turn });
      }
    }
    for (const side of names) sides[side].close();
    return names.map((side) => (tallies.get(side) as Tally).figures(side));
  } finally {
    await cluster.stop();
  }
}

function throughLibrary(urls: readonly string[]): Ask {
  const client = new Client({ urls });
  return {
    get: async (key) => void (await client.read(key)),
    put: async (key) => void (await client.put(key, VALUE)),
    close: () => client.close(),
  };
}

function roundRobin(urls: readonly string[]): Ask {
  const nodes = new Nodes({ urls, connectionsMax: 64, timeoutMs: 5_000 });
  const ask = async (method: "GET" | "PUT", key: string, body?: Uint8Array): Promise<void> => {
    const { status } = await nodes.attempt({
      method,
      path: kvPath(Buffer.from(key)),
      ...(body === undefined ? {} : { body }),
    });
    if (status >= 400) throw new Error(`${method} ${key}: ${status}`);
  };
  return { get: (key) => ask("GET", key), put: (key) => ask("PUT", key, VALUE), close: () => nodes.close() };
}

class Tally {
  readonly #latenciesMs: number[] = [];
  #seconds = 0;
  #nodeCpu = 0;
  #callerCpu = 0;
  #errors = 0;

  add(latencyMs: number): void {
    this.#latenciesMs.push(latencyMs);
  }

  fail(): void {
    this.#errors += 1;
  }

  turn(seconds: number, nodeCpu: number, callerCpu: number): void {
    this.#seconds += seconds;
    this.#nodeCpu += nodeCpu;
    this.#callerCpu += callerCpu;
  }

  figures(side: Side): SideFigures {
    const sorted = Float32Array.from(this.#latenciesMs).sort();
    const operations = sorted.length;
    return {
      side,
      operations,
      operationsPerSecond: operations / this.#seconds,
      p50Ms: percentile(sorted, 0.5),
      p99Ms: percentile(sorted, 0.99),
      nodeCpuSeconds: (this.#nodeCpu / operations) * 1_000,
      callerCpuSeconds: (this.#callerCpu / operations) * 1_000,
      errors: this.#errors,
    };
  }
}

async function run(ask: Ask, tally: Tally, { pids }: LocalCluster, options: ClientOptions): Promise<void> {
  const uniform = seededUniform(options.seed);
  const choose = zipfianKeys(options.keyCount, uniform);
  const nodeCpu = () => pids.reduce((sum, pid) => sum + cpuSeconds(pid), 0);
  const [cpuBefore, ownBefore, startedMs] = [nodeCpu(), process.cpuUsage(), performance.now()];
  const untilMs = startedMs + options.seconds * 1_000;
  const call = async (): Promise<void> => {
    while (performance.now() < untilMs) {
      const key = keyName(choose());
      const beganMs = performance.now();
      try {
        await (uniform() < 0.5 ? ask.get(key) : ask.put(key));
        tally.add(performance.now() - beganMs);
      } catch (error) {
        tally.fail();
        process.stderr.write(`${String(error)}\n`);
      }
    }
  };
  await Promise.all(Array.from({ length: CALLERS }, call));
  const own = process.cpuUsage(ownBefore);
  tally.turn((performance.now() - startedMs) / 1_000, nodeCpu() - cpuBefore, (own.user + own.system) / 1e6);
}

function keyName(key: number): string {
  return `client-${key}`;
}
