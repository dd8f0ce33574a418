/** Too much work, and one who is slow, told as stories: most is served as ever, and the rest is told so at once. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { KvError } from "../../node/core/errors.ts";
import type { Coordinator } from "../../node/services/coordinator.ts";
import { type ClusterOptions, SimulatedCluster } from "./cluster.ts";

const NEVER_MS = 31_536_000_000;
const VALUE_BYTES = 1_000;
const bytesOf = (text: string) => new TextEncoder().encode(text);

async function startCluster(options: Partial<ClusterOptions> = {}): Promise<SimulatedCluster> {
  const cluster = new SimulatedCluster({
    seed: 1,
    nodes: 3,
    zones: 3,
    replicationFactor: 3,
    readQuorum: 2,
    writeQuorum: 2,
    mode: "sloppy",
    durability: "os",
    repairIntervalMs: NEVER_MS,
    ...options,
  });
  await cluster.startAll();
  await cluster.simulator.runUntil(cluster.simulator.nowMs + 2_000);
  return cluster;
}

type Ended = { readonly atMs: number; readonly tookMs: number; readonly code: string };
type Ask = (coordinator: Coordinator, index: number) => Promise<unknown>;

/** An open load: requests at even distances through the given nodes in turn, whoever still waits. */
async function load(
  cluster: SimulatedCluster,
  ask: Ask,
  options: { readonly through: readonly string[]; readonly perSecond: number; readonly forMs: number },
): Promise<Ended[]> {
  const { simulator } = cluster;
  const ended: Ended[] = [];
  const startMs = simulator.nowMs;
  const count = Math.floor((options.forMs * options.perSecond) / 1_000);
  for (let index = 0; index < count; index++) {
    await simulator.runUntil(startMs + (index * 1_000) / options.perSecond);
    const name = options.through[index % options.through.length] as string;
    const coordinator = cluster.byName(name).node?.coordinator ?? assert.fail(`${name} serves`);
    const askedMs = simulator.nowMs;
    const end = (code: string) => ended.push({ atMs: simulator.nowMs, tookMs: simulator.nowMs - askedMs, code });
    ask(coordinator, index).then(
      () => end("served"),
      (error: unknown) => {
        if (!(error instanceof KvError)) throw error;
        if (error.code === "OVERLOADED") assert.equal(error.outcome, "none");
        end(error.code);
      },
    );
  }
  await simulator.runUntil(simulator.nowMs + 1_500);
  assert.equal(ended.length, count, "everybody was answered");
  assert.equal(cluster.bug, undefined);
  return ended.map((one) => ({ ...one, atMs: one.atMs - startMs }));
}

const write: Ask = (coordinator, index) => {
  const value = new Uint8Array(VALUE_BYTES).fill(index);
  const key = bytesOf(`key ${index % 997}`);
  return coordinator.put({ key, value, contentType: "text/plain", base: "overwrite" }, {});
};

function figures(ended: readonly Ended[], fromMs: number, untilMs: number) {
  const within = ended.filter(({ atMs }) => atMs >= fromMs && atMs < untilMs);
  const served = within.filter(({ code }) => code === "served").map(({ tookMs }) => tookMs);
  served.sort((a, b) => a - b);
  const codes = within.map(({ code }) => code);
  return {
    perSecond: (served.length * 1_000) / (untilMs - fromMs),
    p50Ms: served[served.length >> 1] ?? 0,
    p99Ms: served[Math.floor(served.length * 0.99)] ?? 0,
    shed: within.filter(({ code }) => code === "OVERLOADED"),
    others: codes.filter((code) => code !== "served" && code !== "OVERLOADED"),
  };
}

