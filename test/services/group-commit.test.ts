import assert from "node:assert/strict";
import { setImmediate as turn } from "node:timers/promises";
import { describe, it } from "@jest/globals";
import fc from "fast-check";
import { KvError } from "../../node/core/errors.ts";
import { metaKey } from "../../node/core/keyspace.ts";
import type { EngineWrite } from "../../node/ports.ts";
import { createGroupCommit, type GroupCommitOptions } from "../../node/services/group-commit.ts";
import { bytes, put, rejection, remove, textOf } from "../contract/engine.ts";
import { createInstantTime } from "../contract/instant-time.ts";
import { createRecordedTelemetry } from "../contract/recorded-telemetry.ts";
import { createSimulatedDisk } from "../sim/disk.ts";
import type { DiskFaults } from "../sim/disk-faults.ts";
import { createSeededRandom } from "../sim/random.ts";

const EVERYTHING = { from: new Uint8Array(0), until: Uint8Array.of(0xff), limit: 10_000 };

function createWorld(options: Partial<GroupCommitOptions> = {}, faults: Partial<DiskFaults> = {}, seed = 1) {
  const time = createInstantTime();
  const telemetry = createRecordedTelemetry();
  const disk = createSimulatedDisk({
    time,
    random: createSeededRandom(seed),
    faults: { latencyMs: [1, 5], toldMs: [0, 0], toldLate: [0, 1], ...faults },
  });
  const engine = disk.open();
  const commit = createGroupCommit(
    { engine, time, telemetry },
    { sync: false, intervalMs: 1, batchBytesMax: 10_000, queueBytesMax: 100_000, queueMsMax: 60_000, ...options },
  );
  return { time, telemetry, disk, engine, commit };
}

