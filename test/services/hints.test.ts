/** Hints as they are kept: the budget, what a restart finds, and what is damaged. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import fc from "fast-check";
import { KvError } from "../../node/core/errors.ts";
import { decodeHint } from "../../node/core/hint.ts";
import { hintKey, hintQuarantineKey, hintRange, wholeRange } from "../../node/core/keyspace.ts";
import { bytesOf, createHintsWorld, failure, hintBytes, PARTITION, recordOf } from "./hints-world.ts";

/** A disk that fails refuses, and the test goes on; anything else is a bug. */
async function orRefused(asking: Promise<unknown>): Promise<void> {
  try {
    await asking;
  } catch (error) {
    if (!(error instanceof KvError)) throw error;
  }
}

const VALUE = "v".repeat(100);

describe("the budget of hints", () => {
  it.each([true, false])("refuses a hint beyond it, with nothing done (counts: %s)", async (counts) => {
    const record = recordOf(VALUE);
    const world = await createHintsWorld({ bytesMax: 3 * hintBytes("a", "k1", record) });
    for (const key of ["k1", "k2", "k3"]) await world.store("a", key, record, counts);
    const error = await failure(world.store("a", "k4", record, counts), "OVERLOADED");
    assert.equal(error.outcome, "none");
    assert.equal(world.telemetry.counted("annulus.hints.refused"), 1);
    assert.deepEqual(world.waiting(), { a: 3 });
    assert.equal(world.onDisk().length, 3);
  });

  it("counts those on their way to the disk, so that all that come at once stay within it", async () => {
    const record = recordOf(VALUE);
    const each = hintBytes("a", "k00", record);
    const world = await createHintsWorld({ bytesMax: 10 * each });
    const storing = Array.from({ length: 50 }, (_, index) =>
      world.hints.store({ partition: PARTITION, target: "a", key: bytesOf(`k${10 + index}`) }, record, true).then(
        () => 1,
        () => 0,
      ),
    );
    const stored = await world.settled(Promise.all(storing));
    assert.equal(
      stored.reduce<number>((sum, one) => sum + one, 0),
      10,
    );
    assert.equal(world.hints.ledger.bytes(), 10 * each);
    assert.equal(world.onDisk().length, 10);
  });

  it("takes what adds nothing to what is kept, also when it is used up; and takes again what fits when one has gone", async () => {
    const record = recordOf(VALUE);
    const world = await createHintsWorld({ bytesMax: hintBytes("a", "k1", record) });
    await world.store("a", "k1", record, false);
    await world.store("a", "k1", record, false);
    await world.store("a", "k1", record, true);
    const { hints } = await world.settled(world.hints.page({ partition: PARTITION, target: "a", from: undefined }, 10));
    assert.deepEqual([hints.length, hints[0]?.hint.counted], [1, true]);
    await failure(world.store("b", "k1", record, true), "OVERLOADED");
    assert(hints[0] !== undefined && (await world.settled(world.hints.remove(hints[0]))));
    await world.store("b", "k1", record, true);
  });

  it("holds from the first moment after a restart, before what is on the disk has been counted", async () => {
    const record = recordOf(VALUE);
    const each = hintBytes("a", "k0000", record);
    const world = await createHintsWorld({ bytesMax: 600 * each });
    const storeMany = (target: string, from: number, count: number) =>
      Array.from({ length: count }, (_, index) =>
        world.hints
          .store({ partition: PARTITION, target, key: bytesOf(`k${1_000 + from + index}`) }, record, true)
          .then(
            () => 1,
            () => 0,
          ),
      );
    await world.settled(Promise.all(storeMany("a", 0, 590)));
    world.kill();
    await world.start();
    assert(!world.hints.ledger.isComplete(), "the count has only begun");
    const taken = await world.settled(Promise.all(storeMany("b", 0, 40)));
    assert.equal(
      taken.reduce<number>((sum, one) => sum + one, 0),
      10,
    );
    assert.equal(world.onDisk().length, 600);
    assert.equal(world.hints.ledger.bytes(), 600 * each);
  });
});

