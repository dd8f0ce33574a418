/** Hints on their way to where they belong: who gets them, how fast, and when they are removed. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { KvError } from "../../node/core/errors.ts";
import { bytesOf, createHintsWorld, PARTITION, recordOf, ringOf, WINDOW_MS } from "./hints-world.ts";

const refuse = (code: "OVERLOADED" | "PEER_UNREACHABLE" | "TIMED_OUT" | "STALE_RING") => () =>
  Promise.reject(new KvError(code, "Cannot take it."));
const keysOf = (sent: readonly { readonly request: { readonly key: Uint8Array } }[]) =>
  sent.map(({ request }) => new TextDecoder().decode(request.key)).sort();

describe("hints for a target", () => {
  it("wait while it is down, are sent once it is up, and are removed when it acknowledged them", async () => {
    const world = await createHintsWorld();
    world.up.delete("a");
    for (const key of ["k1", "k2"]) await world.store("a", key, recordOf(key), true);
    world.delivery.start();
    await world.pass(10_000);
    assert.deepEqual([world.sent.length, world.waiting()], [0, { a: 2 }]);
    world.up.add("a");
    await world.pass(2_000);
    assert.deepEqual(keysOf(world.sent), ["k1", "k2"]);
    assert(world.sent.every(({ to, request }) => to === "a" && request.hint === undefined));
    assert.deepEqual([world.waiting(), world.onDisk().length], [{}, 0]);
    assert.equal(world.telemetry.counted("annulus.hints.delivered"), 2);
  });

  it.each(["OVERLOADED", "PEER_UNREACHABLE", "TIMED_OUT", "STALE_RING"] as const)(
    "stay for as long as it answers %s, and are tried again at growing distances",
    async (code) => {
      const world = await createHintsWorld();
      await world.store("a", "k", recordOf("v"), true);
      world.answers.set("a", refuse(code));
      world.delivery.start();
      await world.pass(60_000);
      assert.deepEqual(world.waiting(), { a: 1 });
      assert(world.sent.length >= 10 && world.sent.length <= 30, `${world.sent.length} attempts`);
      assert.equal(world.telemetry.counted("annulus.hints.failed"), world.sent.length);
      world.answers.delete("a");
      await world.pass(6_000);
      assert.deepEqual(world.waiting(), {});
    },
  );

  it("of one partition that cannot be read hold up those of no other", async () => {
    const world = await createHintsWorld();
    const record = recordOf("v");
    await world.store("a", "unreadable", record, true);
    const other = { partition: PARTITION + 1, target: "a", key: bytesOf("readable") };
    await world.settled(world.hints.store(other, record, true));
    const page = world.hints.page.bind(world.hints);
    world.hints.page = (place, limit) =>
      place.partition === PARTITION
        ? Promise.reject(new KvError("STORAGE_FAILED", "Cannot read: a block is damaged."))
        : page(place, limit);
    world.delivery.start();
    await world.pass(10_000);
    assert.deepEqual(keysOf(world.sent), ["readable"]);
    assert.deepEqual(world.waiting(), { a: 1 });
  });

  it("are not removed when something came while they were under way", async () => {
    const world = await createHintsWorld();
    await world.store("a", "k", recordOf("old", 1), true);
    let acknowledge = () => {};
    world.answers.set("a", () => {
      world.answers.delete("a");
      return new Promise<void>((resolve) => {
        acknowledge = resolve;
      });
    });
    world.delivery.start();
    await world.pass(1_000);
    await world.store("a", "k", recordOf("new", 2), true);
    acknowledge();
    await world.pass(100);
    assert.deepEqual(world.waiting(), { a: 1 }, "the newer write is still to be delivered");
    await world.pass(2_000);
    assert.equal(world.sent.length, 2);
    assert.deepEqual(world.waiting(), {});
  });

  it("survive a restart of the one who keeps them, and are delivered by the next", async () => {
    const world = await createHintsWorld();
    for (let i = 0; i < 300; i++) await world.store("a", `k${i}`, recordOf("v"), i % 2 === 0);
    world.kill();
    await world.start();
    world.delivery.start();
    await world.pass(10_000);
    assert.equal(new Set(keysOf(world.sent)).size, 300);
    assert.deepEqual([world.waiting(), world.onDisk().length], [{}, 0]);
  });

  it("are sent no faster than the budget of background work allows", async () => {
    const world = await createHintsWorld({ bytesPerSecond: 10_000, bytesMax: 1 << 20 });
    for (let i = 0; i < 100; i++) await world.store("a", `k${100 + i}`, recordOf("v".repeat(900)), true);
    const startMs = world.simulator.nowMs;
    world.delivery.start();
    await world.pass(5_000);
    const early = world.sent.length;
    assert(early >= 40 && early <= 60, `${early} of 1 KB each in 5 s`);
    await world.pass(15_000);
    assert.equal(world.sent.length, 100);
    assert((world.sent.at(-1)?.atMs ?? 0) - startMs > 8_000);
    assert.deepEqual(world.waiting(), {});
  });

  it("do not wait behind those for a target that does not answer", async () => {
    const world = await createHintsWorld();
    await world.store("a", "k", recordOf("v"), true);
    await world.store("b", "k", recordOf("v"), true);
    world.answers.set("a", () => new Promise(() => {}));
    world.delivery.start();
    await world.pass(3_000);
    assert.deepEqual(world.waiting(), { a: 1 });
  });
});

describe("hints for a member that is no home any more", () => {
  it("go to all present homes, and are removed when W of them acknowledged, whether the target is up or not", async () => {
    for (const isUp of [true, false]) {
      const world = await createHintsWorld();
      await world.store("a", "k", recordOf("v"), true);
      if (!isUp) world.up.delete("a");
      world.ring = ringOf(["b", "c", "d"]);
      world.answers.set("b", refuse("PEER_UNREACHABLE"));
      world.answers.set("c", refuse("PEER_UNREACHABLE"));
      world.delivery.start();
      await world.pass(5_000);
      assert.deepEqual([...new Set(world.sent.map(({ to }) => to))].sort(), ["b", "c", "d"]);
      assert.deepEqual(world.waiting(), { a: 1 }, "one acknowledgement of two is not enough");
      world.answers.delete("c");
      await world.pass(10_000);
      assert.deepEqual([world.waiting(), world.onDisk().length], [{}, 0]);
    }
  });

  it("go to the homes also where the target has left the ring", async () => {
    const world = await createHintsWorld();
    await world.store("gone", "k", recordOf("v"), true);
    world.delivery.start();
    await world.pass(2_000);
    assert.deepEqual([...new Set(world.sent.map(({ to }) => to))].sort(), ["a", "b", "c"]);
    assert.deepEqual(world.waiting(), {});
  });
});

describe("hints whose target does not come back", () => {
  it("expire when no quorum counted them, three hours after the last write, and stay when one did", async () => {
    const world = await createHintsWorld();
    world.up.delete("a");
    await world.store("a", "counted", recordOf("1", 1), true);
    await world.store("a", "surplus", recordOf("2", 2), false);
    await world.store("a", "both", recordOf("3", 3), false);
    await world.store("a", "both", recordOf("3", 3), true);
    world.delivery.start();
    await world.pass(WINDOW_MS / 2);
    await world.store("a", "later", recordOf("4", 4), false);
    await world.pass(WINDOW_MS / 2 - 10_000);
    assert.deepEqual(world.waiting(), { a: 4 });
    await world.pass(20_000);
    assert.deepEqual([world.waiting(), world.telemetry.counted("annulus.hints.expired")], [{ a: 3 }, 1]);
    await world.pass(WINDOW_MS);
    assert.deepEqual([world.waiting(), world.telemetry.counted("annulus.hints.expired")], [{ a: 2 }, 2]);
    await world.pass(10 * WINDOW_MS);
    assert.deepEqual(world.waiting(), { a: 2 });
    const kept = await world.settled(world.hints.read(3, bytesOf("counted")));
    assert.deepEqual(Buffer.from(kept ?? []), Buffer.from(recordOf("1", 1)));
  }, 60_000);

  it("expire after a restart as they would have without one", async () => {
    const world = await createHintsWorld();
    world.up.delete("a");
    await world.store("a", "surplus", recordOf("2", 2), false);
    await world.pass(WINDOW_MS - 60_000);
    world.kill();
    await world.start();
    world.delivery.start();
    await world.pass(30_000);
    assert.deepEqual(world.waiting(), { a: 1 });
    await world.pass(60_000);
    assert.deepEqual(world.waiting(), {});
  });
});
