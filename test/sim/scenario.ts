/**
 * One run: a cluster, clients and faults drawn from a seed; then quiet, and everything must come to rest and hold.
 */
import { checkBounds, watchBounds } from "./bounds.ts";
import { Buried } from "./buried.ts";
import { checkLastOverwriteWins } from "./calm.ts";
import { Churn } from "./churn.ts";
import { type ClusterOptions, SimulatedCluster } from "./cluster.ts";
import { collectedOf } from "./collected.ts";
import { Copies } from "./copies.ts";
import { type FaultLimits, Faults } from "./faults.ts";
import { History } from "./history.ts";
import { createWorld, shapeForOperators } from "./kube/create-world.ts";
import type { KubeWorld } from "./kube/kube-world.ts";
import { Upheaval } from "./kube/upheaval.ts";
import { drawProfile, type Profile } from "./profiles.ts";
import { drawQuorums } from "./quorums.ts";
import { createSeededRandom, type SeededRandom } from "./random.ts";
import { drawVariety } from "./request-choices.ts";
import { becomeCollected, becomeComplete, becomeDelivered, becomeEqual, checkRest } from "./rest.ts";
import { StampBounds } from "./stamp-bounds.ts";
import { Tally } from "./tally.ts";
import { watchTrees } from "./tree-watch.ts";
import { idsOf } from "./values.ts";
import { bytesOf, type Doing, Workload, type WorkloadOptions } from "./workload.ts";

export type ScenarioOptions = {
  readonly seed: number;
  /** `counted`: as large and as long as a run has to be to count for something; see `isCounted`. */
  readonly size?: Size;
  /** Virtual time with clients and faults, in ms, if it is to be less than what the size says. */
  readonly faultMs?: number;
  /** Whether the ring changes meanwhile: members join, leave, are replaced and weighted anew. */
  readonly churn?: boolean;
  /** Whether the nodes run in a simulated Kubernetes, where operators change their ring. */
  readonly operator?: boolean;
  /** What of the drawn faults is to be left out. */
  readonly faults?: FaultLimits;
  readonly trace?: boolean;
};

export type Size = "short" | "counted";

export type ScenarioResult = {
  readonly seed: number;
  readonly hash: string;
  /** The told lines, if they were asked for. */
  readonly trace: readonly string[];
  readonly events: number;
  readonly nodes: number;
  readonly keys: number;
  /** Virtual time with faults, and of the whole run, in ms. */
  readonly faultMs: number;
  readonly virtualMs: number;
  readonly operations: number;
  readonly acknowledged: number;
  readonly unknown: number;
  readonly refused: number;
  readonly retried: number;
  readonly siblings: number;
  /** How many faults happened. */
  readonly faultCount: number;
  /** Changes of the ring that were brought to their end. */
  readonly changes: number;
  /** How often the number of members that is wanted was changed, where operators see to it. */
  readonly scales: number;
  /** Strikes drawn, met or not: what may be left out has a number below this. */
  readonly strikes: number;
  readonly faults: Readonly<Record<string, number>>;
  readonly counters: Readonly<Record<string, number>>;
  /** What clients asked for beyond what the ring says, and were given. */
  readonly granted: Readonly<Record<string, number>>;
  /** How often checkers held it to what was promised, and how often it was excused. */
  readonly checks: Readonly<Record<string, number>>;
};

/** A run that broke a promise; the message has the line that repeats it. */
export class ScenarioFailure extends Error {
  readonly seed: number;
  readonly trace: readonly string[];
  /** Faults drawn so far. */
  readonly strikes: number;
  /** When it was noticed, in virtual ms since the beginning. */
  readonly atMs: number;

  constructor(
    run: { readonly seed: number; readonly size: Size; readonly churn: boolean; readonly operator?: boolean },
    story: { readonly trace: readonly string[]; readonly strikes: number; readonly atMs: number },
    cause: unknown,
  ) {
    const why = cause instanceof Error ? cause.message : String(cause);
    const { seed, size } = run;
    const kind = run.operator === true ? " --operator" : run.churn ? " --churn" : "";
    const which = `--seed ${seed}${size === "short" ? " --short" : ""}${kind}`;
    super(`seed ${seed}: ${why}\n  repeat it with: npm run sim -- ${which} --trace`, { cause });
    this.seed = seed;
    this.trace = story.trace;
    this.strikes = story.strikes;
    this.atMs = story.atMs;
  }
}

const FAULT_MS: Readonly<Record<Size, number>> = { short: 20_000, counted: 60_000 };
/** What passes after the faults before anything is asked for: clients give up on the dead, and disks are opened again. What must be true when: rest.ts. */
const REST_MS = 10_000;
const SCRUB_MS = 10_000;

