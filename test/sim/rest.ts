/**
 * What must become true, and within what time, once the faults of a run have ended. Each of the times begins when what is before it has come:
 * 10 s and up to 30 s until all serve (scenario.ts), then hints, then equal disks, then complete members, then hints that
 * those had refused, then what was deleted.
 */
import assert from "node:assert/strict";
import { hintsRange, horizonKey, parsePartitionedKey, partitionRange } from "../../node/core/keyspace.ts";
import { isCovered, isDeleted } from "../../node/core/version/collect.ts";
import { EMPTY_CONTEXT } from "../../node/core/version/context.ts";
import { decodeToken } from "../../node/core/version/context-codec.ts";
import { mergeVectors } from "../../node/core/version/vector.ts";
import type { ReadAnswer } from "../../node/services/coordinator.ts";
import { checkIdle } from "./bounds.ts";
import type { SimulatedCluster } from "./cluster.ts";
import { horizonIn } from "./collected.ts";
import { recordIn } from "./disk-records.ts";
import type { History, WriteId } from "./history.ts";
import { WALL_START_MS } from "./simulator.ts";
import { idsOf } from "./values.ts";
import { bytesOf } from "./workload.ts";

/** After that, within this much virtual time no member is being rebuilt any more. */
const COMPLETE_WITHIN_MS = 60_000;
/**
 * From then on, without anybody reading, all homes of every partition are made equal within this much virtual time: a
 * comparison whose reply was lost in the last moment with faults waits 30 s for it before the next one begins.
 */
const EQUAL_WITHIN_MS = 40_000;

/** A hint's delivery that failed in the last moment with faults is tried again after up to 5 s, of a partition that could not be read 10 s. */
const DELIVERED_WITHIN_MS = 20_000;

/** Floors of tombstones above it are those of runs in which none is collected. */
const FLOOR_MS_MAX = 60_000;
/** Beyond the floor itself, within this much virtual time what was deleted is gone. */
const COLLECTED_WITHIN_MS = 40_000;

