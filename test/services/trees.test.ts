/** Trees that are kept with each write, counted while writes go on, doubted after failures, and laid down at a clean stop. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import fc from "fast-check";
import { KvError } from "../../node/core/errors.ts";
import { checkpointRange, dataKey, parsePartitionedKey, partitionRange } from "../../node/core/keyspace.ts";
import { fingerprintOf } from "../../node/core/merkle/fingerprint.ts";
import { leafBitsFor, MerkleTree } from "../../node/core/merkle/tree.ts";
import { placeOf } from "../../node/core/ring/hash.ts";
import { decodeRecord, encodeRecord } from "../../node/core/version/record-codec.ts";
import { createDoubts } from "../../node/services/doubts.ts";
import { createGroupCommit } from "../../node/services/group-commit.ts";
import { openIdentity } from "../../node/services/identity.ts";
import { createReplica } from "../../node/services/replica.ts";
import { TreeLedger } from "../../node/services/tree-ledger.ts";
import { createTrees } from "../../node/services/trees.ts";
import { createInstantTime } from "../contract/instant-time.ts";
import { createRecordedTelemetry } from "../contract/recorded-telemetry.ts";
import { B, bytes, dot, write } from "../core/version/examples.ts";
import { createSimulatedDisk, type SimulatedDisk } from "../sim/disk.ts";
import { createSeededRandom, type SeededRandom } from "../sim/random.ts";

const PARTITION = 3;
const FREE = { spend: () => Promise.resolve() };

/** One replica with its trees on a simulated disk. */
async function openWorld(disk: SimulatedDisk, time = createInstantTime(), seed = 1) {
  const telemetry = createRecordedTelemetry();
  const engine = disk.open();
  const commit = createGroupCommit(
    { engine, time, telemetry },
    { sync: false, intervalMs: 1, batchBytesMax: 4_000, queueBytesMax: 1_000_000, queueMsMax: 60_000 },
  );
  const random = createSeededRandom(seed).stream("identity");
  const identity = await openIdentity({ engine, random, telemetry }, { clusterId: "c", member: "n1", bootId: "b" });
  const ledger = new TreeLedger();
  const replica = createReplica(
    {
      ...{ engine, commit, identity, ledger, collection: undefined, time, telemetry },
      doubts: createDoubts({ engine, telemetry }),
    },
    { siblingsMax: 50, siblingBytesMax: 1 << 20, contextEntriesMax: 32, cacheBytes: 3_000, mayForget: () => false },
  );
  const trees = createTrees({ ledger, replica, engine, commit, budget: FREE, time, telemetry });
  const pass = (ms: number) => new Promise<void>((resolve) => time.after(ms, resolve));
  return { telemetry, disk, engine, commit, identity, ledger, replica, trees, time, pass };
}

type World = Awaited<ReturnType<typeof openWorld>>;

function newDisk(seed: number, time = createInstantTime()): [SimulatedDisk, ReturnType<typeof createInstantTime>] {
  const random = createSeededRandom(seed).stream("disk");
  return [createSimulatedDisk({ time, random, faults: { latencyMs: [0, 6] } }), time];
}

const damagedBlock = () => new KvError("STORAGE_FAILED", "Cannot read: a block is damaged.");

function stamp({ replica, time }: World, key: string): Promise<unknown> {
  const request = {
    kind: "stamp",
    epoch: 1,
    key: bytes(key),
    base: { kind: "overwrite" },
    content: { value: bytes(`of ${key}`), contentType: "text/plain", expiresAtMs: undefined },
    event: undefined,
  } as const;
  return replica.stamp(PARTITION, request, time.monotonicMs() + 10_000);
}

function merge({ replica }: World, key: string, counter: number): Promise<unknown> {
  return replica.merge(PARTITION, bytes(key), encodeRecord(write(undefined, dot(B, counter)).record));
}

/** The tree that the disk's records make, counted by the definition. */
function plainTree({ disk }: World, bits: number): MerkleTree {
  const tree = new MerkleTree(bits);
  for (const entry of disk.entries({ ...partitionRange(PARTITION), limit: 10_000 })) {
    const { key } = parsePartitionedKey(entry.key);
    tree.add(placeOf(key), fingerprintOf(key, entry.value, decodeRecord(entry.value)));
  }
  return tree;
}

function checkTree(world: World): void {
  const tree = world.trees.ready(PARTITION);
  assert(tree !== undefined, "the tree is built and not in doubt");
  assert.deepEqual(tree.encode(), plainTree(world, tree.bits).encode());
}

async function built(world: World): Promise<void> {
  world.trees.own([PARTITION]);
  while (world.trees.ready(PARTITION) === undefined) await world.pass(5);
}

/** Refusals and failures of single writes are part of the game; anything else is not. */
async function settle(works: readonly Promise<unknown>[]): Promise<void> {
  for (const result of await Promise.allSettled(works)) {
    if (result.status === "rejected" && !(result.reason instanceof KvError)) throw result.reason;
  }
}

