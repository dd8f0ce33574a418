/** The engine contract on the simulated disk, and the faults that only it can have on demand. */
import assert from "node:assert/strict";
import { setImmediate as turn } from "node:timers/promises";
import { describe, it } from "@jest/globals";
import fc from "fast-check";
import { metaKey } from "../../node/core/keyspace.ts";
import type { EngineWrite } from "../../node/ports.ts";
import { createSimulatedDisk } from "../sim/disk.ts";
import type { DiskFaults } from "../sim/disk-faults.ts";
import { createSeededRandom } from "../sim/random.ts";
import { bytes, engineContract, put, rejection, remove, textOf, textsOf } from "./engine.ts";
import { createInstantTime } from "./instant-time.ts";

const NO_SYNC = { sync: false };
const SYNC = { sync: true };
const EVERYTHING = { from: new Uint8Array(0), until: Uint8Array.of(0xff), limit: 10_000 };

function diskOf(seed: number, faults: Partial<DiskFaults> = {}) {
  const time = createInstantTime();
  return { time, disk: createSimulatedDisk({ time, random: createSeededRandom(seed), faults }) };
}

engineContract("the simulated disk", async () => {
  const { disk } = diskOf(1);
  return { open: async () => disk.open(), dispose: async () => undefined };
});

/** Lets virtual time run until nothing is due any more. */
async function settle(time: { pending(): number }): Promise<void> {
  while (time.pending() > 0) await turn();
}

