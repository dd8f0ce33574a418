/** What every `Engine` must do; run on LevelDB and on the simulated disk. */
import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "@jest/globals";
import fc from "fast-check";
import { KvError } from "../../node/core/errors.ts";
import type { Engine, EngineWrite, Entry } from "../../node/ports.ts";

/** One disk, and how to start a store on it. */
export type EngineWorld = {
  open(): Promise<Engine>;
  /** Takes the disk away; all stores on it are closed. */
  dispose(): Promise<void>;
};

export const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text));
export const put = (key: string, value: string): EngineWrite => ({ kind: "put", key: bytes(key), value: bytes(value) });
export const remove = (key: string): EngineWrite => ({ kind: "delete", key: bytes(key) });
export const textOf = (value: Uint8Array | undefined) =>
  value === undefined ? undefined : Buffer.from(value).toString();

const NO_SYNC = { sync: false };
const EVERYTHING = { from: new Uint8Array(0), until: new Uint8Array(16).fill(0xff), limit: 10_000 };

export const textsOf = (entries: readonly Entry[]) => entries.map(({ key, value }) => [textOf(key), textOf(value)]);

/** Asserts that a call is answered with a `KvError` of this code, and returns it. */
export async function rejection(call: Promise<unknown>, code: KvError["code"]): Promise<KvError> {
  const error = await call.then(
    () => assert.fail("the call was answered"),
    (reason: unknown) => reason,
  );
  assert(error instanceof KvError, `rejected with ${error}`);
  assert.equal(error.code, code, error.message);
  return error;
}

