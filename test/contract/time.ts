/** What every `Time` and `Random` must do; run on the machine's and on the simulated ones. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import type { Random, Time } from "../../node/ports.ts";

/**
 * @param name Implementation under test.
 * @param world Makes the clock and `pass`, which lets `durationMs` of its time go by.
 */
export function timeContract(name: string, world: () => { time: Time; pass: (durationMs: number) => Promise<void> }) {
  describe(`time of ${name}`, () => {
    it("never runs a call before its delay is over", async () => {
      const { time, pass } = world();
      const early: number[] = [];
      const delaysMs = [0, 0.3, 1, 2.5, 4, 7, 7, 12];
      for (const delayMs of delaysMs) {
        const dueMs = time.monotonicMs() + delayMs;
        time.after(delayMs, () => early.push(dueMs - time.monotonicMs()));
      }
      await pass(40);
      assert.equal(early.length, delaysMs.length);
      assert.ok(
        early.every((earlyMs) => earlyMs <= 0),
        `ran early: ${early}`,
      );
    });

    it("runs calls in the order in which they are due", async () => {
      const { time, pass } = world();
      const order: string[] = [];
      time.after(20, () => order.push("last"));
      time.after(2, () => order.push("first"));
      time.after(10, () => order.push("second"));
      await pass(60);
      assert.deepEqual(order, ["first", "second", "last"]);
    });

    it("does not run a cancelled call, and cancelling again or too late does nothing", async () => {
      const { time, pass } = world();
      let runs = 0;
      const cancelled = time.after(2, () => {
        runs += 1;
      });
      const kept = time.after(2, () => {
        runs += 1;
      });
      cancelled.cancel();
      cancelled.cancel();
      await pass(20);
      kept.cancel();
      assert.equal(runs, 1);
    });

    it("lets a call set the next one", async () => {
      const { time, pass } = world();
      let runs = 0;
      const again = () => {
        runs += 1;
        if (runs < 3) time.after(1, again);
      };
      time.after(1, again);
      await pass(40);
      assert.equal(runs, 3);
    });

    it("does not run a call of the far future at once", async () => {
      const { time, pass } = world();
      let runs = 0;
      const timer = time.after(2 ** 33, () => {
        runs += 1;
      });
      await pass(5);
      timer.cancel();
      assert.equal(runs, 0);
    });

    it("has a clock that never goes back", () => {
      const { time } = world();
      let lastMs = time.monotonicMs();
      for (let i = 0; i < 1000; i += 1) {
        const nowMs = time.monotonicMs();
        assert.ok(nowMs >= lastMs);
        lastMs = nowMs;
      }
    });
  });
}

/** @param make A fresh generator. */
export function randomContract(name: string, make: () => Random) {
  describe(`randomness of ${name}`, () => {
    it("draws whole numbers over all of 32 bits", () => {
      const random = make();
      let ones = 0;
      let zeros = 0;
      for (let i = 0; i < 4096; i += 1) {
        const draw = random.uint32();
        assert.ok(Number.isInteger(draw) && draw >= 0 && draw < 2 ** 32);
        ones |= draw;
        zeros |= ~draw;
      }
      assert.equal(ones >>> 0, 0xffffffff);
      assert.equal(zeros >>> 0, 0xffffffff);
    });

    it("gives arrays that belong to the caller: of the length asked for, never shared, never the same", () => {
      const random = make();
      const seen = new Set<string>();
      const draws = [0, 1, 8, 16, 255, 256, 257, 9000].map((count) => ({ count, bytes: random.bytes(count) }));
      for (const { count, bytes } of draws) assert.equal(bytes.length, count);
      for (let i = 0; i < 2000; i += 1) seen.add(Buffer.from(random.bytes(16)).toString("hex"));
      assert.equal(seen.size, 2000);
      const kept = random.bytes(16);
      const before = Buffer.from(kept).toString("hex");
      for (let i = 0; i < 2000; i += 1) random.bytes(16).fill(0);
      assert.equal(Buffer.from(kept).toString("hex"), before);
    });
  });
}