describe("a cluster on slow disks", () => {
  const through = ["n1", "n2", "n3"];
  const SLOW = { latencyMs: [10, 10] as const, bytesPerMs: 1_200 };

  it("goes on at its capacity under three times as many writes, in bounded time, and sheds the rest at once", async () => {
    const cluster = await startCluster();
    for (const { disk } of cluster.nodes) disk.setFaults(SLOW);
    // Every disk takes every write: 1,200 bytes a ms are some 1,060 writes a second of all nodes together.
    const ended = await load(cluster, write, { through, perSecond: 3_200, forMs: 12_000 });
    const { perSecond, p99Ms, shed, others } = figures(ended, 3_000, 12_000);
    cluster.simulator.tell(`${perSecond} writes a second, p99 ${p99Ms} ms, ${shed.length} shed`);
    assert(perSecond > 750, `${perSecond} writes a second are served`);
    assert(p99Ms < 600, `p99 of what is served is ${p99Ms} ms`);
    assert(shed.length > 1_000, "the rest is shed");
    assert(
      shed.every(({ tookMs }) => tookMs === 0),
      "and at once",
    );
    assert(
      others.length < ended.length / 100,
      `nearly nothing else goes wrong: ${[...new Set(others)]} ${others.length}`,
    );
    assert(
      cluster.nodes.every(({ node }) => node?.status.cluster().members.every(({ health }) => health === "up")),
      "nobody is taken for down",
    );
  }, 300_000);

  it("sheds nothing of what it can bear, and nothing any more once the load has gone back", async () => {
    const cluster = await startCluster();
    for (const { disk } of cluster.nodes) disk.setFaults(SLOW);
    const codesOf = (ended: readonly Ended[]) => [...new Set(ended.map(({ code }) => code))];
    assert.deepEqual(codesOf(await load(cluster, write, { through, perSecond: 200, forMs: 5_000 })), ["served"]);
    await load(cluster, write, { through, perSecond: 3_200, forMs: 3_000 });
    await load(cluster, write, { through, perSecond: 200, forMs: 3_000 });
    assert.deepEqual(codesOf(await load(cluster, write, { through, perSecond: 200, forMs: 5_000 })), ["served"]);
  }, 300_000);

  it("serves reads while writes are shed, for they are limited apart", async () => {
    const cluster = await startCluster({ recordCacheBytes: 4 << 20 });
    await load(cluster, write, { through, perSecond: 500, forMs: 2_000 });
    for (const { disk } of cluster.nodes) disk.setFaults(SLOW);
    const mixed: Ask = (coordinator, index) =>
      index % 4 === 0 ? coordinator.get(bytesOf(`key ${(index / 4) % 997}`), {}) : write(coordinator, index);
    const isRead = new Set<string>();
    const ended = await load(
      cluster,
      (coordinator, index) =>
        mixed(coordinator, index).catch((error: unknown) => {
          if (index % 4 === 0) isRead.add(String(error));
          throw error;
        }),
      { through, perSecond: 4_000, forMs: 4_000 },
    );
    assert(figures(ended, 1_000, 4_000).shed.length > 1_000, "writes are shed");
    assert.deepEqual([...isRead], [], "reads are not");
  }, 300_000);
});

describe("one slow replica of three", () => {
  const through = ["n1", "n3"];

  /** Reads, and writes that chain on what was read: any home may stamp those. */
  const work: Ask = async (coordinator, index) => {
    const key = bytesOf(`key ${index % 199}`);
    if (index % 2 === 0) return coordinator.get(key, {});
    const value = new Uint8Array(VALUE_BYTES).fill(index);
    return coordinator.put({ key, value, contentType: "text/plain", base: "sibling" }, {});
  };

  it("does not slow the others at w=2 and r=2", async () => {
    const cluster = await startCluster({ recordCacheBytes: 1_024, siblingsMax: 1_000 });
    const options = { through, perSecond: 200, forMs: 10_000 };
    const before = figures(await load(cluster, work, options), 1_000, 10_000);
    cluster.byName("n2").disk.setFaults({ latencyMs: [150, 250] });
    const wonBefore = cluster.counters.get("annulus.read.hedges_won") ?? 0;
    const after = figures(await load(cluster, work, options), 1_000, 10_000);
    const told = `p50 ${before.p50Ms.toFixed(1)} -> ${after.p50Ms.toFixed(1)}, p99 ${before.p99Ms.toFixed(1)} -> ${after.p99Ms.toFixed(1)} ms`;
    cluster.simulator.tell(told);
    assert.deepEqual([before.others.length, before.shed.length, after.others.length, after.shed.length], [0, 0, 0, 0]);
    assert(after.p99Ms < before.p99Ms * 1.5 + 5, told);
    assert(
      (cluster.counters.get("annulus.read.hedges_won") ?? 0) > wonBefore,
      "until it is known to be slow it is overtaken",
    );
  }, 300_000);
});
