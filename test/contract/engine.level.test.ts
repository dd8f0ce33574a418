/** The engine contract on LevelDB, and what only a store in a real directory can show. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, rename, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, it } from "@jest/globals";
import { ClassicLevel } from "classic-level";
import { createLevelEngine, type LevelEngine, type LevelEngineOptions } from "../../node/adapters/level/engine.ts";
import { dataKey, metaKey } from "../../node/core/keyspace.ts";
import { damageTable } from "./damaged-store.ts";
import { bytes, engineContract, put, rejection, remove, textOf } from "./engine.ts";
import { createRecordedTelemetry } from "./recorded-telemetry.ts";

const MEBIBYTE = 1_048_576;
const NO_SYNC = { sync: false };
const SMALL = { cacheBytes: MEBIBYTE, writeBufferBytes: 4 * MEBIBYTE, reserveBytes: 0 };

function openIn(directory: string, options: Partial<LevelEngineOptions> = {}): Promise<LevelEngine> {
  return createLevelEngine({ telemetry: createRecordedTelemetry() }, { directory, ...SMALL, ...options });
}

async function worldWith(options: () => Partial<LevelEngineOptions>) {
  const directory = await mkdtemp(join(tmpdir(), "annulus-engine-"));
  return {
    open: () => openIn(join(directory, "store"), options()),
    dispose: () => rm(directory, { recursive: true }),
  };
}

engineContract("LevelDB", () => worldWith(() => ({})));

engineContract("LevelDB when every read goes through the thread pool", () =>
  worldWith(() => {
    // Each look at the clock finds a millisecond gone, and the disk was read: every read on the spot counts as slow.
    let count = 0;
    return { monotonicMs: () => count++, diskReads: () => count++ };
  }),
);

engineContract("LevelDB with a write buffer that each test overflows", () =>
  worldWith(() => ({ writeBufferBytes: 65_536 })),
);

describe("LevelDB in a directory", () => {
  let directory: string;

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "annulus-engine-"));
  });

  afterEach(async () => {
    await rm(directory, { recursive: true });
  });

  it("takes writes while a flush waits for a compaction, and ends the flush before it closes", async () => {
    const engine = await openIn(directory);
    const { compactRange } = ClassicLevel.prototype;
    const compaction = Promise.withResolvers<void>();
    ClassicLevel.prototype.compactRange = () => compaction.promise;
    try {
      const flushed = engine.flush();
      await engine.batch([put("a", "1")], NO_SYNC);
      const closed = engine.close();
      let isClosed = false;
      const noted = closed.then(() => {
        isClosed = true;
      });
      await new Promise((resolve) => setTimeout(resolve, 20));
      assert.equal(isClosed, false);
      compaction.resolve();
      await flushed;
      await noted;
    } finally {
      ClassicLevel.prototype.compactRange = compactRange;
    }
  });

  /** Starts a process that writes k0, k1, … one after the other and prints the number of each acknowledged one. */
  function startWriter(mode: string) {
    const script = fileURLToPath(new URL("./engine-writer.ts", import.meta.url));
    return spawn(process.execPath, ["--no-warnings", script, directory, mode], {
      stdio: ["ignore", "pipe", "inherit"],
    });
  }

  /** Waits until the writer has acknowledged so many writes; returns all it printed until it ended. */
  async function killAfter(writer: ReturnType<typeof startWriter>, acknowledged: number): Promise<number> {
    let printed = "";
    const exited = once(writer, "exit");
    for await (const chunk of writer.stdout) {
      printed += String(chunk);
      if (printed.split("\n").length > acknowledged) writer.kill("SIGKILL");
    }
    const [, signal] = await exited;
    assert.equal(signal, "SIGKILL");
    return printed.split("\n").length - 1;
  }

  it.each(["os", "disk"])("has every write that a killed process had acknowledged with durability %s", async (mode) => {
    for (const wanted of [1, 300]) {
      const acknowledged = await killAfter(startWriter(mode), wanted);
      assert(acknowledged >= wanted);
      const engine = await openIn(directory);
      for (let index = 0; index < acknowledged; index++) {
        const value = await engine.get(dataKey(0, bytes(`k${index}`)));
        assert.equal(textOf(value)?.slice(0, 10), `v${index}`.padEnd(10), `write ${index} of ${acknowledged}`);
      }
      await engine.close();
    }
  });

  it("tells a second process who holds the directory and what to do", async () => {
    const writer = startWriter("os");
    await once(writer.stdout, "data");
    try {
      const error = await rejection(openIn(directory), "STORAGE_FAILED");
      assert(error.message.includes(directory));
      assert.match(error.message, /another process holds it.*own/);
    } finally {
      writer.kill("SIGKILL");
      await once(writer, "exit");
    }
    await (await openIn(directory)).close();
  });

  it("says why a directory cannot be opened", async () => {
    const error = await rejection(openIn("/dev/null/store"), "STORAGE_FAILED");
    assert.match(error.message, /Cannot open the store in \/dev\/null\/store.*ENOTDIR/);
  });

  it("refuses data but neither deletions nor the node's own records once the reserve is reached", async () => {
    let freeBytes = 10 * MEBIBYTE;
    let nowMs = 0;
    const telemetry = createRecordedTelemetry();
    const engine = await createLevelEngine(
      { telemetry },
      {
        ...SMALL,
        directory,
        reserveBytes: 8 * MEBIBYTE,
        freeBytes: async () => freeBytes,
        monotonicMs: () => nowMs,
      },
    );
    const data = { kind: "put", key: dataKey(1, bytes("k")), value: bytes("v") } as const;
    await engine.batch([data], { sync: false });
    freeBytes = 8 * MEBIBYTE - 1;
    nowMs += 1_001;
    const error = await rejection(engine.batch([data], { sync: false }), "STORAGE_FULL");
    assert.equal(error.outcome, "none");
    assert.match(error.message, /Enlarge the volume or add members/);
    assert.doesNotMatch(error.message, /delet/i, "what a client deletes is written, too, and refused as well");
    assert.equal(engine.figures().refusing, true);
    await engine.batch([{ kind: "delete", key: data.key }], { sync: false });
    await engine.batch([{ kind: "put", key: metaKey("identity"), value: bytes("me") }], { sync: true });
    assert.equal(await engine.get(data.key), undefined);
    assert.equal(telemetry.counted("annulus.store.writes_refused"), 1);

    freeBytes = 9 * MEBIBYTE;
    nowMs += 101;
    await engine.batch([data], { sync: false });
    assert.equal(engine.figures().refusing, false);
    await engine.close();
  });

  it("tells what the disk has now, and whether it takes writes again, also while nobody writes", async () => {
    const disk = { freeBytes: 8 * MEBIBYTE - 1, nowMs: 0, asked: 0 };
    const engine = await openIn(directory, {
      reserveBytes: 8 * MEBIBYTE,
      freeBytes: async () => {
        disk.asked++;
        return disk.freeBytes;
      },
      monotonicMs: () => disk.nowMs,
    });
    const data = { kind: "put", key: dataKey(1, bytes("k")), value: bytes("v") } as const;
    await rejection(engine.batch([data], NO_SYNC), "STORAGE_FULL");
    disk.freeBytes = 80 * MEBIBYTE;
    disk.nowMs += 1_001;
    const { asked } = disk;
    for (let look = 0; look < 8; look++) engine.figures();
    await new Promise(setImmediate);
    assert.equal(engine.figures().freeBytes, 80 * MEBIBYTE);
    assert.equal(engine.figures().refusing, false);
    assert.equal(disk.asked, asked + 1, "many looks at once are one question");
    await engine.close();
  });

  it("says that it takes no writes while the file system does not answer, as where the directory is gone, and logs it once", async () => {
    const disk = { isThere: true, nowMs: 0 };
    const telemetry = createRecordedTelemetry();
    const options: LevelEngineOptions = {
      ...SMALL,
      directory,
      freeBytes: async () => {
        if (!disk.isThere) throw new Error("ENOENT: no such file or directory");
        return 80 * MEBIBYTE;
      },
      monotonicMs: () => disk.nowMs,
    };
    const engine = await createLevelEngine({ telemetry }, options);
    const data = { kind: "put", key: dataKey(1, bytes("k")), value: bytes("v") } as const;
    const unknown = () => telemetry.events.filter((event) => event === "store.free_space_unknown").length;
    disk.isThere = false;
    disk.nowMs += 1_001;
    for (let look = 0; look < 8; look++) engine.figures();
    await new Promise(setImmediate);
    assert.deepEqual([engine.figures().refusing, engine.figures().freeBytes, unknown()], [true, undefined, 1]);
    await assert.rejects(engine.batch([data], NO_SYNC));
    disk.nowMs += 1_001;
    engine.figures();
    await new Promise(setImmediate);
    assert.equal(unknown(), 1, "what was said is not said again");

    disk.isThere = true;
    disk.nowMs += 1_001;
    engine.figures();
    await new Promise(setImmediate);
    assert.deepEqual([engine.figures().refusing, engine.figures().freeBytes], [false, 80 * MEBIBYTE]);
    await engine.batch([data], NO_SYNC);
    disk.isThere = false;
    disk.nowMs += 1_001;
    await assert.rejects(engine.batch([data], NO_SYNC));
    assert.deepEqual([engine.figures().refusing, unknown()], [true, 2], "at a write it is noticed as well");
    await engine.close();
  });

  it("asks the file system before the bytes written since the last answer could reach the reserve", async () => {
    const disk = { freeBytes: 20 * MEBIBYTE, asked: 0 };
    const engine = await openIn(directory, {
      reserveBytes: 4 * MEBIBYTE,
      freeBytes: async () => {
        disk.asked++;
        return disk.freeBytes;
      },
      monotonicMs: () => 0,
    });
    const value = new Uint8Array(65_536);
    let refused = false;
    for (let index = 0; index < 400 && !refused; index++) {
      disk.freeBytes -= value.length;
      const key = dataKey(0, bytes(`k${index % 8}`));
      refused = await engine.batch([{ kind: "put", key, value }], { sync: false }).then(
        () => false,
        () => true,
      );
    }
    assert(refused, "the reserve was used up");
    assert(disk.freeBytes > 3.5 * MEBIBYTE, `${disk.freeBytes} bytes were left`);
    assert(disk.asked < 60, `the file system was asked ${disk.asked} times`);
    await engine.close();
  });

  it("says that a scan met a damaged block, and leaves nothing out in silence, however its pages fall", async () => {
    const until = Uint8Array.of(255);
    let engine = await openIn(directory);
    for (let index = 100; index < 400; index++) await engine.batch([put(`k${index}`, "v".repeat(1_500))], NO_SYNC);
    await engine.flush();
    await engine.close();
    await damageTable(directory);

    engine = await openIn(directory);
    for (const limit of [1, 7, 50, 299, 300, 10_000]) {
      let from = Uint8Array.of(0);
      let seen = 0;
      const scanning = async () => {
        for (;;) {
          const page = await engine.scan({ from, until, limit });
          seen += page.length;
          const last = page.at(-1);
          if (last === undefined || page.length < limit) return;
          from = Uint8Array.of(...last.key, 0);
        }
      };
      const error = await rejection(scanning(), "STORAGE_FAILED");
      assert.match(error.message, /Cannot scan: .*Corruption/);
      assert(seen < 300, `${seen} in pages of ${limit}`);
    }
    assert.equal((await engine.scan({ from: bytes("k100"), until, limit: 20 })).length, 20, "what is whole is read");
    await engine.close();
  });

  describe("that is gone", () => {
    const away = () => join(directory, "away");
    const store = () => join(directory, "store");

    /** A store whose directory went away, and which found out: the log that it needed next could not be made. */
    async function openWithout(options: Partial<LevelEngineOptions>) {
      const clock = { nowMs: 0 };
      const monotonicMs = () => clock.nowMs;
      const engine = await openIn(store(), { ...options, writeBufferBytes: 65_536, monotonicMs });
      await rename(store(), away());
      let acknowledged = 0;
      const writing = async () => {
        for (; ; acknowledged++) await engine.batch([put(`k${acknowledged}`, "v".repeat(9_000))], NO_SYNC);
      };
      const error = await rejection(writing(), "STORAGE_FAILED");
      assert.equal(error.outcome, "unknown");
      assert(acknowledged > 0);
      clock.nowMs += 1_001;
      return { engine, clock, acknowledged };
    }

    it("is an answer, and no bug, to who would write, and what is in memory is read on", async () => {
      const { engine, acknowledged } = await openWithout({});
      const error = await rejection(engine.batch([put("k", "v")], NO_SYNC), "STORAGE_FAILED");
      assert.equal(error.outcome, "none");
      assert.match(error.message, /ENOENT/);
      assert.equal((await engine.get(bytes(`k${acknowledged - 1}`)))?.length, 9_000);
      await engine.close();
    });

    it("again soon after it was opened anew is left alone for longer, twice as long each time, up to a minute", async () => {
      const { engine, clock } = await openWithout({ freeBytes: async () => 100 * MEBIBYTE });
      const write = () => engine.batch([put("k", "v".repeat(9_000))], NO_SYNC);
      for (const waitMs of [2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]) {
        await rename(away(), store());
        await write();
        await rename(store(), away());
        const error = await rejection(
          (async () => {
            for (;;) await write();
          })(),
          "STORAGE_FAILED",
        );
        assert.equal(error.outcome, "unknown");
        await rename(away(), store());
        clock.nowMs += waitMs - 1;
        await rejection(write(), "STORAGE_FAILED");
        await rename(store(), away());
        clock.nowMs += 1;
      }
      await rename(away(), store());
      await write();
      clock.nowMs += 60_001;
      await rename(store(), away());
      await assert.rejects(async () => {
        for (;;) await write();
      });
      await rename(away(), store());
      clock.nowMs += 1_000;
      await write();
      await engine.close();
    });

    it("is not made anew without what was in it: writes wait for the old one", async () => {
      const { engine, clock, acknowledged } = await openWithout({ freeBytes: async () => 100 * MEBIBYTE });
      await rejection(engine.batch([put("k", "v")], NO_SYNC), "STORAGE_FAILED");
      assert(!existsSync(store()), "there is another store in its place");
      await rename(away(), store());
      clock.nowMs += 1_001;
      await engine.batch([put("k", "v")], NO_SYNC);
      const page = await engine.scan({ from: bytes("k"), until: bytes("l"), limit: 10_000 });
      assert(page.length > acknowledged, `${page.length} are there, ${acknowledged} were acknowledged`);
      await engine.close();
    });
  });

  it("knows its sizes", async () => {
    const engine = await openIn(directory);
    const value = new Uint8Array(100_000).map((_, index) => (index * index) % 251);
    for (let index = 0; index < 30; index++) {
      const noise = value.map((byte, at) => byte ^ ((at * (index + 3)) >>> 4));
      await engine.batch([{ kind: "put", key: bytes(`k${index}`), value: noise }], { sync: false });
    }
    assert(engine.figures().memoryBytes > MEBIBYTE);
    await engine.flush();
    const figures = engine.figures();
    assert.equal(figures.state, "open");
    assert(figures.tableBytes >= MEBIBYTE, `${figures.tableBytes}`);
    assert(figures.freeBytes !== undefined && figures.freeBytes > 0 && figures.diskBytes > figures.freeBytes);
    await engine.batch([remove("k1"), put("k2", "v")], { sync: false });
    await engine.close();
    assert.deepEqual(engine.figures().state, "closed");
  });
});