export function engineContract(name: string, createWorld: () => Promise<EngineWorld>): void {
  describe(`the engine contract on ${name}`, () => {
    let world: EngineWorld;
    let engine: Engine;

    beforeEach(async () => {
      world = await createWorld();
      engine = await world.open();
    });

    afterEach(async () => {
      await engine.close();
      await world.dispose();
    });

    it("gives back what was put, and nothing for what never was or was deleted", async () => {
      await engine.batch([put("a", "1"), put("b", "2")], NO_SYNC);
      await engine.batch([remove("b"), remove("never")], { sync: true });
      assert.deepEqual(textOf(await engine.get(bytes("a"))), "1");
      assert.equal(await engine.get(bytes("b")), undefined);
      assert.equal(await engine.get(bytes("c")), undefined);
    });

    it("tells an empty value from none", async () => {
      await engine.batch([put("empty", "")], NO_SYNC);
      assert.equal((await engine.get(bytes("empty")))?.length, 0);
      assert.deepEqual(textsOf(await engine.scan(EVERYTHING)), [["empty", ""]]);
    });

    it("applies the writes of a batch in order", async () => {
      await engine.batch([put("k", "1"), remove("k"), put("k", "2"), put("gone", "1"), remove("gone")], NO_SYNC);
      assert.deepEqual(textsOf(await engine.scan(EVERYTHING)), [["k", "2"]]);
    });

    it("takes a batch of nothing", async () => {
      await engine.batch([], { sync: true });
      assert.deepEqual(await engine.scan(EVERYTHING), []);
    });

    it("applies batches in the order in which they were handed over, without being waited for", async () => {
      const calls = Array.from({ length: 50 }, (_, index) => engine.batch([put("k", `${index}`)], NO_SYNC));
      await Promise.all(calls);
      assert.equal(textOf(await engine.get(bytes("k"))), "49");
    });

    it("keeps keys of any bytes in bytewise order", async () => {
      const keys = [[], [0], [0, 0], [0, 255], [1], [127], [128], [128, 0], [255], [255, 0], [255, 255, 255]];
      const shuffled = [...keys.keys()].sort((a, b) => ((a * 7) % 11) - ((b * 7) % 11));
      for (const index of shuffled) {
        await engine.batch([{ kind: "put", key: Uint8Array.from(keys[index] ?? []), value: bytes("v") }], NO_SYNC);
      }
      const found = await engine.scan(EVERYTHING);
      assert.deepEqual(
        found.map(({ key }) => [...key]),
        keys,
      );
    });

    it("scans from the first key of a range up to but not with its end, in pages", async () => {
      const names = Array.from({ length: 25 }, (_, index) => `k${String(index).padStart(2, "0")}`);
      await engine.batch(
        names.map((name) => put(name, `of ${name}`)),
        NO_SYNC,
      );
      const page = await engine.scan({ from: bytes("k03"), until: bytes("k20"), limit: 10 });
      assert.deepEqual(
        textsOf(page).map(([key]) => key),
        names.slice(3, 13),
      );
      const rest = await engine.scan({ from: bytes("k13"), until: bytes("k20"), limit: 10 });
      assert.deepEqual(
        textsOf(rest),
        names.slice(13, 20).map((name) => [name, `of ${name}`]),
      );
      assert.deepEqual(await engine.scan({ from: bytes("k20"), until: bytes("k20"), limit: 10 }), []);
    });

    it("fills a page to its limit however large the values are", async () => {
      const large = "x".repeat(100_000);
      for (let index = 10; index < 30; index++) await engine.batch([put(`k${index}`, large)], NO_SYNC);
      const page = await engine.scan({ ...EVERYTHING, limit: 15 });
      assert.equal(page.length, 15);
      assert(page.every(({ value }) => value.length === large.length));
    });

    it("holds a value of a mebibyte", async () => {
      const value = new Uint8Array(1_048_576).map((_, index) => index % 251);
      await engine.batch([{ kind: "put", key: bytes("k"), value }], NO_SYNC);
      assert.equal(Buffer.compare((await engine.get(bytes("k"))) ?? bytes(""), value), 0);
    });

    it("answers many reads at once, each with its own value", async () => {
      const writes = Array.from({ length: 500 }, (_, index) => put(`k${index}`, `v${index}`));
      await engine.batch(writes, NO_SYNC);
      const values = await Promise.all(Array.from({ length: 1_000 }, (_, index) => engine.get(bytes(`k${index}`))));
      for (const [index, value] of values.entries()) assert.equal(textOf(value), index < 500 ? `v${index}` : undefined);
    });

    it("shows a batch that was acknowledged to every read that begins after it", async () => {
      for (let index = 0; index < 30; index++) {
        await engine.batch([put("k", `${index}`)], NO_SYNC);
        const [value, page] = await Promise.all([engine.get(bytes("k")), engine.scan(EVERYTHING)]);
        assert.equal(textOf(value), `${index}`);
        assert.deepEqual(textsOf(page), [["k", `${index}`]]);
      }
    });

    it("gives arrays that belong to the caller, and keeps none of the caller's", async () => {
      const key = bytes("k");
      const value = bytes("value");
      await engine.batch([{ kind: "put", key, value }], NO_SYNC);
      key.fill(0);
      value.fill(0);
      (await engine.get(bytes("k")))?.fill(1);
      for (const entry of await engine.scan(EVERYTHING)) {
        entry.key.fill(1);
        entry.value.fill(1);
      }
      assert.equal(textOf(await engine.get(bytes("k"))), "value");
    });

    it("keeps everything over a close and a new start", async () => {
      await engine.batch([put("a", "1"), put("b", "2")], NO_SYNC);
      await engine.flush();
      await engine.batch([remove("a")], NO_SYNC);
      await engine.close();
      engine = await world.open();
      assert.deepEqual(textsOf(await engine.scan(EVERYTHING)), [["b", "2"]]);
    });

    it("ends the calls in flight before it closes, and refuses later ones", async () => {
      const writing = engine.batch([put("k", "1")], NO_SYNC);
      const reading = Array.from({ length: 20 }, () => engine.get(bytes("k")));
      const scanning = engine.scan(EVERYTHING);
      const flushing = engine.flush();
      const closing = engine.close();
      const late = [
        engine.get(bytes("k")),
        engine.batch([put("k", "2")], NO_SYNC),
        engine.scan(EVERYTHING),
        engine.flush(),
      ];
      for (const call of late) assert.match((await rejection(call, "STORAGE_FAILED")).message, /closed/);
      await Promise.all([writing, ...reading, scanning, flushing]);
      await closing;
      await engine.close();
      engine = await world.open();
      assert.equal(textOf(await engine.get(bytes("k"))), "1");
    });

    it("refuses a second store on the same disk while the first is open", async () => {
      const error = await rejection(world.open(), "STORAGE_FAILED");
      assert.match(error.message, /another process holds it/);
    });

    it("agrees with a plain map over any run of batches, reads, scans and restarts", async () => {
      const keys = fc.constantFrom("a", "b", "ba", "c", "d");
      const write = fc.oneof(
        fc.record({ kind: fc.constant("put" as const), key: keys, value: fc.string({ maxLength: 5 }) }),
        fc.record({ kind: fc.constant("delete" as const), key: keys }),
      );
      const step = fc.oneof(
        { weight: 6, arbitrary: fc.record({ kind: fc.constant("batch" as const), writes: fc.array(write) }) },
        { weight: 3, arbitrary: fc.record({ kind: fc.constant("scan" as const), from: keys, until: keys }) },
        { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom("reopen" as const, "flush" as const) }) },
      );
      await fc.assert(
        fc.asyncProperty(fc.array(step, { maxLength: 20 }), async (steps) => {
          const model = new Map<string, string>();
          await engine.batch(["a", "b", "ba", "c", "d"].map(remove), NO_SYNC);
          for (const command of steps) {
            if (command.kind === "batch") {
              const writes = command.writes.map((one) =>
                one.kind === "put" ? put(one.key, one.value) : remove(one.key),
              );
              await engine.batch(writes, NO_SYNC);
              for (const one of command.writes) {
                if (one.kind === "put") model.set(one.key, one.value);
                else model.delete(one.key);
              }
            } else if (command.kind === "scan") {
              const page = await engine.scan({ from: bytes(command.from), until: bytes(command.until), limit: 100 });
              const expected = [...model].filter(([key]) => key >= command.from && key < command.until).sort();
              assert.deepEqual(textsOf(page), expected);
            } else if (command.kind === "flush") {
              await engine.flush();
            } else {
              await engine.close();
              engine = await world.open();
            }
          }
          assert.deepEqual(textsOf(await engine.scan(EVERYTHING)), [...model].sort());
          for (const key of ["a", "ba", "d"]) assert.equal(textOf(await engine.get(bytes(key))), model.get(key));
        }),
        { numRuns: 25 },
      );
    });
  });
}
