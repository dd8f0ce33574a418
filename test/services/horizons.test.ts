/** Horizons are stored before they are in force, are applied to all that is here, and tell what was deleted from what was lost. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { KvError } from "../../node/core/errors.ts";
import { dataKey, horizonKey, partitionRange, type StorageRange } from "../../node/core/keyspace.ts";
import { raiseHorizon } from "../../node/core/version/collect.ts";
import { NO_HORIZON } from "../../node/core/version/horizon-codec.ts";
import type { KvRecord } from "../../node/core/version/record.ts";
import { encodeRecord } from "../../node/core/version/record-codec.ts";
import { EMPTY_VECTOR } from "../../node/core/version/vector.ts";
import type { Engine } from "../../node/ports.ts";
import { createCollector } from "../../node/services/collector.ts";
import { createDoubts } from "../../node/services/doubts.ts";
import { createGroupCommit } from "../../node/services/group-commit.ts";
import { createHorizonExchange } from "../../node/services/horizon-exchange.ts";
import { createHorizons } from "../../node/services/horizons.ts";
import { openIdentity } from "../../node/services/identity.ts";
import { createReplica } from "../../node/services/replica.ts";
import type { Replicas } from "../../node/services/replicas.ts";
import { TreeLedger } from "../../node/services/tree-ledger.ts";
import { createTrees } from "../../node/services/trees.ts";
import { createInstantTime } from "../contract/instant-time.ts";
import { createRecordedTelemetry } from "../contract/recorded-telemetry.ts";
import { A, B, bytes, C, dot, NOW_MS, write } from "../core/version/examples.ts";
import { createSimulatedDisk, type SimulatedDisk } from "../sim/disk.ts";
import { createSeededRandom } from "../sim/random.ts";

const PARTITION = 3;
const FREE = { spend: () => Promise.resolve() };
const KEY = bytes("deleted");

const VALUE = write(undefined, dot(A, 1)).record;
const DELETION = write(VALUE, dot(B, 2), { value: undefined }).record;
const HORIZON = { vector: raiseHorizon(EMPTY_VECTOR, DELETION), expiredBeforeMs: NOW_MS };

function newDisk(): [SimulatedDisk, ReturnType<typeof createInstantTime>] {
  const time = createInstantTime();
  return [createSimulatedDisk({ time, random: createSeededRandom(4).stream("disk") }), time];
}

async function open(
  disk: SimulatedDisk,
  time: ReturnType<typeof createInstantTime>,
  bootId = "boot 1",
  damaged?: StorageRange,
) {
  const telemetry = createRecordedTelemetry();
  const engine = disk.open();
  const commit = createGroupCommit(
    { engine, time, telemetry },
    { sync: false, intervalMs: 1, batchBytesMax: 4_000, queueBytesMax: 1_000_000, queueMsMax: 60_000 },
  );
  const random = createSeededRandom(1).stream("identity");
  const identity = await openIdentity({ engine, random, telemetry }, { clusterId: "c", member: "n1", bootId });
  const block = damaged && damage(engine, damaged);
  const ledger = new TreeLedger();
  const horizons = createHorizons({ engine, identity, telemetry });
  const replica = createReplica(
    {
      engine,
      commit,
      identity,
      doubts: createDoubts({ engine, telemetry }),
      ledger,
      collection: { of: horizons.of, vouches: horizons.isVouched },
      time,
      telemetry,
    },
    { siblingsMax: 50, siblingBytesMax: 1 << 20, contextEntriesMax: 32, cacheBytes: 3_000, mayForget: () => false },
  );
  const trees = createTrees({ ledger, replica, engine, commit, budget: FREE, time, telemetry });
  const collector = createCollector({ horizons, replica, engine, budget: FREE, time, telemetry });
  await horizons.open();
  collector.start();
  trees.own([PARTITION]);
  const pass = (ms: number) => new Promise<void>((resolve) => time.after(ms, resolve));
  await pass(200);
  const merge = (record: KvRecord, key = KEY) => replica.merge(PARTITION, key, encodeRecord(record));
  return { block, disk, telemetry, identity, horizons, replica, trees, collector, pass, merge };
}

/** Has a store fail in each read of a range, as a damaged block does, for as long as that is said. */
function damage(engine: Engine, { from, until }: StorageRange): { isDamaged: boolean } {
  const block = { isDamaged: true };
  const [scan, get] = [engine.scan.bind(engine), engine.get.bind(engine)];
  const failure = () => Promise.reject(new KvError("STORAGE_FAILED", "Cannot read: a block is damaged."));
  const isBefore = (a: Uint8Array, b: Uint8Array) => Buffer.compare(a, b) < 0;
  engine.scan = (range) =>
    block.isDamaged && isBefore(range.from, until) && isBefore(from, range.until) ? failure() : scan(range);
  engine.get = (key) => (block.isDamaged && !isBefore(key, from) && isBefore(key, until) ? failure() : get(key));
  return block;
}

