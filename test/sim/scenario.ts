/**
 * One run: a cluster, clients and faults drawn from a seed; then quiet, and everything must come to rest and hold.
 */
import assert from "node:assert/strict";
import { hintsRange, partitionRange } from "../../node/core/keyspace.ts";
import { checkLastOverwriteWins } from "./calm.ts";
import { SimulatedCluster } from "./cluster.ts";
import { Copies } from "./copies.ts";
import { Faults } from "./faults.ts";
import { History, type WriteId } from "./history.ts";
import { createSeededRandom } from "./random.ts";
import { watchTrees } from "./tree-watch.ts";
import { bytesOf, type Doing, idOf, Workload } from "./workload.ts";

export type ScenarioOptions = {
  readonly seed: number;
  /** Virtual time with clients and faults, in ms. */
  readonly faultMs?: number;
  readonly trace?: boolean;
};

export type ScenarioResult = {
  readonly seed: number;
  readonly hash: string;
  readonly events: number;
  readonly operations: number;
  readonly acknowledged: number;
  readonly unknown: number;
  readonly refused: number;
  readonly retried: number;
  readonly faults: Readonly<Record<string, number>>;
  readonly counters: Readonly<Record<string, number>>;
};

/** A run that broke a promise; the message has the line that repeats it. */
export class ScenarioFailure extends Error {
  readonly seed: number;
  readonly trace: readonly string[];

  constructor(seed: number, trace: readonly string[], cause: unknown) {
    const why = cause instanceof Error ? cause.message : String(cause);
    super(`seed ${seed}: ${why}\n  repeat it with: npm run sim -- --seed ${seed} --trace`, { cause });
    this.seed = seed;
    this.trace = trace;
  }
}

const FAULT_MS = 20_000;
/** After that, within this much virtual time no member is being rebuilt any more. */
const COMPLETE_WITHIN_MS = 60_000;
/** After the faults end, within this much virtual time everything is reachable and every replica equal. */
const REST_MS = 10_000;
/** From then on, without anybody reading, all homes of every partition are made equal within this much virtual time. */
const EQUAL_WITHIN_MS = 20_000;

/**
 * Runs one seed.
 *
 * @throws {ScenarioFailure} When a promise was broken.
 */
export async function runScenario(options: ScenarioOptions): Promise<ScenarioResult> {
  const { seed } = options;
  const cluster = createCluster(options);
  try {
    return await play(cluster, options);
  } catch (error) {
    throw new ScenarioFailure(seed, cluster.simulator.trace, cluster.bug ?? error);
  }
}

function createCluster({ seed, trace = false }: ScenarioOptions): SimulatedCluster {
  const random = createSeededRandom(seed).stream("shape");
  // Each is wide in most runs, and in some so narrow that it is met.
  const bounds = createSeededRandom(seed).stream("bounds");
  const nodes = random.between(3, 6);
  const replicationFactor = random.between(Math.min(3, nodes), Math.min(5, nodes));
  return new SimulatedCluster({
    seed,
    nodes,
    zones: random.between(1, nodes),
    replicationFactor,
    readQuorum: random.between(1, replicationFactor),
    writeQuorum: random.between(1, replicationFactor),
    mode: random.pick(["strict", "sloppy"]),
    durability: random.pick(["os", "disk"]),
    recordCacheBytes: random.pick([1_024, 65_536]),
    siblingsMax: bounds.pick([2, 4, 50]),
    contextEntriesMax: bounds.pick([2, 32]),
    hintWindowMs: bounds.pick([1_000, 5_000, 3 * 3_600_000]),
    hintBytesMax: bounds.pick([500, 5_000, 1 << 30, 1 << 30]),
    trace,
  });
}

async function play(cluster: SimulatedCluster, { seed, faultMs = FAULT_MS }: ScenarioOptions): Promise<ScenarioResult> {
  const { simulator } = cluster;
  const random = cluster.random.stream("shape of the load");
  const keys = random.between(1, 12);
  await cluster.startAll();
  watchTrees(cluster);
  const history = new History();
  const mix: readonly Doing[] = [
    "read",
    ...random.shuffle(["read", "context", "context", "overwrite", "sibling", "remove"] as const),
  ];
  const workload = new Workload(cluster, history, {
    copies: new Copies(cluster),
    clients: random.between(2, 6),
    keys,
    thinkMsMax: random.between(20, 200),
    mix: mix.slice(0, random.between(2, mix.length)),
  });
  const faults = new Faults(cluster);
  await simulator.runUntil(simulator.nowMs + faultMs);
  faults.heal();
  workload.stop();
  // Long enough for what mends the last faults, and for clients to give up on the dead.
  await simulator.runUntil(simulator.nowMs + REST_MS);
  await cluster.startAll();
  await becomeEqual(cluster);
  await becomeComplete(cluster);
  await checkRest(cluster, history, keys);
  await checkLastOverwriteWins(
    cluster,
    Array.from({ length: keys }, (_, i) => `key ${i}`),
  );
  if (cluster.bug !== undefined) throw cluster.bug;
  return {
    seed,
    hash: simulator.hash,
    events: simulator.ran,
    ...workload.counters,
    faults: { ...Object.fromEntries(faults.met), ...cluster.network.counters },
    counters: Object.fromEntries(cluster.counters),
  };
}

