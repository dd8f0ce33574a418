/**
 * A store on a real, small file system that fills up: what was acknowledged stays, and writes go on when space returns.
 *
 * Mounts a tmpfs, which takes root. It is not skipped where that fails: then nothing was shown.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtemp, open, rm, unlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, describe, it, jest } from "@jest/globals";
import { createLevelEngine, type LevelEngine } from "../../node/adapters/level/engine.ts";
import { defaultReserveBytes } from "../../node/adapters/level/free-space.ts";
import { KvError } from "../../node/core/errors.ts";
import { dataKey } from "../../node/core/keyspace.ts";
import { createRecordedTelemetry } from "../contract/recorded-telemetry.ts";
import { createSeededRandom } from "../sim/random.ts";

jest.setTimeout(60_000);

const MEBIBYTE = 1_048_576;
const DISK_MEBIBYTES = 128;
/** What a store with so small a write buffer keeps free by itself: room for its largest compaction. */
const RESERVE_BYTES = defaultReserveBytes(MEBIBYTE);
const VALUE_BYTES = 16_000;
const NO_SYNC = { sync: false };

const keyOf = (index: number) => dataKey(index % 7, Buffer.from(`k${index}`));

/** Random, so that nothing of it compresses; made once, for the tests write tens of megabytes. */
const noise = createSeededRandom(1).bytes(2 * VALUE_BYTES);

/** Another stretch of the noise for each index, with the index in front. */
function contentOf(index: number): Uint8Array {
  const content = Buffer.from(noise.subarray(index % VALUE_BYTES, (index % VALUE_BYTES) + VALUE_BYTES));
  content.writeUInt32LE(index);
  return content;
}

