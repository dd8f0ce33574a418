/**
 * What keeping the trees costs: CPU-seconds of 1,000 writes with them and without, in interleaved pairs of runs.
 *
 * A write is what the replicas do for one with N = 3: it is stamped at one and merged at two more, each with LevelDB on
 * this disk, one process. HTTP and network are left out, so that the ratio is larger than that of a cluster.
 */
import { join } from "node:path";
import { createLevelEngine } from "../../node/adapters/level/engine.ts";
import { systemRandom, systemTime } from "../../node/adapters/system.ts";
import { MerkleTree } from "../../node/core/merkle/tree.ts";
import { partitionOf } from "../../node/core/ring/hash.ts";
import { createDoubts } from "../../node/services/doubts.ts";
import { createGroupCommit } from "../../node/services/group-commit.ts";
import { openIdentity } from "../../node/services/identity.ts";
import { createReplica, type Replica } from "../../node/services/replica.ts";
import { TreeLedger } from "../../node/services/tree-ledger.ts";
import { seededUniform } from "./keys.ts";
import { interval, median, percent } from "./paired.ts";

const PAIRS_OF_RUNS = 10;
/** Turns into which each run of a pair is cut. */
const TURNS = 20;
const KEYS = 20_000;
const PARTITIONS = 512;
const VALUE_BYTES = 1_024;
const AT_ONCE = 32;
const QUIET = { count() {}, observe() {}, gauge() {}, log() {} };

async function openReplica(directory: string, name: string, ledger: TreeLedger | undefined): Promise<Replica> {
  const engine = await createLevelEngine(
    { telemetry: QUIET },
    { directory: join(directory, name), cacheBytes: 8 << 20, writeBufferBytes: 16 << 20, reserveBytes: 0 },
  );
  const ports = { engine, time: systemTime, random: systemRandom(), telemetry: QUIET };
  const identity = await openIdentity(ports, { clusterId: "bench", member: name, bootId: "bench" });
  const commit = createGroupCommit(ports, {
    sync: false,
    intervalMs: 1,
    batchBytesMax: 1 << 20,
    queueBytesMax: 32 << 20,
    queueMsMax: 60_000,
  });
  return createReplica(
    { ...ports, commit, identity, doubts: createDoubts(ports), ledger, collection: undefined },
    { siblingsMax: 50, siblingBytesMax: 1 << 20, contextEntriesMax: 32, cacheBytes: 16 << 20, mayForget: () => false },
  );
}

async function openThree(directory: string, kind: "with" | "without"): Promise<readonly Replica[]> {
  const replicas: Replica[] = [];
  for (const name of ["n1", "n2", "n3"]) {
    const ledger = kind === "with" ? new TreeLedger() : undefined;
    for (let partition = 0; partition < PARTITIONS; partition++) ledger?.set(partition, new MerkleTree(4));
    replicas.push(await openReplica(directory, `${kind}-${name}`, ledger));
  }
  return replicas;
}

/**
 * Runs both in short turns, so that what the machine does besides falls on both; gives CPU-seconds per 1,000 writes of
 * each, in the order given.
 */
async function runPair(
  pair: readonly (readonly Replica[])[],
  writes: number,
  uniform: () => number,
): Promise<number[]> {
  const costs = pair.map(() => 0);
  for (let turn = 0; turn < TURNS; turn++) {
    for (let i = 0; i < pair.length; i++) {
      const at = turn % 2 === 0 ? i : pair.length - 1 - i;
      costs[at] = (costs[at] ?? 0) + (await run(pair[at] as readonly Replica[], writes / TURNS, uniform)) / TURNS;
    }
  }
  return costs;
}

/** Runs so many writes of random keys, some at once; gives CPU-seconds per 1,000. */
async function run(replicas: readonly Replica[], writes: number, uniform: () => number): Promise<number> {
  const value = Buffer.alloc(VALUE_BYTES, 7);
  const write = async () => {
    const key = Buffer.from(`key:${Math.floor(uniform() * KEYS)}`);
    const partition = partitionOf(key, PARTITIONS);
    const content = { value: Buffer.from(value), contentType: "application/octet-stream", expiresAtMs: undefined };
    const first = Math.floor(uniform() * 3);
    const request = { kind: "stamp", epoch: 1, key, base: { kind: "overwrite" }, content, event: undefined } as const;
    const { record } = await (replicas[first] as Replica).stamp(partition, request, Number.POSITIVE_INFINITY);
    await Promise.all(
      replicas.map((replica, index) => (index === first ? undefined : replica.merge(partition, key, record))),
    );
  };
  const before = process.cpuUsage();
  let left = writes;
  const client = async () => {
    while (left-- > 0) await write();
  };
  await Promise.all(Array.from({ length: AT_ONCE }, client));
  const { user, system } = process.cpuUsage(before);
  return ((user + system) / 1e6 / writes) * 1_000;
}

/** Runs the pairs and prints each, the median ratio and the interval that holds 95 % of the medians drawn anew. */
export async function createTreeCost(
  directory: string,
  { writes, say }: { readonly writes: number; readonly say: (line: string) => void },
): Promise<void> {
  const [withTrees, without] = [await openThree(directory, "with"), await openThree(directory, "without")];
  const uniform = seededUniform(1);
  for (const replicas of [withTrees, without]) await run(replicas, KEYS * 2, uniform);
  const ratios: number[] = [];
  for (let pair = 0; pair < PAIRS_OF_RUNS; pair++) {
    const [kept, none] = (await runPair([withTrees, without], writes, uniform)) as [number, number];
    ratios.push(kept / none);
    say(
      `pair ${pair + 1}: ${kept.toFixed(4)} s with trees, ${none.toFixed(4)} s without, per 1,000 writes: ${percent(kept / none)}`,
    );
  }
  const [low, high] = interval(ratios, 0.95, uniform);
  say(`median ${percent(median(ratios))}, 95 % interval ${percent(low)} to ${percent(high)}`);
}
