/** One block with hints that cannot be read holds up the hints of no other partition, and none for good. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { KvError } from "../../node/core/errors.ts";
import { hintKey } from "../../node/core/keyspace.ts";
import { bytesOf, createHintsWorld, failure, hintBytes, PARTITION, recordOf } from "./hints-world.ts";

const RECORD = recordOf("v");
/** What a scan takes: others come meanwhile. */
const READ_MS = 5;
const placeOf = (partition: number, target: string, key: string) => ({ partition, target, key: bytesOf(key) });
const isHintSpace = (at: Uint8Array) => at[0] === hintKey(placeOf(PARTITION, "a", "k"))[0];
const atOf = (key: string) => Buffer.from(hintKey(placeOf(PARTITION, "a", key)));

/** `earlier`: hints that lie before the damaged block. */
type Options = NonNullable<Parameters<typeof createHintsWorld>[0]> & {
  readonly earlier?: number;
  /** The block is the last one of the hints: scans of what lies behind, where there is nothing, end in it as well. */
  readonly isLast?: boolean;
};

/** A node that was started again upon hints, of which one lies in a damaged block. */
async function startedWorld({ earlier = 0, isLast = false, ...options }: Options = {}) {
  const world = await createHintsWorld(options);
  await world.settled(
    Promise.all(
      Array.from({ length: earlier }, (_, index) =>
        world.hints.store(placeOf(PARTITION, "a", `earlier ${index}`), RECORD, true),
      ),
    ),
  );
  await world.store("a", "unreadable", RECORD, true);
  await world.settled(world.hints.store(placeOf(PARTITION + 1, "a", "behind"), RECORD, true));
  world.kill();
  const { open } = world.disk;
  let isDamaged = true;
  let failedScans = 0;
  const time = world.simulator.timeOf(world.simulator.createProcess("reads"));
  world.disk.open = () => {
    const engine = open.call(world.disk);
    const scan = engine.scan.bind(engine);
    engine.scan = async (range) => {
      const entries = await scan(range);
      await new Promise<void>((resolve) => time.after(READ_MS, resolve));
      const isIn = entries.some(({ key }) => atOf("unreadable").equals(key));
      const isBehind = isLast && isHintSpace(range.from) && atOf("unreadable").compare(range.until) < 0;
      if (!isDamaged || !(isIn || isBehind)) return entries;
      failedScans += 1;
      throw new KvError("STORAGE_FAILED", "Cannot scan: a block is damaged.");
    };
    return engine;
  };
  await world.start();
  return {
    ...{ world, failedScans: () => failedScans },
    keysSent: () => world.sent.map(({ request }) => Buffer.from(request.key).toString()).sort(),
    mend(): void {
      isDamaged = false;
    },
  };
}

describe("hints of which some cannot be read", () => {
  it("are looked for in the ring's partitions alone, also for members that are away", async () => {
    const { world, failedScans } = await startedWorld({ isLast: true });
    world.up.delete("b");
    world.delivery.start();
    await world.pass(60_000);
    assert.deepEqual(world.hints.ledger.unread().at(-1), world.ring.document.partitions - 1);
    assert(failedScans() < 1_000, `${failedScans()} scans in a minute`);
  });

  it("are delivered in all other partitions, those on the disk and new ones", async () => {
    const { world, keysSent } = await startedWorld();
    world.delivery.start();
    await world.pass(10_000);
    await world.settled(world.hints.store(placeOf(PARTITION + 2, "a", "new"), RECORD, true));
    await world.pass(10_000);
    assert.deepEqual(keysSent(), ["behind", "new"]);
  });

  it("are delivered in that partition as well where they can be read", async () => {
    const { world, keysSent } = await startedWorld();
    world.delivery.start();
    await world.pass(10_000);
    await world.settled(world.hints.store(placeOf(PARTITION, "b", "of another target"), RECORD, true));
    await world.pass(20_000);
    assert.deepEqual(keysSent(), ["behind", "of another target"]);
  });

  it("are never said to be none, until they can be read: then they are counted and delivered", async () => {
    const { world, keysSent, mend } = await startedWorld();
    world.delivery.start();
    await world.pass(300_000);
    const { ledger } = world.hints;
    assert.deepEqual([ledger.isComplete(), ledger.unread()], [false, [PARTITION]]);
    assert(ledger.mayHold({ partition: PARTITION, target: "d" }));
    mend();
    await world.pass(120_000);
    assert.deepEqual(keysSent(), ["behind", "unreadable"]);
    assert.deepEqual([ledger.isComplete(), ledger.unread(), ledger.bytes()], [true, [], 0]);
  });

  it("are read again less and less often", async () => {
    const { world, failedScans } = await startedWorld();
    await world.pass(300_000);
    const before = failedScans();
    await world.pass(600_000);
    assert(failedScans() - before <= 30, `${failedScans() - before} scans in ten minutes`);
  });

  it("are counted rightly where a partition is read in part, and others come meanwhile", async () => {
    const { world, mend } = await startedWorld({ earlier: 600 });
    await world.pass(2_500);
    const storing = (index: number, partition: number) =>
      world.hints.store(placeOf(partition, index % 2 === 0 ? "a" : "b", `new ${index}`), RECORD, true);
    const stored: Promise<void>[] = [];
    for (let index = 0; index < 400; index++) {
      if (index === 50) mend();
      stored.push(storing(index, index % 3 === 0 ? PARTITION + 1 : PARTITION));
      await world.pass(3);
    }
    await world.settled(Promise.all(stored));
    await world.pass(60_000);
    const { ledger } = world.hints;
    assert(ledger.isComplete());
    const onDisk = world.onDisk();
    assert.equal(
      ledger.bytes(),
      onDisk.reduce((sum, { key, value }) => sum + key.length + value.length, 0),
    );
    assert.equal(
      ledger.waiting().reduce((sum, { count }) => sum + count, 0),
      onDisk.length,
    );
  });

  it("take room of the budget while they wait, and give it back when they are gone", async () => {
    const bytes = hintBytes("b", "key 0", RECORD);
    const { world } = await startedWorld({ bytesMax: 6 * bytes });
    await world.pass(10_000);
    const storing = (index: number) =>
      world.settled(world.hints.store(placeOf(PARTITION, "b", `key ${index}`), RECORD, true));
    for (let index = 0; index < 4; index++) await storing(index);
    await failure(storing(4), "OVERLOADED");
    world.delivery.start();
    await world.pass(30_000);
    await world.delivery.stop();
    for (let index = 0; index < 6; index++) await storing(index);
    await failure(storing(6), "OVERLOADED");
  });
});
