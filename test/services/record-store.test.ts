/**
 * Values that are kept in memory beside a disk whose writes fail: what failed may be there after all, seconds later. And
 * what keeping them takes.
 */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import fc from "fast-check";
import { KvError } from "../../node/core/errors.ts";
import { dataKey } from "../../node/core/keyspace.ts";
import { createGroupCommit } from "../../node/services/group-commit.ts";
import { createRecordStore } from "../../node/services/record-store.ts";
import { createInstantTime } from "../contract/instant-time.ts";
import { createRecordedTelemetry } from "../contract/recorded-telemetry.ts";
import { createSimulatedDisk } from "../sim/disk.ts";
import { createSeededRandom } from "../sim/random.ts";

const AT = dataKey(1, new TextEncoder().encode("key"));
const OTHER = dataKey(2, new TextEncoder().encode("other"));

function openWorld(seed: number) {
  const [time, telemetry] = [createInstantTime(), createRecordedTelemetry()];
  const random = createSeededRandom(seed);
  const disk = createSimulatedDisk({ time, random, faults: { latencyMs: [0, 6] } });
  const engine = disk.open();
  const commit = createGroupCommit(
    { engine, time, telemetry },
    { sync: false, intervalMs: 1, batchBytesMax: 4_000, queueBytesMax: 1_000_000, queueMsMax: 60_000 },
  );
  const decode = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  const store = createRecordStore<string>({ engine, commit }, { cacheBytes: 10_000, decode, setAside: async () => {} });
  const pass = (ms: number) => new Promise<void>((resolve) => void time.after(ms, resolve));
  /** Appends a letter to what there is, as a replica merges: nothing is awaited from `newest` to `put`. */
  const append = async (letter: string) => {
    const loaded = store.newest("key") ?? (await store.load("key", AT));
    const held = store.newest("key") ?? loaded;
    const decoded = (held === undefined ? "" : store.decoded(held)) + letter;
    await store.put("key", AT, { bytes: new TextEncoder().encode(decoded), decoded });
  };
  /** Has the store opened again, which refuses whoever asks for that. */
  const reopen = async () => {
    const write = () => commit.write({ kind: "put", key: OTHER, value: Uint8Array.of(1) });
    await write().catch(write);
  };
  const onDisk = () => disk.entries({ from: AT, until: Uint8Array.of(0xff), limit: 1 })[0]?.value;
  return { disk, commit, store, pass, append, reopen, onDisk, random };
}

describe("a record store over a disk whose writes fail", () => {
  it("holds what the disk holds once writes go through again, whatever was read meanwhile", async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer(), async (seed) => {
        const { disk, commit, store, pass, append, reopen, onDisk, random } = openWorld(seed);
        await append("a");
        disk.failNextWrite();
        await assert.rejects(append("b"), KvError);
        // Somebody reads while the store takes no writes, and others while it is being opened again.
        if (random.chance([1, 2])) await store.read("key", AT);
        await pass(990 + random.below(15));
        // Any write opens the store again; this one is of another key.
        const opening = commit.write({ kind: "put", key: OTHER, value: Uint8Array.of(1) });
        const writers = Array.from({ length: random.below(4) }, async (_, index) => {
          await pass(random.below(12));
          await append("cdef"[index] as string).catch((error: unknown) => assert(error instanceof KvError));
        });
        const readers = Array.from({ length: 6 }, async () => {
          await pass(random.below(15));
          await store.read("key", AT);
        });
        await Promise.allSettled([opening, ...writers, ...readers]);
        await pass(1_000);
        await reopen();
        const before = onDisk();
        assert.deepEqual(Buffer.from((await store.read("key", AT)) ?? []), Buffer.from(before ?? []));
        await append("z");
        assert.deepEqual(Buffer.from(onDisk() ?? []), Buffer.concat([before ?? new Uint8Array(0), Buffer.from("z")]));
      }),
      { numRuns: 300 },
    );
  });

  it("overwrites nothing that surfaces with what was computed before it did", async () => {
    let surfaced = 0;
    for (let seed = 1; seed <= 40; seed++) {
      const { disk, store, pass, append, onDisk } = openWorld(seed);
      await append("a");
      disk.failNextWrite();
      await assert.rejects(append("b"), KvError);
      await pass(1_000);
      const error = await append("c").catch((refusal: unknown) => refusal);
      assert(error instanceof KvError && error.outcome === "none", "what was computed before is refused");
      surfaced += disk.counters.failedWritesSurfaced;
      assert.equal(new TextDecoder().decode(onDisk()), disk.counters.failedWritesSurfaced > 0 ? "ab" : "a");
      assert.equal(new TextDecoder().decode(await store.read("key", AT)), new TextDecoder().decode(onDisk()));
      await append("c");
      assert.equal(new TextDecoder().decode(onDisk()), disk.counters.failedWritesSurfaced > 0 ? "abc" : "ac");
    }
    assert(surfaced > 5 && surfaced < 35, `it surfaced ${surfaced} times of 40`);
  });

  it("builds on what surfaced, where nothing else was written when it did", async () => {
    let surfaced = 0;
    for (let seed = 1; seed <= 40; seed++) {
      const { disk, store, pass, append, reopen, onDisk } = openWorld(seed);
      await append("a");
      disk.failNextWrite();
      await assert.rejects(append("b"), KvError);
      await store.read("key", AT);
      await pass(1_000);
      await reopen();
      const found = new TextDecoder().decode(onDisk());
      if (found === "ab") surfaced += 1;
      await append("c");
      assert.equal(new TextDecoder().decode(onDisk()), `${found}c`);
    }
    assert(surfaced > 5 && surfaced < 35, `it surfaced ${surfaced} times of 40`);
  });
});

describe("the memory of a record store", () => {
  it("keeps of a durable value its bytes alone, not the larger piece that they came in", async () => {
    const { store } = openWorld(1);
    const piece = new Uint8Array(64 * 1_024).fill(120);
    await store.put("key", AT, { bytes: piece.subarray(100, 110), decoded: undefined });
    const kept = store.newest("key")?.bytes;
    assert.equal(new TextDecoder().decode(kept), "xxxxxxxxxx");
    assert.equal(kept?.buffer.byteLength, 10);
    assert.equal(store.cached("key"), kept);
  });

  it("keeps no more than it was given, each value with its key and what a cache needs for it", async () => {
    const { store } = openWorld(3);
    const names = Array.from({ length: 40 }, (_, index) => `key ${index}`);
    for (const name of names)
      await store.put(name, dataKey(1, new TextEncoder().encode(name)), {
        bytes: new Uint8Array(1_000),
        decoded: undefined,
      });
    const kept = names.filter((name) => store.cached(name) !== undefined);
    // Of 10,000 bytes each takes 1,000, its name and 512.
    assert.deepEqual(kept, names.slice(-6));
  });

  it("lets go of what it has decoded, and decodes it anew for the next one who asks", async () => {
    const { store } = openWorld(2);
    await store.put("key", AT, { bytes: new TextEncoder().encode("a"), decoded: undefined });
    const held = store.newest("key");
    assert(held !== undefined);
    assert.equal(store.decoded(held), "a");
    assert.equal(held.decoded, "a");
    store.release(held);
    assert.equal(held.decoded, undefined);
    assert.equal(store.decoded(held), "a");
  });
});