/** Writes to a few keys and many, while leaves are listed, everything is counted, and some writes may fail. */
async function muddle(world: World, random: SeededRandom, failing: boolean): Promise<void> {
  const works: Promise<unknown>[] = [];
  for (let step = 0; step < 150; step++) {
    const key = `key ${random.chance([1, 2]) ? random.below(5) : random.below(400)}`;
    if (random.chance([2, 3])) works.push(stamp(world, key));
    else works.push(merge(world, key, random.between(1, 500)));
    const tree = world.trees.ready(PARTITION);
    if (tree !== undefined && random.chance([1, 10])) {
      const depth = random.between(0, 4);
      const leaves = [...new Set([random.below(2 ** depth), random.below(2 ** depth)])];
      works.push(world.trees.list(PARTITION, depth, leaves));
    }
    if (random.chance([1, 20])) works.push(world.trees.verify(PARTITION, FREE));
    if (failing && random.chance([1, 25])) world.disk.failNextWrite();
    if (random.chance([1, 3])) await world.pass(random.between(0, 4));
  }
  await settle(works);
}

describe("the trees of a node", () => {
  it("are exact at every moment in which writes, scans and lists meet, and need no correction", async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat({ max: 100_000 }), async (seed) => {
        const [disk, time] = newDisk(seed);
        const world = await openWorld(disk, time, seed);
        const random = createSeededRandom(seed).stream("muddle");
        await settle(Array.from({ length: 300 }, (_, index) => stamp(world, `key ${index}`)));
        world.trees.own([PARTITION]);
        await muddle(world, random, false);
        await built(world);
        checkTree(world);
        assert.equal(world.telemetry.counted("annulus.trees.leaves_corrected"), 0);
        disk.crash("process");
      }),
      { numRuns: 30 },
    );
  }, 60_000);

  it("come out right after writes that failed, whether they surfaced or not", async () => {
    let corrected = 0;
    await fc.assert(
      fc.asyncProperty(fc.nat({ max: 100_000 }), async (seed) => {
        const [disk, time] = newDisk(seed);
        const world = await openWorld(disk, time, seed);
        await settle(Array.from({ length: 150 }, (_, index) => stamp(world, `key ${index}`)));
        await built(world);
        await muddle(world, createSeededRandom(seed).stream("muddle"), true);
        await world.pass(10_000);
        await built(world);
        checkTree(world);
        corrected += world.telemetry.counted("annulus.trees.leaves_corrected");
        disk.crash("process");
      }),
      { numRuns: 30 },
    );
    assert(corrected > 0, "failed writes surfaced, and doubts were right to be had");
  }, 60_000);

  it("come out right when a write fails while they are being built, and surfaces afterwards", async () => {
    let surfaced = 0;
    for (let seed = 1; seed <= 30; seed++) {
      const [disk, time] = newDisk(seed);
      const world = await openWorld(disk, time, seed);
      await settle(Array.from({ length: 300 }, (_, index) => stamp(world, `key ${index}`)));
      world.trees.own([PARTITION]);
      await world.pass(seed % 15);
      disk.failNextWrite();
      await assert.rejects(stamp(world, "key that failed"), KvError);
      await built(world);
      await world.pass(2_000);
      await stamp(world, "another key");
      checkTree(world);
      surfaced += disk.counters.failedWritesSurfaced;
      disk.crash("process");
    }
    assert(surfaced > 5, `it surfaced ${surfaced} times`);
  });

  it("grow finer with their partition", async () => {
    const world = await openWorld(...newDisk(1));
    await built(world);
    assert.equal(world.trees.ready(PARTITION)?.bits, 4);
    await settle(Array.from({ length: 1_100 }, (_, index) => stamp(world, `key ${index}`)));
    await built(world);
    while (world.trees.ready(PARTITION)?.isTooFull() !== false) await world.pass(5);
    assert.equal(world.trees.ready(PARTITION)?.bits, leafBitsFor(1_100));
    checkTree(world);
    world.trees.close();
  });

  it("are built for all other partitions while one cannot be read, and for that one once it can", async () => {
    const world = await openWorld(...newDisk(3));
    const scan = world.engine.scan.bind(world.engine);
    const { from, until } = partitionRange(PARTITION);
    let isDamaged = true;
    const isOfIt = (at: Uint8Array) => Buffer.compare(at, from) >= 0 && Buffer.compare(at, until) < 0;
    world.engine.scan = (range) => (isDamaged && isOfIt(range.from) ? Promise.reject(damagedBlock()) : scan(range));
    world.trees.own([PARTITION, PARTITION + 1, PARTITION + 2]);
    await world.pass(100);
    assert.deepEqual(world.trees.progress(), { owned: 3, built: 2 });
    isDamaged = false;
    await world.pass(2_000);
    assert.deepEqual(world.trees.progress(), { owned: 3, built: 3 });
    world.trees.close();
  });

  it("are tried again less and less often where one cannot be read, however often something fails meanwhile", async () => {
    const world = await openWorld(...newDisk(8));
    let scans = 0;
    world.engine.scan = () => {
      scans += 1;
      return Promise.reject(damagedBlock());
    };
    world.trees.own([PARTITION]);
    for (let i = 0; i < 20; i++) {
      await world.pass(10);
      world.trees.own([PARTITION]);
    }
    const before = scans;
    await world.pass(10_000);
    assert(scans - before >= 2 && scans - before <= 4, `${scans - before} scans in ten seconds`);
    await world.pass(3_600_000);
    assert(scans - before >= 60 && scans - before <= 75, `${scans - before} scans in an hour`);
    world.trees.close();
  });

  it("list the keys of leaves as the disk has them, and refuse to before they are built", async () => {
    const world = await openWorld(...newDisk(2));
    await settle(Array.from({ length: 200 }, (_, index) => stamp(world, `key ${index}`)));
    await assert.rejects(world.trees.list(PARTITION, 2, [1]), { code: "NOT_READY" });
    await built(world);
    const listed = await world.trees.list(PARTITION, 2, [1, 3]);
    const expected = Array.from({ length: 200 }, (_, index) => `key ${index}`).filter((key) =>
      [1, 3].includes(placeOf(bytes(key)) >>> 30),
    );
    assert.deepEqual(listed.map(({ key }) => Buffer.from(key).toString()).sort(), expected.sort());
    await assert.rejects(world.trees.list(PARTITION, 9, [1]), { code: "NOT_READY" });
  });

  it("lack a damaged record once it was met, and hold it again when a peer's copy came", async () => {
    const world = await openWorld(...newDisk(3));
    await settle(Array.from({ length: 20 }, (_, index) => merge(world, `key ${index}`, index + 1)));
    await built(world);
    assert(world.disk.flipBit(dataKey(PARTITION, bytes("key 7"))));
    // Whoever meets it first doubts the place, and leaves it to the recount of what is in doubt.
    await world.trees.verify(PARTITION, FREE);
    await world.pass(100);
    assert.equal(world.trees.ready(PARTITION)?.keys, 19);
    assert.equal(world.telemetry.counted("annulus.store.corrupt_records"), 1);
    assert.equal(await world.trees.verify(PARTITION, FREE), 0);
    await merge(world, "key 7", 8);
    assert.equal(world.trees.ready(PARTITION)?.keys, 20);
    checkTree(world);
  });
});

