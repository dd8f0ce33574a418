/** What the engine on LevelDB makes of a log of which a part is lost. */
import assert from "node:assert/strict";
import { mkdir, mkdtemp, readdir, rename, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "@jest/globals";
import { createLevelEngine, type LevelEngine, type LevelEngineOptions } from "../../node/adapters/level/engine.ts";
import { openLevel } from "../../node/adapters/level/open.ts";
import { LOSS_KEY } from "../../node/core/identity.ts";
import { damageLog, damageLogHead, tearLog } from "./damaged-store.ts";
import { bytes, put, rejection, textOf } from "./engine.ts";
import { createRecordedTelemetry } from "./recorded-telemetry.ts";

const MEBIBYTE = 1_048_576;
const NO_SYNC = { sync: false };
const SMALL = { cacheBytes: MEBIBYTE, writeBufferBytes: 4 * MEBIBYTE, reserveBytes: 0 };

function openIn(directory: string, options: Partial<LevelEngineOptions> = {}): Promise<LevelEngine> {
  return createLevelEngine({ telemetry: createRecordedTelemetry() }, { directory, ...SMALL, ...options });
}

/** Has a store lose the few writes that its log holds. */
async function loseLogHead(directory: string): Promise<void> {
  const engine = await openIn(directory);
  for (let index = 0; index < 3; index++) await engine.batch([put(`k${index}`, "v".repeat(1_000))], NO_SYNC);
  await engine.close();
  await damageLogHead(directory);
}

/** Takes the mark of a loss away, which no later opening speaks of then. Closes the engine. */
async function makeGood(engine: LevelEngine, directory: string): Promise<void> {
  await engine.batch([{ kind: "delete", key: LOSS_KEY }], { sync: true });
  await engine.close();
  const next = await openIn(directory);
  assert.equal(next.lostAtOpen, undefined);
  await next.close();
}

describe("LevelDB in a directory", () => {
  let directory: string;

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "annulus-engine-"));
  });

  afterEach(async () => {
    await rm(directory, { recursive: true });
  });

  it("says what is lost where its log was damaged, and a log that only ends in half a write is none", async () => {
    let engine = await openIn(directory);
    assert.equal(engine.lostAtOpen, undefined);
    for (let index = 100; index < 400; index++) await engine.batch([put(`k${index}`, "v".repeat(1_000))], NO_SYNC);
    await engine.close();
    await tearLog(directory);
    engine = await openIn(directory);
    assert.equal(engine.lostAtOpen, undefined);
    const whole = await engine.scan({ from: bytes("k"), until: bytes("l"), limit: 10_000 });
    assert.equal(whole.length, 299);
    for (let index = 400; index < 700; index++) await engine.batch([put(`k${index}`, "v".repeat(1_000))], NO_SYNC);
    await engine.close();

    await damageLog(directory);
    const telemetry = createRecordedTelemetry();
    engine = await createLevelEngine({ telemetry }, { directory, ...SMALL });
    const rest = await engine.scan({ from: bytes("k"), until: bytes("l"), limit: 10_000 });
    assert(rest.length < 599, "the damage took nothing");
    assert.match(engine.lostAtOpen ?? "", /dropping \d+ bytes; Corruption/);
    assert.deepEqual(telemetry.events, ["store.log_damaged"]);
    await engine.close();
  });

  it("says so at every opening until the mark of it is taken away, for the log is gone after the first", async () => {
    await loseLogHead(directory);
    let engine = await openIn(directory);
    assert.equal(await engine.get(bytes("k0")), undefined, "the damage took nothing");
    const { lostAtOpen } = engine;
    assert.match(lostAtOpen ?? "", /dropping \d+ bytes; Corruption/);
    await engine.close();

    const telemetry = createRecordedTelemetry();
    engine = await createLevelEngine({ telemetry }, { directory, ...SMALL });
    assert.equal(engine.lostAtOpen, lostAtOpen);
    assert.deepEqual(telemetry.events, [], "it is logged once");
    await makeGood(engine, directory);
  });

  it("says so once also where processes that opened it before ended before they had marked that, however many", async () => {
    for (const count of [1, 2, 4]) {
      await loseLogHead(directory);
      for (let opening = 0; opening < count; opening++)
        await (await openLevel(directory, { ...SMALL, createIfMissing: false })).close();
      const engine = await openIn(directory);
      assert.match(engine.lostAtOpen ?? "", /dropping \d+ bytes; Corruption/, `${count} openings`);
      await makeGood(engine, directory);
    }
  });

  it("keeps nothing beside the store of what is marked, and takes no earlier loss for a new one", async () => {
    const names = await readdir(directory);
    for (let loss = 0; loss < 2; loss++) {
      await loseLogHead(directory);
      await makeGood(await openIn(directory), directory);
    }
    for (let opening = 0; opening < 3; opening++) {
      const engine = await openIn(directory);
      assert.equal(engine.lostAtOpen, undefined);
      await engine.close();
    }
    assert.deepEqual(
      (await readdir(directory)).filter((name) => /loss/.test(name)),
      names,
    );
  });

  it("does not open where it could not tell the next opening what it lost", async () => {
    await loseLogHead(directory);
    await (await openLevel(directory, { ...SMALL, createIfMissing: false })).close();
    const obstacle = join(directory, "annulus-loss");
    await mkdir(obstacle);
    for (let opening = 0; opening < 3; opening++) await rejection(openIn(directory), "STORAGE_FAILED");
    await rm(obstacle, { recursive: true });
    const engine = await openIn(directory);
    assert.match(engine.lostAtOpen ?? "", /dropping \d+ bytes; Corruption/);
    await makeGood(engine, directory);
  });

  it("that opens anew after a failure and lost a part of its log says so before it takes another write", async () => {
    const away = join(directory, "away");
    const store = join(directory, "store");
    const clock = { nowMs: 0 };
    const told: string[] = [];
    const engine = await openIn(store, {
      writeBufferBytes: 65_536,
      monotonicMs: () => clock.nowMs,
      freeBytes: async () => 100 * MEBIBYTE,
      onLoss(lost) {
        assert.equal(engine.figures().state, "failed");
        told.push(lost);
      },
    });
    await rename(store, away);
    await assert.rejects(async () => {
      for (;;) await engine.batch([put("k", "v".repeat(9_000))], NO_SYNC);
    });
    await damageLogHead(away);
    await rename(away, store);
    clock.nowMs += 1_001;
    await engine.batch([put("l", "v")], NO_SYNC);
    assert.equal(told.length, 1);
    assert.match(told[0] ?? "", /dropping \d+ bytes; Corruption/);
    assert.equal(textOf(await engine.get(LOSS_KEY)), told[0]);
    await engine.close();
  });
});