const recordsOn = (disk: SimulatedDisk) => disk.entries({ ...partitionRange(PARTITION), limit: 100 }).length;

describe("a collection horizon at a home", () => {
  it("is on the disk before it is in force, and removes what it collects, also from the tree", async () => {
    const { disk, horizons, trees, pass, merge } = await open(...newDisk());
    await merge(DELETION);
    await merge(write(undefined, dot(C, 5)).record, bytes("kept"));
    assert.equal(horizons.digest(PARTITION), NO_HORIZON);
    const adopting = horizons.adopt(PARTITION, HORIZON);
    assert.equal(horizons.of(PARTITION), undefined);
    await adopting;
    assert.notEqual(disk.peek(horizonKey(PARTITION)), undefined);
    assert.equal(horizons.isSettled(PARTITION), false);
    await pass(200);
    assert(horizons.isSettled(PARTITION));
    assert.equal(recordsOn(disk), 1);
    assert.equal(trees.ready(PARTITION)?.keys, 1);
    assert.equal(await trees.verify(PARTITION, FREE), 0);
  });

  it("keeps old copies out for as long as the home vouches, also over a restart", async () => {
    const [disk, time] = newDisk();
    const first = await open(disk, time);
    await first.merge(DELETION);
    await first.horizons.adopt(PARTITION, HORIZON, first.identity.incarnation());
    await first.pass(200);
    assert.equal(await first.merge(VALUE), "covered");
    await first.collector.stop();
    disk.crash("process");
    const second = await open(disk, time);
    assert(second.horizons.isVouched(PARTITION) && second.horizons.isSettled(PARTITION));
    assert.deepEqual([await second.merge(VALUE), await second.merge(DELETION)], ["covered", "covered"]);
    assert.equal(recordsOn(disk), 0);
    assert.equal(second.telemetry.counted("annulus.tombstones.covered"), 2);
  });

  it("lets in what it covers after a loss, for the home may be the one that lost it", async () => {
    const { disk, identity, horizons, pass, merge } = await open(...newDisk());
    await horizons.adopt(PARTITION, HORIZON, identity.incarnation());
    await pass(200);
    await identity.newIncarnation("a test says so");
    assert.equal(horizons.isVouched(PARTITION), false);
    assert.equal(await merge(VALUE), "kept");
    assert.equal(await merge(DELETION), "covered");
    assert.equal(recordsOn(disk), 0);
  });

  it("lets in what it covers where the record of the key was damaged", async () => {
    const { disk, identity, horizons, replica, pass, merge } = await open(...newDisk());
    await merge(VALUE);
    await horizons.adopt(PARTITION, HORIZON, identity.incarnation());
    await pass(200);
    disk.flipBit(dataKey(PARTITION, KEY));
    await replica.setAsideIfDamaged(dataKey(PARTITION, KEY));
    await horizons.vouch(PARTITION, horizons.digest(PARTITION), identity.incarnation());
    assert.equal(await merge(VALUE), "kept");
    assert.deepEqual(await replica.read(PARTITION, KEY), new Uint8Array(encodeRecord(VALUE)));
  });

  it("does not vouch for a partition that was given up, nor for a horizon that it was found equal under before", async () => {
    const { identity, horizons } = await open(...newDisk());
    await horizons.adopt(PARTITION, HORIZON, identity.incarnation());
    await horizons.disown(PARTITION);
    assert.equal(horizons.isVouched(PARTITION), false);
    const before = horizons.digest(PARTITION);
    await horizons.adopt(PARTITION, { vector: [dot(C, 9)], expiredBeforeMs: NOW_MS });
    await horizons.vouch(PARTITION, before, identity.incarnation());
    assert.equal(horizons.isVouched(PARTITION), false);
    await horizons.vouch(PARTITION, horizons.digest(PARTITION), identity.incarnation());
    assert(horizons.isVouched(PARTITION));
  });
});

