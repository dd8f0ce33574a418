import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate as turn } from "node:timers/promises";
import { afterEach, beforeEach, describe, it } from "@jest/globals";
import { type Level, openLevel } from "../../node/adapters/level/open.ts";
import { createReads, diskReadsOfProcess } from "../../node/adapters/level/reads.ts";

const bytes = (text: string) => new Uint8Array(Buffer.from(text));

describe("reads from LevelDB", () => {
  let directory: string;
  let level: Level;

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "annulus-reads-"));
    level = await openLevel(directory, { cacheBytes: 65_536, writeBufferBytes: 65_536, createIfMissing: true });
    await level.batch(
      Array.from({ length: 1_000 }, (_, index) => ({
        type: "put",
        key: bytes(`k${index}`),
        value: bytes(`${index}`),
      })),
    );
  });

  afterEach(async () => {
    await level.close();
    await rm(directory, { recursive: true });
  });

  /** Reads with clocks under the test's control: how long the next read takes, and whether the disk is read in it. */
  function createWorld() {
    const clock = { nowMs: 0, readMs: 0, diskReads: 0, fromDisk: false };
    let looks = 0;
    const reads = createReads({
      monotonicMs: () => {
        looks++;
        // A read on the spot looks at the clock before and after.
        if (looks % 2 === 0) clock.nowMs += clock.readMs;
        return clock.nowMs;
      },
      diskReads: () => (clock.fromDisk ? ++clock.diskReads : clock.diskReads),
    });
    /** Whether a read was answered on the spot, that is without the event loop having to turn. */
    async function isOnTheSpot(): Promise<boolean> {
      looks = 0;
      let answered = false;
      const read = reads.get(level, bytes("k7")).then((value) => {
        answered = true;
        assert.equal(Buffer.from(value ?? []).toString(), "7");
      });
      for (let microtask = 0; microtask < 10; microtask++) await undefined;
      const atOnce = answered;
      await read;
      return atOnce;
    }
    return { clock, reads, isOnTheSpot };
  }

  it("are done on the spot while they are quick, and while they are slow without the disk", async () => {
    const { clock, isOnTheSpot } = createWorld();
    assert.equal(await isOnTheSpot(), true);
    clock.readMs = 50;
    assert.equal(await isOnTheSpot(), true);
    assert.equal(await isOnTheSpot(), true);
  });

  it("go through the pool for a while after one had to wait for the disk, longer each time", async () => {
    const { clock, isOnTheSpot } = createWorld();
    for (const pauseMs of [80, 160, 320, 640, 1_280, 2_000, 2_000]) {
      Object.assign(clock, { readMs: 10, fromDisk: true });
      assert.equal(await isOnTheSpot(), true);
      Object.assign(clock, { readMs: 0, fromDisk: false });
      clock.nowMs += pauseMs - 1;
      assert.equal(await isOnTheSpot(), false);
      clock.nowMs += 1;
      assert.equal(await isOnTheSpot(), true);
    }
    for (let read = 0; read < 1_000; read++) await isOnTheSpot();
    Object.assign(clock, { readMs: 10, fromDisk: true });
    await isOnTheSpot();
    clock.nowMs += 80;
    assert.equal(await isOnTheSpot(), true);
  });

  it("are all answered, each with its own value, however many wait for the pool", async () => {
    const { clock, reads, isOnTheSpot } = createWorld();
    Object.assign(clock, { readMs: 10_000, fromDisk: true });
    await isOnTheSpot();
    clock.readMs = 0;
    const waiting = Array.from({ length: 3_000 }, (_, index) => reads.get(level, bytes(`k${index}`)));
    let idle = false;
    const quiet = reads.idle().then(() => {
      idle = true;
    });
    await turn();
    assert.equal(idle, false);
    const values = await Promise.all(waiting);
    for (const [index, value] of values.entries()) {
      assert.equal(
        value === undefined ? undefined : Buffer.from(value).toString(),
        index < 1_000 ? `${index}` : undefined,
      );
    }
    await quiet;
    await reads.idle();
  });

  it("can tell from the operating system whether the disk was read", () => {
    const before = diskReadsOfProcess();
    assert(Number.isInteger(before) && before >= 0);
    assert(diskReadsOfProcess() >= before);
  });
});