describe("group commit", () => {
  it("puts all that arrives in one turn, and all that arrives during a flush, into one batch each", async () => {
    const { commit, disk, telemetry, time } = createWorld({}, { latencyMs: [10, 10] });
    const first = Array.from({ length: 5 }, (_, index) => commit.write(put(`a${index}`, "v")));
    await turn();
    const meanwhile = Array.from({ length: 7 }, (_, index) => commit.write(put(`b${index}`, "v")));
    await Promise.all(first);
    assert.equal(disk.counters.batches, 1);
    await Promise.all(meanwhile);
    assert.equal(disk.counters.batches, 2);
    assert.deepEqual(telemetry.observed("annulus.commit.group_writes"), [5, 7]);
    assert.deepEqual(telemetry.observed("annulus.commit.flush.duration"), [10, 10]);
    assert.equal(time.monotonicMs(), 20);
  });

  it("lets writes that come quickly wait for company, and one that comes alone for nobody", async () => {
    const { commit, disk, time } = createWorld({ intervalMs: 5 }, { latencyMs: [0, 0] });
    const pass = (durationMs: number) => new Promise<void>((resolve) => time.after(durationMs, resolve));
    for (let i = 0; i < 10; i++) {
      const startMs = time.monotonicMs();
      await commit.write(put(`alone ${i}`, "v"));
      assert.equal(time.monotonicMs() - startMs, 0);
      await pass(50);
    }
    const aloneBatches = disk.counters.batches;
    const quick: Promise<void>[] = [];
    for (let i = 0; i < 200; i++) {
      quick.push(commit.write(put(`quick ${i}`, "v")));
      await pass(0.5);
    }
    await Promise.all(quick);
    assert.equal(aloneBatches, 10);
    const quickBatches = disk.counters.batches - aloneBatches;
    assert.ok(quickBatches < 100, `200 writes in 100 ms went in ${quickBatches} batches`);
  });

  it("acknowledges a write only when the disk has it, and several handed over together at once", async () => {
    const { commit, engine } = createWorld();
    await commit.write([put("a", "1"), put("b", "1"), remove("a")]);
    assert.equal(await engine.get(bytes("a")), undefined);
    assert.equal(textOf(await engine.get(bytes("b"))), "1");
  });

  it("asks for a synced batch where the durability asks for one", async () => {
    for (const sync of [false, true]) {
      let survived = 0;
      for (let seed = 0; seed < 20; seed++) {
        const { commit, disk } = createWorld({ sync }, {}, seed);
        await commit.write(put("k", "1"));
        disk.crash("machine");
        if (disk.entries(EVERYTHING).length > 0) survived++;
      }
      assert.equal(survived === 20, sync);
    }
  });

  it("starts a further group when one is full, and keeps the order of all writes", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 1, max: 400 }), { maxLength: 60 }),
        fc.nat(100),
        async (sizes, seed) => {
          const { commit, engine, telemetry } = createWorld({ batchBytesMax: 500 }, {}, seed);
          const calls = sizes.map((size, index) => commit.write(put("k", `${index}`.padEnd(size))));
          await Promise.all(calls);
          const last = sizes.length - 1;
          assert.equal(textOf(await engine.get(bytes("k")))?.trim(), last < 0 ? undefined : `${last}`);
          const written = telemetry.observed("annulus.commit.group_writes").reduce((sum, count) => sum + count, 0);
          assert.equal(written, sizes.length);
        },
      ),
      { numRuns: 30 },
    );
  });

  it("refuses what would make the queue too long, and takes writes again when it is shorter", async () => {
    const { commit, telemetry } = createWorld({ batchBytesMax: 50, queueBytesMax: 100 });
    const accepted = [commit.write(put("a", "x".repeat(49))), commit.write(put("b", "x".repeat(49)))];
    assert.throws(
      () => commit.write(put("c", "1")),
      (error) =>
        error instanceof KvError &&
        error.code === "OVERLOADED" &&
        error.outcome === "none" &&
        error.details.retryAfterS === 1,
    );
    assert.equal(telemetry.counted("annulus.commit.refused"), 1);
    await Promise.all(accepted);
    await commit.write(put("c", "1"));
  });

  it("refuses while the oldest write has waited too long, few as they are, and not a moment longer", async () => {
    const { commit, time, telemetry } = createWorld({ queueMsMax: 100 }, { latencyMs: [250, 250] });
    const pass = (durationMs: number) => new Promise<void>((resolve) => time.after(durationMs, resolve));
    const stuck = commit.write(put("a", "1"));
    await pass(90);
    const inTime = commit.write(put("b", "1"));
    await pass(20);
    assert.throws(
      () => commit.write(put("c", "1")),
      (error) => error instanceof KvError && error.code === "OVERLOADED" && error.outcome === "none",
    );
    assert.equal(telemetry.counted("annulus.commit.refused"), 1);
    await stuck;
    // The one that came at 90 ms is the oldest now, and has been there for longer than that.
    assert.throws(() => commit.write(put("c", "1")), KvError);
    await inTime;
    await commit.write(put("c", "1"));
  });

  it("takes a write that is larger than the queue when nothing else waits", async () => {
    const { commit, engine } = createWorld({ batchBytesMax: 50, queueBytesMax: 100 });
    await commit.write(put("k", "x".repeat(1_000)));
    assert.equal((await engine.get(bytes("k")))?.length, 1_000);
  });

  it("fails all that was queued behind a failed batch, tells the listener first, then takes writes again", async () => {
    const { commit, disk, engine, time } = createWorld({ batchBytesMax: 10 });
    const events: string[] = [];
    commit.onFailure(() => events.push("listener"));
    disk.failNextWrite();
    const failing = commit.write(put("k", "first"));
    const behind = [commit.write(put("k", "second")), commit.write(put("l", "third"))];
    for (const call of [failing, ...behind]) call.catch(() => events.push("writer"));
    assert.equal((await rejection(failing, "STORAGE_FAILED")).outcome, "unknown");
    for (const call of behind) {
      const error = await rejection(call, "STORAGE_FAILED");
      assert.equal(error.outcome, "none");
      assert.match(error.message, /a write before it failed/);
    }
    assert.deepEqual(events, ["listener", "writer", "writer", "writer"]);
    assert.equal(disk.counters.batches, 0);

    await new Promise<void>((resolve) => void time.after(1_000, resolve));
    const early = await rejection(commit.write(put("l", "computed before")), "STORAGE_FAILED");
    assert.equal(early.outcome, "none");
    await commit.write(put("l", "fresh"));
    assert.equal(textOf(await engine.get(bytes("l"))), "fresh");
  });

  it("tells the listener of the first batch that goes through after a failure, before its writers, and of no other", async () => {
    const { commit, disk, time } = createWorld();
    const events: string[] = [];
    commit.onRecovery(() => events.push("recovery"));
    await commit.write(put("k", "0"));
    disk.failNextWrite();
    await rejection(commit.write(put("k", "1")), "STORAGE_FAILED");
    await rejection(commit.write(put("k", "2")), "STORAGE_FAILED");
    await new Promise<void>((resolve) => void time.after(1_000, resolve));
    assert.equal(events.length, 0);
    await commit.write(put("k", "3")).catch(() => events.push("refused"));
    await commit.write(put("k", "4")).then(() => events.push("writer"));
    await commit.write(put("k", "5"));
    assert.deepEqual(events, ["recovery", "refused", "writer"]);
  });

  it("takes a write that a listener's turn submits, as the first of a fresh start", async () => {
    const { commit, disk, time } = createWorld();
    disk.failNextWrite();
    const failed = commit.write(put("k", "1"));
    let retried: Promise<void> | undefined;
    commit.onFailure(() => {
      // The store takes writes again after a second; this one is in the very next flush, so it hears of the failure.
      retried ??= commit.write(put("k", "2"));
    });
    await rejection(failed, "STORAGE_FAILED");
    await rejection(retried ?? assert.fail("the listener was not called"), "STORAGE_FAILED");
    await new Promise<void>((resolve) => void time.after(1_000, resolve));
    await rejection(commit.write(put("k", "3")), "STORAGE_FAILED");
    await commit.write(put("k", "4"));
  });

  it("takes what the node keeps for itself, which opens the store again, and no more than that before", async () => {
    const { commit, disk, time } = createWorld({ batchBytesMax: 10 });
    disk.failNextWrite();
    await rejection(commit.write(put("k", "1")), "STORAGE_FAILED");
    await new Promise<void>((resolve) => void time.after(1_000, resolve));
    const own = commit.write({ kind: "put", key: metaKey("own"), value: bytes("a group of its own") });
    const behind = rejection(commit.write(put("k", "2")), "STORAGE_FAILED");
    await own;
    assert.equal((await behind).outcome, "none");
    await commit.write(put("k", "3"));
  });

  it("has nothing on its way any more once it is drained, whether it went well or not", async () => {
    const { commit, disk } = createWorld({ batchBytesMax: 10 });
    let ended = 0;
    for (let index = 0; index < 5; index++) void commit.write(put(`k${index}`, "value")).finally(() => ended++);
    await commit.drain();
    assert.equal(ended, 5);
    assert.equal(disk.counters.batches, 5);
    await commit.drain();

    disk.failNextWrite();
    const failing = [commit.write(put("a", "value")), commit.write(put("b", "value"))];
    const outcomes = Promise.allSettled(failing);
    await commit.drain();
    assert.deepEqual(
      (await outcomes).map(({ status }) => status),
      ["rejected", "rejected"],
    );
  });

  it("leaves a prefix of what was submitted on the disk of a process that died, and all that it acknowledged", async () => {
    const write = (index: number): EngineWrite => put(`k${String(index).padStart(3, "0")}`, "v");
    await fc.assert(
      fc.asyncProperty(fc.nat(10_000), fc.integer({ min: 1, max: 40 }), async (seed, turns) => {
        const { commit, disk } = createWorld({ batchBytesMax: 20 }, {}, seed);
        let submitted = 0;
        let acknowledged = 0;
        for (let index = 0; index < turns; index++) {
          void commit.write(write(submitted++)).then(() => acknowledged++);
          await turn();
        }
        disk.crash("process");
        const stored = (await disk.open().scan(EVERYTHING)).length;
        const expected = Array.from({ length: stored }, (_, index) => textOf(write(index).key));
        assert.deepEqual(
          disk.entries(EVERYTHING).map(({ key }) => textOf(key)),
          expected,
        );
        assert(stored >= acknowledged && stored <= submitted);
      }),
      { numRuns: 40 },
    );
  });
});