/** Whether a run is large enough to count: one that met little shows little. */
export function isCounted(
  { nodes, faultMs, operations, acknowledged, faultCount, keys, changes, scales }: ScenarioResult,
  { churn = false, operator = false }: { readonly churn?: boolean; readonly operator?: boolean } = {},
): boolean {
  if ((churn && changes < 2) || (operator && scales < 2)) return false;
  const isLarge = nodes >= 5 && faultMs >= 60_000 && keys <= 50;
  return isLarge && operations >= 1_000 && acknowledged >= 0.3 * operations && faultCount >= 10;
}

/**
 * Runs one seed.
 *
 * @throws {ScenarioFailure} When a promise was broken.
 */
export async function runScenario(options: ScenarioOptions): Promise<ScenarioResult> {
  const { seed } = options;
  // Where the ring changes, what is drawn for that is enough.
  const isPlain = options.churn !== true && options.operator !== true;
  const profile = isPlain ? drawProfile(seed, options.size === "counted" ? 5 : 3) : undefined;
  const cluster = createCluster(options, profile);
  const world = options.operator === true ? createWorld(cluster) : undefined;
  const load = drawLoad(cluster.random.stream("shape of the load"), options.size ?? "short", profile);
  const keys = Array.from({ length: load.keys }, (_, i) => bytesOf(`key ${i}`));
  const faults = new Faults(cluster, keys, options.faults, profile?.faults);
  try {
    const faultMs = options.faultMs ?? FAULT_MS[options.size ?? "short"];
    return await play(cluster, { load, keys, faults, faultMs, world, isChurning: options.churn === true });
  } catch (error) {
    const { trace, nowMs: atMs } = cluster.simulator;
    const size = options.size ?? "short";
    throw new ScenarioFailure(
      { seed, size, churn: options.churn === true, operator: options.operator === true },
      { trace, atMs, strikes: faults.drawn },
      cluster.bug ?? error,
    );
  }
}

function createCluster(options: ScenarioOptions, profile: Profile | undefined): SimulatedCluster {
  const { seed, size = "short", trace = false, churn, operator } = options;
  const random = createSeededRandom(seed).stream("shape");
  // Each is wide in most runs, and in some so narrow that it is met.
  const bounds = createSeededRandom(seed).stream("bounds");
  const nodes = size === "short" ? random.between(3, 6) : random.between(5, 7);
  const replicationFactor = random.between(Math.min(3, nodes), Math.min(5, nodes));
  const shape: ClusterOptions = {
    seed,
    nodes,
    zones: random.between(1, nodes),
    replicationFactor,
    readQuorum: random.between(1, replicationFactor),
    writeQuorum: random.between(1, replicationFactor),
    mode: random.pick(["strict", "sloppy"]),
    durability: random.pick(["os", "disk"]),
    recordCacheBytes: random.pick([1_024, 65_536]),
    scrubIntervalMs: SCRUB_MS,
    siblingsMax: bounds.pick([2, 4, 50]),
    contextEntriesMax: bounds.pick([2, 32]),
    hintWindowMs: bounds.pick([1_000, 5_000, 3 * 3_600_000]),
    hintBytesMax: bounds.pick([500, 5_000, 1 << 30, 1 << 30]),
    tombstoneAgeMs: createSeededRandom(seed).stream("tombstones").pick([4_000, 8_000, 86_400_000]),
    requests: drawVariety(seed),
    trace,
  };
  // Fewer partitions, fewer trees to build at each start: keys, not partitions, are what faults are met on.
  const partitions = bounds.pick([4, 8, 16]);
  const quorumsToBe = churn === true ? drawQuorums(shape) : undefined;
  return new SimulatedCluster({
    ...shape,
    ...profile?.shape,
    partitions,
    ...(quorumsToBe === undefined ? {} : { quorumsToBe }),
    ...(operator === true ? shapeForOperators(shape) : {}),
  });
}

function drawLoad(random: SeededRandom, size: Size, profile: Profile | undefined): WorkloadOptions {
  const isShort = size === "short";
  const keys =
    profile !== undefined ? random.between(...profile.keys) : random.between(isShort ? 1 : 4, isShort ? 12 : 50);
  const mix: readonly Doing[] = [
    "read",
    ...random.shuffle(["read", "context", "context", "overwrite", "sibling", "remove"] as const),
  ];
  const clients = isShort ? random.between(2, 6) : random.between(4, 8);
  return {
    clients,
    keys,
    keysKnown: random.between(0, keys),
    // All of them together begin some tens of operations a second.
    thinkMsMax: Math.round(
      (profile?.pauseShare ?? 1) * (isShort ? random.between(20, 200) : clients * random.between(35, 75)),
    ),
    mix: profile?.mix ?? mix.slice(0, random.between(2, mix.length)),
  };
}

