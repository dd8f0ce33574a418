/**
 * Kills every node at once, at random moments, under load: with durability `os` the processes die and the machine does
 * not, so no acknowledged write may be lost, and each node must be back soon.
 *
 * `KILL_ROUNDS` (50), `KILL_KEYS` (100,000) and `KILL_SEED` change a run; the seed of each is printed.
 */
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { ClosedLoop, type LoopFigures } from "../bench/closed-loop.ts";
import { LocalCluster } from "../bench/cluster.ts";
import { type KeySpace, kvExchange, type OperationSource } from "../bench/exchanges.ts";
import { seededUniform, type Uniform, uniformKeys, zipfianKeys } from "../bench/keys.ts";
import { endlessMix, newKeySpace, sweep } from "../bench/measure.ts";
import { median } from "../bench/paired.ts";
import { cpuSeconds, sleep } from "../bench/processes.ts";

const ROUNDS = Number(process.env.KILL_ROUNDS ?? 50);
const KEYS = Number(process.env.KILL_KEYS ?? 100_000);
const SEED = Number(process.env.KILL_SEED ?? Date.now() % 1_000_000);
const VALUE_BYTES = 200;
const CONNECTIONS = 32;
const LOAD_MS_MIN = 100;
const LOAD_MS_MAX = 1100;
/** Of the median, in processor time: how long a start took by the clock says what else the machine did, and is printed. */
const START_MEDIAN_CPU_S_MAX = 2;
const TEST_TIMEOUT_MS = 900_000;

let cluster: LocalCluster;
beforeAll(async () => {
  cluster = await LocalCluster.start();
}, 60_000);
afterAll(async () => {
  await cluster.stop();
}, 60_000);

/** Half popular keys, which are written again and again, half any; notes which keys were written. */
function notedMix(uniform: Uniform, written: Set<number>): OperationSource {
  const [popular, any] = [zipfianKeys(KEYS, uniform), uniformKeys(KEYS, uniform)];
  const mix = endlessMix(0.3, () => (uniform() < 0.5 ? popular() : any()), uniform);
  return () => {
    const operation = mix();
    if (operation?.kind === "write") written.add(operation.key);
    return operation;
  };
}

/** What the starts of some nodes took until each said that it was ready. */
type Starts = { readonly ms: number[]; readonly cpuS: number[] };

/** Loads, kills all at a random moment, starts all; gives the keys written and what the starts took. */
async function killUnderLoad(space: KeySpace, uniform: Uniform): Promise<{ written: Set<number>; starts: Starts }> {
  const written = new Set<number>();
  const source = notedMix(uniform, written);
  const load = new ClosedLoop({
    ports: cluster.dataPorts,
    connections: CONNECTIONS,
    exchange: () => kvExchange(space, source),
    reconnect: false,
  });
  await sleep(LOAD_MS_MIN + uniform() * (LOAD_MS_MAX - LOAD_MS_MIN));
  await cluster.killAll();
  await load.done;
  space.history.endUnknown();
  const ms = await cluster.startAll();
  const cpuS = cluster.nodes.flatMap(({ server }) => (server === undefined ? [] : [cpuSeconds(server.pid)]));
  return { written, starts: { ms, cpuS } };
}

function expectClean(figures: LoopFigures, space: KeySpace, when: string): void {
  const { errors, complaints } = figures;
  expect({ when, errors, complaints, counts: space.counts }).toMatchObject({
    errors: 0,
    counts: { stale: 0, wrong: 0 },
  });
}

describe("kill -9 of every node at once, under load, with durability os", () => {
  it(
    `loses no acknowledged write in ${ROUNDS} rounds over ${KEYS} pairs, and each start takes less than 2 s`,
    async () => {
      const uniform = seededUniform(SEED);
      const space = newKeySpace(VALUE_BYTES, KEYS);
      expectClean(await sweep(cluster.dataPorts, space, "write"), space, "while the pairs were loaded");
      const starts: Starts = { ms: [], cpuS: [] };
      let checked = 0;
      for (let round = 1; round <= ROUNDS; round++) {
        const killed = await killUnderLoad(space, uniform);
        starts.ms.push(...killed.starts.ms);
        starts.cpuS.push(...killed.starts.cpuS);
        const figures = await sweep(cluster.dataPorts, space, "read", { keys: killed.written });
        checked += figures.operations;
        expectClean(figures, space, `after kill ${round} of seed ${SEED}`);
      }
      expectClean(await sweep(cluster.dataPorts, space, "read"), space, "at the end, over all pairs");
      report(space, starts, checked);
      expect(median(starts.cpuS)).toBeLessThan(START_MEDIAN_CPU_S_MAX);
      expect(space.history.acknowledgedCount).toBeGreaterThan(KEYS + ROUNDS);
    },
    TEST_TIMEOUT_MS,
  );
});

function report({ history, counts }: KeySpace, { ms, cpuS }: Starts, checked: number): void {
  process.stdout.write(
    [
      `kill-all: seed ${SEED}, ${ROUNDS} rounds, ${KEYS} pairs, ${history.acknowledgedCount} writes acknowledged`,
      `  ${history.unknownCount} with unknown outcome, 0 lost; ${checked + KEYS} reads checked, ${counts.siblings} with siblings`,
      `  start to ready, all three at once: median ${median(ms).toFixed(0)} ms, longest ${Math.max(...ms).toFixed(0)} ms, ` +
        `${median(cpuS).toFixed(2)} s of processor time (median)`,
      "",
    ].join("\n"),
  );
}