describe("collection horizons where a block of the store is damaged", () => {
  it("are applied in all other partitions, and in that one once it can be read", async () => {
    const { block, horizons, collector, pass } = await open(...newDisk(), "boot 1", partitionRange(PARTITION));
    for (const partition of [PARTITION, PARTITION + 1]) await horizons.adopt(partition, HORIZON);
    await pass(60_000);
    assert.deepEqual(horizons.unsettled(), [PARTITION]);
    assert(block !== undefined);
    block.isDamaged = false;
    await pass(60_000);
    assert.deepEqual(horizons.unsettled(), []);
    await collector.stop();
  });

  it("are applied again less and less often where they cannot be", async () => {
    const { horizons, collector, pass, telemetry } = await open(...newDisk(), "boot 1", partitionRange(PARTITION));
    await horizons.adopt(PARTITION, HORIZON);
    await pass(600_000);
    await collector.stop();
    const failures = telemetry.events.filter((event) => event === "collector.failed").length;
    assert(failures >= 10 && failures <= 20, `${failures} failures in ten minutes`);
  });

  it("do not keep the node from starting: those that can be read are in force, the other is heard of anew", async () => {
    const [disk, time] = newDisk();
    const first = await open(disk, time);
    const { identity } = first;
    for (const partition of [PARTITION, PARTITION + 1]) {
      await first.horizons.adopt(partition, HORIZON, identity.incarnation());
    }
    await first.pass(200);
    await first.collector.stop();
    disk.crash("process");
    const block = { from: horizonKey(PARTITION), until: horizonKey(PARTITION + 1) };
    const { horizons, telemetry } = await open(disk, time, "boot 1", block);
    assert(telemetry.events.includes("horizons.unread"));
    assert.deepEqual([horizons.of(PARTITION), horizons.digest(PARTITION)], [undefined, NO_HORIZON]);
    assert(horizons.isVouched(PARTITION + 1));
    await horizons.adopt(PARTITION, HORIZON);
    assert.deepEqual(horizons.of(PARTITION), horizons.of(PARTITION + 1));
    assert.equal(horizons.isVouched(PARTITION), false, "nothing says what it held when the horizon was raised");
  });
});

describe("a record that a peer knows to be deleted", () => {
  /** A node that holds the value, and what it does when a peer says so. */
  async function openExchange(vouches: boolean) {
    const node = await open(...newDisk());
    const { horizons, identity, replica, telemetry } = node;
    await node.merge(VALUE);
    const collection = { of: horizons.of, vouches: () => vouches };
    const replicas = {} as Replicas;
    const parts = { horizons, collection, identity, replica, replicas, telemetry };
    const { covered } = createHorizonExchange(parts, { timeoutMs: 1_000 });
    return {
      ...node,
      covered: () => covered("n2", PARTITION, KEY, encodeRecord(VALUE)),
      contradictions: () => telemetry.counted("annulus.repair.contradictions"),
    };
  }

  it("is dropped where this node may lack something", async () => {
    const { horizons, covered, contradictions, pass, disk } = await openExchange(false);
    await horizons.adopt(PARTITION, HORIZON);
    await pass(200);
    await covered();
    assert.deepEqual([recordsOn(disk), contradictions()], [0, 0]);
  });

  it("stays, is counted and told of where neither may lack anything", async () => {
    const { horizons, covered, contradictions, pass, disk, telemetry } = await openExchange(true);
    await horizons.adopt(PARTITION, HORIZON);
    await pass(200);
    await covered();
    assert.deepEqual([recordsOn(disk), contradictions()], [1, 1]);
    assert(telemetry.events.includes("repair.contradiction"));
  });

  it("is no contradiction before the horizon is here that the peer goes by, nor while it is being applied", async () => {
    const { horizons, covered, contradictions } = await openExchange(true);
    await covered();
    assert.equal(contradictions(), 0);
    await horizons.adopt(PARTITION, HORIZON);
    assert(!horizons.isSettled(PARTITION));
    await covered();
    assert.equal(contradictions(), 0);
  });
});