/** What a reader of the trace has to know of the run. */
function tellShape(options: ClusterOptions, load: WorkloadOptions): string {
  const { nodes, zones, replicationFactor, readQuorum, writeQuorum, mode, durability } = options;
  const asks = Object.entries(options.requests ?? {}).filter(([, is]) => is);
  return [
    `${nodes} nodes in ${zones} zones, N=${replicationFactor} R=${readQuorum} W=${writeQuorum} ${mode}, durability ${durability}`,
    `${load.clients} clients, ${load.keys} keys, ${load.keysKnown} of them never overwritten blindly`,
    `hints up to ${options.hintBytesMax} bytes and ${options.hintWindowMs} ms, tombstones from ${options.tombstoneAgeMs} ms on`,
    `clients may ask for more: ${asks.map(([name]) => name).join(", ") || "no"}`,
  ].join("; ");
}

/** Lets time pass, and ends the run where something was found to be broken. */
async function advance(cluster: SimulatedCluster, byMs: number): Promise<void> {
  const { simulator } = cluster;
  const untilMs = simulator.nowMs + byMs;
  await simulator.runWhile(() => cluster.bug === undefined && simulator.nowMs < untilMs, byMs);
  if (cluster.bug !== undefined) throw cluster.bug;
}

async function play(
  cluster: SimulatedCluster,
  how: {
    readonly load: WorkloadOptions;
    readonly keys: readonly Uint8Array[];
    readonly faults: Faults;
    readonly faultMs: number;
    readonly isChurning: boolean;
    readonly world: KubeWorld | undefined;
  },
): Promise<ScenarioResult> {
  const { simulator, options, losses, network, counters, nodes } = cluster;
  const { load, keys, faults, faultMs, isChurning, world } = how;
  const isElastic = isChurning || world !== undefined;
  simulator.tell(tellShape(options, load));
  const stampBounds = new StampBounds(cluster);
  await (world === undefined ? cluster.startAll() : world.found());
  const bounded = { keys, clients: load.clients, largestBytes: () => stampBounds.largestBytes };
  watchBounds(cluster, bounded);
  watchTrees(cluster);
  const tally = new Tally();
  const history = new History({ ...options, ...cluster.leastQuorums, isElastic }, losses, {
    collectedOf: (key) => collectedOf(cluster, key),
    clockSkewMs: (fromMs, untilMs) => cluster.clocks.skewMs(fromMs, untilMs),
    tally,
  });
  cluster.onDestroyed = (key, record) =>
    history.stamps.observe(key, record, (found) => idsOf([found], key, history.writes)[0]);
  const workload = new Workload(
    cluster,
    { history, copies: new Copies(cluster, (id) => history.mayBeDeleted(id, simulator.nowMs), tally) },
    load,
  );
  const buried = new Buried(
    cluster,
    keys.map((key) => new TextDecoder().decode(key)),
    tally,
  );
  faults.begin();
  const changes =
    world !== undefined ? new Upheaval(world, faults) : isChurning ? new Churn(cluster, faults) : undefined;
  await advance(cluster, faultMs);
  faults.heal();
  changes?.heal();
  workload.stop();
  // Long enough for what mends the last faults, and for clients to give up on the dead.
  await advance(cluster, REST_MS);
  await changes?.settle();
  if (world === undefined) await cluster.startAll();
  await becomeDelivered(cluster);
  await becomeEqual(cluster);
  await becomeComplete(cluster);
  // Whoever was being rebuilt may have refused some until then (seed 2102006294 of 551628c).
  await becomeDelivered(cluster);
  await becomeCollected(cluster);
  await checkRest(cluster, history, keys.length);
  await checkLastOverwriteWins(
    cluster,
    keys.map((key) => new TextDecoder().decode(key)),
  );
  await becomeEqual(cluster);
  buried.check();
  checkBounds(cluster, bounded);
  stampBounds.checkCounted();
  if (cluster.bug !== undefined) throw cluster.bug;
  const disks = new Map<string, number>();
  for (const { disk } of nodes)
    for (const [name, times] of Object.entries(disk.counters)) disks.set(name, (disks.get(name) ?? 0) + times);
  return {
    seed: options.seed,
    hash: simulator.hash,
    trace: simulator.trace,
    events: simulator.ran,
    nodes: nodes.length,
    keys: keys.length,
    faultMs,
    virtualMs: simulator.nowMs,
    ...workload.counters,
    faultCount: faults.count,
    strikes: faults.drawn,
    changes: changes?.done ?? 0,
    scales: world?.scales ?? 0,
    faults: {
      ...Object.fromEntries(faults.met),
      ...Object.fromEntries(changes?.met ?? []),
      ...Object.fromEntries(disks),
      ...network.counters,
    },
    counters: Object.fromEntries(counters),
    granted: Object.fromEntries(workload.granted),
    checks: tally.times,
  };
}