describe("a store on a disk that fills up", () => {
  let directory: string;
  let telemetry: ReturnType<typeof createRecordedTelemetry>;
  let opened: LevelEngine[];

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "annulus-full-"));
    execFileSync("mount", ["-t", "tmpfs", "-o", `size=${DISK_MEBIBYTES}m`, "annulus-test", directory]);
    telemetry = createRecordedTelemetry();
    opened = [];
  });

  afterEach(async () => {
    await Promise.all(opened.map((engine) => engine.close()));
    execFileSync("umount", [directory]);
    await rm(directory, { recursive: true });
  });

  async function openStore(reserveBytes: number): Promise<LevelEngine> {
    const engine = await createLevelEngine(
      { telemetry },
      { directory: join(directory, "store"), cacheBytes: MEBIBYTE, writeBufferBytes: MEBIBYTE, reserveBytes },
    );
    opened.push(engine);
    return engine;
  }

  /** Somebody else's file on the same disk, which leaves `freeBytes` of it. */
  async function fillExcept(freeBytes: number): Promise<() => Promise<void>> {
    const path = join(directory, "somebody-elses-file");
    const file = await open(path, "w");
    await file.write(new Uint8Array(DISK_MEBIBYTES * MEBIBYTE - freeBytes));
    await file.close();
    return () => unlink(path);
  }

  /** Writes k`from`, k`from + 1`, … until the store refuses; returns the first that was refused, and why. */
  async function writeUntilFull(engine: LevelEngine, from = 0): Promise<{ refused: number; error: KvError }> {
    for (let index = from; index < from + 20_000; index++) {
      try {
        await engine.batch([{ kind: "put", key: keyOf(index), value: contentOf(index) }], NO_SYNC);
      } catch (error) {
        assert(error instanceof KvError, `${error}`);
        assert.equal(error.code, "STORAGE_FULL", error.message);
        return { refused: index, error };
      }
    }
    return assert.fail("the disk never filled up");
  }

  async function assertHolds(engine: LevelEngine, until: number): Promise<void> {
    for (let index = 0; index < until; index++) {
      const value = await engine.get(keyOf(index));
      assert.equal(Buffer.compare(value ?? new Uint8Array(0), contentOf(index)), 0, `write ${index} of ${until}`);
    }
  }

  /** Repeats one write until it is taken; returns how often it was refused. */
  async function writeOnceTaken(engine: LevelEngine, index: number): Promise<number> {
    let last = "";
    for (let refusals = 0; refusals < 50; refusals++) {
      try {
        await engine.batch([{ kind: "put", key: keyOf(index), value: contentOf(index) }], NO_SYNC);
        return refusals;
      } catch (error) {
        assert(error instanceof KvError && error.code === "STORAGE_FULL", `${error}`);
        last = error.message;
        await sleep(100);
      }
    }
    return assert.fail(`no write was taken although there is space again: ${last}`);
  }

  it("refuses writes at the watermark, with nothing unknown, and takes them again when space returns", async () => {
    const release = await fillExcept(RESERVE_BYTES + 16 * MEBIBYTE);
    let engine = await openStore(RESERVE_BYTES);
    const { refused, error } = await writeUntilFull(engine);
    assert.equal(error.outcome, "none");
    assert(refused > 100, `${refused} writes were taken`);
    assert.equal(telemetry.counted("annulus.store.write_failures"), 0);
    await assertHolds(engine, refused);
    await engine.close();

    engine = await openStore(RESERVE_BYTES);
    await assertHolds(engine, refused);
    assert.equal(await engine.get(keyOf(refused)), undefined);
    assert((await writeUntilFull(engine, refused)).refused >= refused);
    await release();
    // The engine may be looking for a failed compaction, which it does once a second.
    assert((await writeOnceTaken(engine, refused)) <= 15);
    await assertHolds(engine, refused + 1);
    assert.equal(telemetry.counted("annulus.store.reopenings"), 0);
    await engine.close();
  });

  it("finds out about a compaction that failed while it refused writes, and recovers", async () => {
    const release = await fillExcept(14 * MEBIBYTE);
    // Too small a reserve: either a compaction meets the end of the disk, or a write meets the watermark.
    const engine = await openStore(2 * MEBIBYTE);
    let { refused } = await writeUntilFull(engine);
    for (let round = 0; round < 12; round++) {
      await sleep(100);
      refused = (await writeUntilFull(engine, refused)).refused;
    }
    await assertHolds(engine, refused);
    await release();
    await writeOnceTaken(engine, refused);
    assert.equal(engine.figures().state, "open");
    await assertHolds(engine, refused + 1);
  });

  it("loses nothing acknowledged when LevelDB itself meets the end of the disk, and recovers", async () => {
    const release = await fillExcept(8 * MEBIBYTE);
    const engine = await openStore(0);
    const { refused, error } = await writeUntilFull(engine);
    assert.equal(error.outcome, "unknown");
    assert.equal(engine.figures().state, "failed");
    await assertHolds(engine, refused);
    await sleep(1_100);
    const still = await writeUntilFull(engine, refused);
    assert.equal(still.refused, refused, "without space no write is taken");
    assert.equal(still.error.outcome, "none");
    await assertHolds(engine, refused);

    await release();
    await writeOnceTaken(engine, refused);
    assert.equal(engine.figures().state, "open");
    assert.equal(telemetry.counted("annulus.store.reopenings"), 1);
    for (let index = refused + 1; index < refused + 200; index++) {
      await engine.batch([{ kind: "put", key: keyOf(index), value: contentOf(index) }], NO_SYNC);
    }
    await assertHolds(engine, refused + 200);
    await engine.close();

    const again = await openStore(0);
    await assertHolds(again, refused + 200);
    await again.close();
  });

  it("has everything acknowledged after it was closed on a full disk", async () => {
    for (let round = 0; round < 5; round++) {
      // The disk ends at another place of the log each time.
      const release = await fillExcept(5 * MEBIBYTE + round * 1_237 * 512);
      const full = await openStore(0);
      const { refused } = await writeUntilFull(full);
      await full.close();
      await release();
      const engine = await openStore(0);
      await assertHolds(engine, refused);
      await writeOnceTaken(engine, refused);
      await engine.close();
      await rm(join(directory, "store"), { recursive: true });
    }
  });
});