describe("a simulated disk", () => {
  it("keeps what a dead process was told is durable, and the batch in flight wholly or not at all", async () => {
    const outcomes = new Set<string>();
    for (let seed = 0; seed < 20; seed++) {
      const { disk } = diskOf(seed);
      const engine = disk.open();
      await engine.batch([put("a", "1"), put("b", "1")], NO_SYNC);
      void engine.batch([put("a", "2"), put("b", "2")], NO_SYNC);
      void engine.batch([put("a", "3"), put("b", "3")], NO_SYNC);
      disk.crash("process");
      const found = textsOf(await disk.open().scan(EVERYTHING));
      outcomes.add(JSON.stringify(found));
    }
    assert.deepEqual([...outcomes].sort(), ['[["a","1"],["b","1"]]', '[["a","2"],["b","2"]]']);
  });

  it("never answers a process that is gone, and leaves no timer of it behind", async () => {
    const { disk, time } = diskOf(1, { latencyMs: [5, 5] });
    const engine = disk.open();
    let answers = 0;
    const listen = (call: Promise<unknown>) => void call.finally(() => answers++);
    listen(engine.get(bytes("k")));
    listen(engine.batch([put("k", "1")], NO_SYNC));
    listen(engine.flush());
    disk.crash("process");
    assert.equal(time.pending(), 0);
    listen(engine.get(bytes("k")));
    listen(engine.scan(EVERYTHING));
    listen(engine.close());
    await settle(time);
    await turn();
    assert.equal(answers, 0);
    const next = disk.open();
    await next.batch([put("k", "2")], NO_SYNC);
    assert.equal(textOf(await next.get(bytes("k"))), "2");
  });

  it("loses with the machine only what was not synced, the newest first", async () => {
    const lengths = new Set<number>();
    for (let seed = 0; seed < 60; seed++) {
      const { disk } = diskOf(seed, { tableMs: [0, 0] });
      const engine = disk.open();
      for (let index = 0; index < 3; index++) await engine.batch([put(`k${index}`, "v")], NO_SYNC);
      await engine.batch([put("k3", "v")], SYNC);
      for (let index = 4; index < 8; index++) await engine.batch([put(`k${index}`, "v")], NO_SYNC);
      disk.crash("machine");
      const keys = textsOf(await disk.open().scan(EVERYTHING)).map(([key]) => key);
      assert.deepEqual(keys, ["k0", "k1", "k2", "k3", "k4", "k5", "k6", "k7"].slice(0, keys.length));
      assert(keys.length >= 4);
      assert.equal(disk.counters.batchesLost, 8 - keys.length);
      lengths.add(keys.length);
    }
    assert.deepEqual([...lengths].sort(), [4, 5, 6, 7, 8]);
  });

  it("can lose the end of a full log although a later log was synced, unless it was flushed", async () => {
    let holes = 0;
    for (let seed = 0; seed < 40; seed++) {
      for (const flushed of [false, true]) {
        const { disk } = diskOf(seed, { logBytesMax: 10, tableMs: [1_000, 1_000], latencyMs: [1, 1] });
        const engine = disk.open();
        await engine.batch([put("old", "longer than a log")], NO_SYNC);
        await engine.batch([put("new", "v")], SYNC);
        if (flushed) await engine.flush();
        disk.crash("machine");
        const keys = textsOf(await disk.open().scan(EVERYTHING)).map(([key]) => key);
        assert(keys.includes("new"));
        if (flushed) assert(keys.includes("old"));
        else if (!keys.includes("old")) holes++;
      }
    }
    assert(holes > 0 && holes < 40, `${holes} holes`);
  });

  it("has everything on the disk once it was opened again after a process died", async () => {
    for (let seed = 0; seed < 20; seed++) {
      const { disk } = diskOf(seed);
      await disk.open().batch([put("k", "1")], NO_SYNC);
      disk.crash("process");
      disk.open();
      disk.crash("machine");
      assert.equal(textOf(await disk.open().get(bytes("k"))), "1");
    }
  });

  it("never brings an older value back by a loss of power", async () => {
    const step = fc.oneof(
      { weight: 5, arbitrary: fc.record({ key: fc.constantFrom("a", "b"), sync: fc.boolean() }) },
      { weight: 1, arbitrary: fc.constant("flush" as const) },
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 30 }), fc.nat(1_000), async (steps, seed) => {
        const { disk } = diskOf(seed, { logBytesMax: 8, tableMs: [0, 20] });
        const engine = disk.open();
        const synced = new Map<string, number>();
        const newest = new Map<string, number>();
        for (const [index, command] of steps.entries()) {
          if (command === "flush") {
            await engine.flush();
            for (const [key, value] of newest) synced.set(key, value);
          } else {
            await engine.batch([put(command.key, `${index}`)], { sync: command.sync });
            newest.set(command.key, index);
            if (command.sync) synced.set(command.key, index);
          }
        }
        disk.crash("machine");
        const survivor = disk.open();
        for (const [key, value] of synced) assert(Number(textOf(await survivor.get(bytes(key)))) >= value);
      }),
      { numRuns: 60 },
    );
  });

  it("takes no writes for a second after one failed, and then shows the failed one or not", async () => {
    const surfaced = new Set<string | undefined>();
    for (let seed = 0; seed < 20; seed++) {
      const { disk, time } = diskOf(seed);
      const engine = disk.open();
      await engine.batch([put("k", "before")], NO_SYNC);
      disk.failNextWrite();
      const error = await rejection(engine.batch([put("k", "failed")], NO_SYNC), "STORAGE_FAILED");
      assert.equal(error.outcome, "unknown");
      const refused = await rejection(engine.batch([put("other", "1")], NO_SYNC), "STORAGE_FAILED");
      assert.equal(refused.outcome, "none");
      assert.equal(textOf(await engine.get(bytes("k"))), "before");
      await new Promise<void>((resolve) => void time.after(1_000, resolve));
      await engine.batch([put("other", "2")], NO_SYNC);
      surfaced.add(textOf(await engine.get(bytes("k"))));
      assert.equal(disk.counters.writeErrors, 1);
    }
    assert.deepEqual([...surfaced].sort(), ["before", "failed"]);
  });

  it("fails the share of calls that it was told to", async () => {
    const { disk } = diskOf(7, { readErrors: [1, 4] });
    const engine = disk.open();
    const results = await Promise.allSettled(Array.from({ length: 400 }, () => engine.get(bytes("k"))));
    const failed = results.filter(({ status }) => status === "rejected").length;
    assert(failed > 60 && failed < 140, `${failed} of 400`);
    assert.equal(disk.counters.readErrors, failed);
    disk.setFaults({ readErrors: [0, 1] });
    disk.failNextRead();
    await rejection(engine.scan(EVERYTHING), "STORAGE_FAILED");
    assert.deepEqual(await engine.scan(EVERYTHING), []);
  });

  it("refuses data beyond its capacity until space returns, but no deletion and no record of the node's own", async () => {
    const { disk } = diskOf(1);
    const engine = disk.open();
    disk.setCapacityBytes(10);
    await engine.batch([put("k", "12345678")], NO_SYNC);
    const error = await rejection(engine.batch([put("l", "1234")], NO_SYNC), "STORAGE_FULL");
    assert.equal(error.outcome, "none");
    await engine.batch([{ kind: "put", key: metaKey("identity"), value: bytes("me") }], SYNC);
    await engine.batch([remove("k")], NO_SYNC);
    disk.setCapacityBytes(undefined);
    await engine.batch([put("l", "1234")], NO_SYNC);
    assert.equal(disk.counters.fullDiskRefusals, 1);
  });

  it("damages one bit of a value, for good", async () => {
    const { disk } = diskOf(1);
    const engine = disk.open();
    await engine.batch([put("k", "value"), put("empty", "")], NO_SYNC);
    assert.equal(disk.flipBit(bytes("k")), true);
    assert.equal(disk.flipBit(bytes("none")) || disk.flipBit(bytes("empty")), false);
    const damaged = (await engine.get(bytes("k"))) ?? bytes("");
    const difference = [...bytes("value")]
      .map((byte, index) => byte ^ (damaged[index] ?? 0))
      .filter((bits) => bits > 0);
    assert.equal(difference.length, 1);
    assert(Number.isInteger(Math.log2(difference[0] ?? 0)));
    disk.crash("machine");
    assert.deepEqual(await disk.open().get(bytes("k")), damaged);
  });

  it("is empty after it was exchanged", async () => {
    const { disk } = diskOf(1);
    const engine = disk.open();
    await engine.batch([put("k", "v")], SYNC);
    assert.throws(() => disk.wipe(), /no node runs/);
    await engine.close();
    disk.wipe();
    assert.deepEqual(await disk.open().scan(EVERYTHING), []);
  });

  it("gives the same run for the same seed", async () => {
    async function run(seed: number): Promise<string> {
      const { disk, time } = diskOf(seed, { writeErrors: [1, 5], readErrors: [1, 5], logBytesMax: 20 });
      const trace: unknown[] = [];
      for (let life = 0; life < 4; life++) {
        const engine = disk.open();
        for (let index = 0; index < 10; index++) {
          const writes: EngineWrite[] = [put(`k${index}`, `${life}`)];
          trace.push(await engine.batch(writes, { sync: index % 3 === 0 }).catch((error: Error) => error.message));
          trace.push(await engine.get(bytes(`k${index}`)).then(textOf, (error: Error) => error.message));
          trace.push(time.monotonicMs());
        }
        disk.crash(life % 2 === 0 ? "machine" : "process");
        trace.push(textsOf(disk.entries(EVERYTHING)));
      }
      return JSON.stringify([trace, disk.counters]);
    }
    assert.equal(await run(5), await run(5));
    assert.notEqual(await run(5), await run(6));
  });
});