async function stopClean(world: World): Promise<void> {
  await world.commit.close();
  await world.trees.save();
  await world.identity.stopClean();
  await world.engine.close();
}

describe("the trees of a node that stops and starts", () => {
  it("are there at once after a clean stop, and gone from the disk", async () => {
    const world = await openWorld(...newDisk(4));
    await settle(Array.from({ length: 50 }, (_, index) => stamp(world, `key ${index}`)));
    await built(world);
    await stopClean(world);
    assert.equal(world.disk.entries({ ...checkpointRange(), limit: 10 }).length, 1);

    const next = await openWorld(world.disk, world.time);
    await next.trees.load(next.identity.wasStoppedCleanly);
    checkTree(next);
    assert.equal(next.telemetry.counted("annulus.trees.builds"), 0);
    assert.equal(next.disk.entries({ ...checkpointRange(), limit: 10 }).length, 0);
    await stamp(next, "key 1");
    checkTree(next);
  });

  it("are built anew after any other end, whatever lies on the disk", async () => {
    const world = await openWorld(...newDisk(5));
    await settle(Array.from({ length: 50 }, (_, index) => stamp(world, `key ${index}`)));
    await built(world);
    await world.commit.drain();
    await world.trees.save();
    await stamp(world, "key 1");
    world.disk.crash("process");

    const next = await openWorld(world.disk, world.time);
    await next.trees.load(next.identity.wasStoppedCleanly);
    assert.equal(next.trees.ready(PARTITION), undefined);
    assert.equal(next.disk.entries({ ...checkpointRange(), limit: 10 }).length, 0);
    await built(next);
    checkTree(next);
  });

  it("are built anew where the checkpoint cannot be read, which a later start does not believe either", async () => {
    const world = await openWorld(...newDisk(7));
    await built(world);
    await stopClean(world);
    const next = await openWorld(world.disk, world.time);
    next.engine.scan = () => Promise.reject(damagedBlock());
    await next.trees.load(next.identity.wasStoppedCleanly);
    assert.equal(next.trees.ready(PARTITION), undefined);
    assert.equal(next.disk.entries({ ...checkpointRange(), limit: 10 }).length, 0);
  });

  it("are built anew where the checkpoint is damaged", async () => {
    const world = await openWorld(...newDisk(6));
    await built(world);
    await stopClean(world);
    const [entry] = world.disk.entries({ ...checkpointRange(), limit: 1 });
    assert(entry !== undefined && world.disk.flipBit(entry.key));
    const next = await openWorld(world.disk, world.time);
    await next.trees.load(next.identity.wasStoppedCleanly);
    assert.equal(next.trees.ready(PARTITION), undefined);
  });
});