/** Waits until anti-entropy has made all homes of every partition equal: bytes and roots, with no read to help. */
export async function becomeEqual(cluster: SimulatedCluster): Promise<void> {
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

/** Waits until every member whose disk was lost has been filled, and says so of itself; and of keys whose records rotted, the same. */
export async function becomeComplete({ simulator, living, gauges }: SimulatedCluster): Promise<void> {
  const isRebuilding = () =>
    living.some(
      ({ name, node }) =>
        (gauges.get(`${name} annulus.store.doubtful_keys`)?.() ?? 0) > 0 ||
        node?.status.cluster().members.some((member) => member.name === name && member.state === "rebuilding"),
    );
  const complete = await simulator.runWhile(isRebuilding, COMPLETE_WITHIN_MS);
  assert(complete, `no member is being rebuilt ${COMPLETE_WITHIN_MS} ms after the faults ended`);
}

/**
 * Waits for what still holds hints to deliver them: a sloppy write may be on nothing else. Whether it has is for the caller to see.
 */
export async function becomeDelivered({ simulator, living }: SimulatedCluster): Promise<void> {
  const isHeld = () => living.some(({ disk }) => disk.entries({ ...hintsRange(), limit: 1 }).length > 0);
  await simulator.runWhile(isHeld, DELIVERED_WITHIN_MS);
}

/**
 * Waits until nothing is left of what was deleted. Where tombstones are kept for days, there is nothing to wait for.
 *
 * Evidence needs a snapshot that is as old as the floor, and the one of before may have been taken a moment too early.
 */
export async function becomeCollected(cluster: SimulatedCluster): Promise<void> {
  const { simulator, options } = cluster;
  const floorMs = options.tombstoneAgeMs ?? Number.POSITIVE_INFINITY;
  if (floorMs > FLOOR_MS_MAX) return;
  // Asked again after each event, so what was found left is looked at first.
  let found: Place | undefined;
  // What by the latest clock was at the end of its life when this began; of the rest, nobody knows how long it will live.
  const goneMs = WALL_START_MS + simulator.nowMs - cluster.clocks.skewMs(simulator.nowMs, simulator.nowMs);
  const isLeft = () => {
    if (found === undefined || leftAt(cluster, found, goneMs).length === 0) {
      found = homesOf(cluster).find((place) => leftAt(cluster, place, goneMs).length > 0);
    }
    return found !== undefined;
  };
  const gone = await simulator.runWhile(isLeft, 2 * floorMs + COLLECTED_WITHIN_MS);
  const left = homesOf(cluster).flatMap((place) => leftAt(cluster, place, goneMs));
  assert(gone, `what was deleted is forgotten in the end: ${left.join(", ")}`);
}

/** A partition at one of its homes. */
type Place = { readonly partition: number; readonly name: string };

function homesOf({ living }: SimulatedCluster): readonly Place[] {
  const ring = living[0]?.node?.status.ring();
  assert(ring !== undefined, "there is a ring");
  return ring.preferenceLists.flatMap((homes, partition) => homes.map((name) => ({ partition, name })));
}

/**
 * Records of which nothing stands, and all that they know of was surely stamped.
 *
 * @param goneMs Wall clock by which lives of values are judged.
 */
function leftAt({ nodes }: SimulatedCluster, { partition, name }: Place, goneMs: number): readonly string[] {
  const disk = nodes.find((node) => node.name === name)?.disk ?? assert.fail(`${name} has a disk`);
  const records = disk.entries({ ...partitionRange(partition), limit: 10_000 }).flatMap(({ key, value }) => {
    const record = recordIn(value);
    return record === undefined ? [] : [{ key, record }];
  });
  const deleted = records.filter(({ record }) => isDeleted(record, goneMs));
  if (deleted.length === 0) return [];
  // Of a write whose every copy was destroyed nobody can say that it was ever made, and what claims to know it stays.
  const stamped = records.reduce(
    (known, { record }) => mergeVectors(known, record.eventsSeen),
    horizonIn(disk.peek(horizonKey(partition))).vector,
  );
  return deleted
    .filter(({ record }) => isCovered(record, stamped))
    .map(({ key }) => `${new TextDecoder().decode(parsePartitionedKey(key).key)} at ${name}`);
}

/** Reads every key through every node at r=N, lets repairs end, and looks at the disks. */
export async function checkRest(cluster: SimulatedCluster, history: History, keys: number): Promise<void> {
  const { simulator, living } = cluster;
  for (let i = 0; i < keys; i++) {
    const key = `key ${i}`;
    const fromMs = simulator.nowMs;
    const views: WriteId[][] = [];
    for (const { name, node } of living) {
      assert(node !== undefined, `${name} serves when all is quiet`);
      const { siblings, context } = await readAll(
        cluster,
        node.coordinator.get(bytesOf(key), { readQuorum: cluster.options.replicationFactor, timeoutMs: 5_000 }),
      );
      const shown = idsOf(siblings, key, history.writes);
      const known = context === undefined ? EMPTY_CONTEXT : decodeToken(context, bytesOf(key));
      history.checkEnd(key, shown, simulator.nowMs, { context: known });
      views.push(shown);
    }
    // Of what comes to its end meanwhile one node may show what the next does not.
    const isSettled = (id: WriteId) => !history.isExpiring(id, { fromMs, untilMs: simulator.nowMs });
    const told = views.map((view) => `[${view.filter(isSettled)}]`);
    assert.equal(new Set(told).size, 1, `every node shows the same for ${key}, in the same order: ${told.join(" ")}`);
  }
  await simulator.runUntil(simulator.nowMs + 2_000);
  checkIdle(cluster);
  // A horizon that was raised in the last moment reaches the other homes with their next round.
  await becomeEqual(cluster);
  await checkTrees(cluster);
}

/** The trees that were kept with each write say what counting everything anew says. */
async function checkTrees({ simulator, living }: SimulatedCluster): Promise<void> {
  const free = { spend: () => Promise.resolve() };
  for (const { name, node } of living) {
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

async function readAll(cluster: SimulatedCluster, reading: Promise<ReadAnswer>): Promise<ReadAnswer> {
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
  return watched;
}

/** All homes of a partition hold equal bytes for every key, and say so in their trees. */
function checkDisks({ nodes, living }: SimulatedCluster): void {
  const ring = living[0]?.node?.status.ring();
  assert(ring !== undefined, "there is a ring");
  ring.preferenceLists.forEach((homes, partition) => {
    const contents = homes.map((name) => {
      const disk = nodes.find((node) => node.name === name)?.disk;
      const entries = disk?.entries({ ...partitionRange(partition), limit: 10_000 }) ?? [];
      return entries.map(
        ({ key, value }) => `${Buffer.from(key).toString("hex")}=${Buffer.from(value).toString("hex")}`,
      );
    });
    contents.forEach((content, i) => {
      const other = new Set(contents[0]);
      const [differing] = content.filter((entry) => !other.has(entry));
      assert(
        differing === undefined && content.length === other.size,
        `all homes of partition ${partition} are equal: ${homes[i]} has ${content.length} records, ${homes[0]} ${other.size}${differing === undefined ? "" : `, among them another ${keyOf(differing)}`}`,
      );
    });
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

/** Of an entry as `checkDisks` compares them. */
function keyOf(entry: string): string {
  const stored = Buffer.from(entry.slice(0, entry.indexOf("=")), "hex");
  return new TextDecoder().decode(parsePartitionedKey(stored).key);
}