/** Waits until anti-entropy has made all homes of every partition equal: bytes and roots, with no read to help. */
async function becomeEqual(cluster: SimulatedCluster): Promise<void> {
  const { simulator } = cluster;
  const untilMs = simulator.nowMs + EQUAL_WITHIN_MS;
  for (;;) {
    try {
      return checkDisks(cluster);
    } catch (error) {
      if (!(error instanceof assert.AssertionError) || simulator.nowMs >= untilMs) throw error;
    }
    await simulator.runUntil(simulator.nowMs + 500);
  }
}

/** Waits until every member whose disk was lost has been filled, and says so of itself. */
async function becomeComplete({ simulator, nodes }: SimulatedCluster): Promise<void> {
  const isRebuilding = () =>
    nodes.some(({ name, node }) =>
      node?.status.cluster().members.some((member) => member.name === name && member.state === "rebuilding"),
    );
  const complete = await simulator.runWhile(isRebuilding, COMPLETE_WITHIN_MS);
  assert(complete, `no member is being rebuilt ${COMPLETE_WITHIN_MS} ms after the faults ended`);
}

/** Reads every key through every node at r=N, lets repairs end, and looks at the disks. */
async function checkRest(cluster: SimulatedCluster, history: History, keys: number): Promise<void> {
  const { simulator, nodes } = cluster;
  for (let i = 0; i < keys; i++) {
    const key = `key ${i}`;
    const views: string[] = [];
    for (const { name, node } of nodes) {
      assert(node !== undefined, `${name} serves when all is quiet`);
      const shown = await readAll(
        cluster,
        node.coordinator.get(bytesOf(key), { readQuorum: cluster.options.replicationFactor, timeoutMs: 5_000 }),
      );
      history.checkEnd(key, shown, simulator.nowMs);
      views.push(`[${shown}]`);
    }
    assert.equal(new Set(views).size, 1, `every node shows the same for ${key}, in the same order: ${views.join(" ")}`);
  }
  await simulator.runUntil(simulator.nowMs + 2_000);
  checkHints(cluster);
  checkDisks(cluster);
  await checkTrees(cluster);
}

/** The trees that were kept with each write say what counting everything anew says. */
async function checkTrees({ simulator, nodes }: SimulatedCluster): Promise<void> {
  const free = { spend: () => Promise.resolve() };
  for (const { name, node } of nodes) {
    const partitions =
      node?.status.ring().preferenceLists.flatMap((homes, p) => (homes.includes(name) ? [p] : [])) ?? [];
    const counts = partitions.map(async (partition) => {
      const wrong = await node?.repair.trees.verify(partition, free);
      assert.equal(wrong, 0, `the tree of partition ${partition} at ${name} is what its disk holds`);
    });
    let counted = false;
    const all = Promise.all(counts).finally(() => {
      counted = true;
    });
    all.catch(() => {
      // Thrown by the await below; until then it is nobody's.
      counted = true;
    });
    await simulator.runWhile(() => !counted, 10_000);
    await all;
  }
}

async function readAll(
  cluster: SimulatedCluster,
  reading: ReturnType<NonNullable<SimulatedCluster["nodes"][number]["node"]>["coordinator"]["get"]>,
): Promise<readonly WriteId[]> {
  let settled = false;
  const watched = reading.finally(() => {
    settled = true;
  });
  watched.catch(() => {
    // Its rejection is thrown by the await below; until then it is nobody's.
    settled = true;
  });
  await cluster.simulator.runWhile(() => !settled, 10_000);
  assert(settled, "a read is answered when all is quiet");
  const { siblings } = await watched;
  return siblings.flatMap(({ value }) => (value === undefined ? [] : [idOf(value)]));
}

/** Every hint was delivered: none waits on any disk. */
function checkHints({ nodes }: SimulatedCluster): void {
  for (const { name, disk } of nodes) {
    const waiting = disk.entries({ ...hintsRange(), limit: 10_000 });
    assert.equal(waiting.length, 0, `${name} has delivered all its hints`);
  }
}

/** All homes of a partition hold equal bytes for every key, and say so in their trees. */
function checkDisks({ nodes }: SimulatedCluster): void {
  const ring = nodes[0]?.node?.status.ring();
  assert(ring !== undefined, "there is a ring");
  ring.preferenceLists.forEach((homes, partition) => {
    const contents = homes.map((name) => {
      const disk = nodes.find((node) => node.name === name)?.disk;
      const entries = disk?.entries({ ...partitionRange(partition), limit: 10_000 }) ?? [];
      return entries.map(
        ({ key, value }) => `${Buffer.from(key).toString("hex")}=${Buffer.from(value).toString("hex")}`,
      );
    });
    for (const content of contents)
      assert.deepEqual(content, contents[0], `all homes of partition ${partition} are equal`);
    const roots = homes.map((name) => {
      const root = nodes
        .find((node) => node.name === name)
        ?.node?.repair.trees.ready(partition)
        ?.root();
      return root === undefined ? "no tree" : Buffer.from(root).toString("hex");
    });
    assert(!roots.includes("no tree") && new Set(roots).size === 1, `partition ${partition} has one root: ${roots}`);
  });
}