describe("the ledger of hints", () => {
  it("says after a restart, and after a failed batch, what is on the disk", async () => {
    const step = fc.record({
      target: fc.constantFrom("a", "b", "c"),
      key: fc.constantFrom("k1", "k2", "k3", "k4"),
      value: fc.string({ maxLength: 30 }),
      counts: fc.boolean(),
      event: fc.constantFrom("store", "store", "store", "store", "remove", "fail", "restart"),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
        const world = await createHintsWorld();
        for (const [index, { target, key, value, counts, event }] of steps.entries()) {
          if (event === "restart") {
            world.kill();
            // Errors that were meant for writes may meet the start, several where hints were refused before they were written.
            for (let attempt = 0; ; attempt++) {
              try {
                await world.start();
                break;
              } catch (error) {
                if (attempt === steps.length) throw error;
                world.kill();
              }
            }
          } else if (event === "remove") {
            const range = { partition: PARTITION, target, from: undefined };
            const { hints } = await world.settled(world.hints.page(range, 1));
            for (const hint of hints) await orRefused(world.settled(world.hints.remove(hint)));
          } else {
            if (event === "fail") world.disk.failNextWrite();
            await orRefused(world.store(target, key, recordOf(value, index + 1), counts));
            // While the disk is known to take no writes hints are refused: most are to be taken.
            if (event === "fail" && value.length % 2 === 0) await world.pass(1_500);
          }
        }
        await world.pass(5_000);
        assert(world.hints.ledger.isComplete());
        let total = 0;
        for (const target of ["a", "b", "c"]) {
          const entries = world.disk.entries({ ...hintRange(PARTITION, target), limit: 100 });
          const bytes = entries.reduce((sum, entry) => sum + entry.key.length + entry.value.length, 0);
          const [found] = world.hints.ledger.waiting().filter((one) => one.target === target);
          assert.deepEqual([found?.count ?? 0, found?.bytes ?? 0], [entries.length, bytes]);
          assert.deepEqual(world.hints.ledger.partitionsOf(target), entries.length > 0 ? [PARTITION] : []);
          total += bytes;
        }
        assert.equal(world.hints.ledger.bytes(), total);
      }),
      { numRuns: 40 },
    );
  });

  it("is right also where what failed surfaced, and memory held what had been there before", async () => {
    const world = await createHintsWorld({ cacheBytes: 1 << 20 });
    for (let counter = 1; counter <= 60; counter += 3) {
      await world.store("a", "k", recordOf("short", counter), true);
      world.disk.failNextWrite();
      await orRefused(world.store("a", "k", recordOf("much longer than that", counter + 1), true));
      await world.settled(world.hints.read(PARTITION, bytesOf("k")));
      await world.pass(5_000);
      await world.store("a", "k", recordOf("end", counter + 2), true);
      const bytes = world.onDisk().reduce((sum, { key, value }) => sum + key.length + value.length, 0);
      assert.equal(world.hints.ledger.bytes(), bytes);
    }
  });

  it("keeps over a restart which hints a quorum counted", async () => {
    const world = await createHintsWorld();
    await world.store("a", "counted", recordOf("1"), true);
    await world.store("a", "surplus", recordOf("2"), false);
    world.kill();
    await world.start();
    const { hints } = await world.settled(world.hints.page({ partition: PARTITION, target: "a", from: undefined }, 10));
    const counted = hints.map(({ place, hint }) => [new TextDecoder().decode(place.key), hint.counted]);
    assert.deepEqual(counted.sort(), [
      ["counted", true],
      ["surplus", false],
    ]);
  });
});

describe("a damaged hint", () => {
  it("is set aside and counted, whoever finds it; the others are delivered, and the budget is right", async () => {
    for (const finder of ["page", "read", "store"] as const) {
      const world = await createHintsWorld();
      for (const key of ["k1", "k2", "k3"]) await world.store("a", key, recordOf(key), true);
      const at = hintKey({ partition: PARTITION, target: "a", key: bytesOf("k2") });
      world.kill();
      assert(world.disk.flipBit(at));
      const [damaged] = world.disk.entries({ from: at, until: Buffer.concat([at, Uint8Array.of(0)]), limit: 1 });
      await world.start();
      await world.pass(100);
      assert.deepEqual(world.waiting(), { a: 3 });
      if (finder === "page") {
        const range = { partition: PARTITION, target: "a", from: undefined };
        const { hints } = await world.settled(world.hints.page(range, 10));
        assert.deepEqual(
          hints.map(({ place }) => new TextDecoder().decode(place.key)),
          ["k1", "k3"],
        );
      } else if (finder === "read") {
        assert.equal(await world.settled(world.hints.read(PARTITION, bytesOf("k2"))), undefined);
      } else await world.store("a", "k2", recordOf("anew", 9), false);
      const left = finder === "store" ? 3 : 2;
      await world.pass(100);
      assert.deepEqual(world.waiting(), { a: left });
      assert.equal(world.telemetry.counted("annulus.store.corrupt_records"), 1);
      assert(world.telemetry.events.includes("hint.corrupt"));
      const aside = world.disk.entries({ ...wholeRange(), limit: 1_000 }).find(({ key }) => {
        return Buffer.from(key).equals(hintQuarantineKey(at));
      });
      assert.deepEqual(Buffer.from(aside?.value ?? []), Buffer.from(damaged?.value ?? assert.fail("it was there")));
      const kept = world.onDisk();
      assert.equal(kept.length, left);
      for (const { value } of kept) decodeHint(value);
      assert.equal(
        world.hints.ledger.bytes(),
        kept.reduce((sum, { key, value }) => sum + key.length + value.length, 0),
      );
    }
  });
});
