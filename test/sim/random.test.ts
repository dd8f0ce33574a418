import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import fc from "fast-check";
import { randomContract } from "../contract/time.ts";
import { createSeededRandom } from "./random.ts";

randomContract("the simulator", () => createSeededRandom(1));

const draws = (random: { uint32(): number }, count = 8) => Array.from({ length: count }, () => random.uint32());

describe("a seeded generator", () => {
  it("draws the same for the same seed and something else for every other", () => {
    const seen = new Set<string>();
    for (let seed = 0; seed < 200; seed++) {
      const drawn = draws(createSeededRandom(seed)).join();
      assert.equal(drawn, draws(createSeededRandom(seed)).join());
      seen.add(drawn);
    }
    assert.equal(seen.size, 200);
  });

  it("has streams that do not depend on what was drawn beside them", () => {
    const untouched = createSeededRandom(7);
    const used = createSeededRandom(7);
    draws(used, 100);
    draws(used.stream("disk"), 100);
    assert.deepEqual(draws(used.stream("network")), draws(untouched.stream("network")));
    assert.notDeepEqual(draws(used.stream("network")), draws(used.stream("disk")));
    assert.notDeepEqual(draws(used.stream("a").stream("b")), draws(used.stream("b").stream("a")));
  });

  it("draws whole numbers below a bound, all of them equally often", () => {
    const random = createSeededRandom(3);
    const counts = new Array<number>(7).fill(0);
    for (let index = 0; index < 70_000; index++) {
      const drawn = random.below(7);
      counts[drawn] = (counts[drawn] ?? 0) + 1;
    }
    // Four standard deviations of a binomial distribution with 70,000 draws and p = 1/7.
    for (const count of counts) assert(Math.abs(count - 10_000) < 4 * Math.sqrt(10_000 * (6 / 7)), `${counts}`);
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 2 ** 32 }), (bound) => {
        const drawn = random.below(bound);
        return Number.isInteger(drawn) && drawn >= 0 && drawn < bound;
      }),
    );
    assert.throws(() => random.below(0), /bound/);
  });

  it("meets both ends of a range", () => {
    const random = createSeededRandom(3);
    const seen = new Set(Array.from({ length: 200 }, () => random.between(-1, 2)));
    assert.deepEqual(
      [...seen].sort((a, b) => a - b),
      [-1, 0, 1, 2],
    );
  });

  it("keeps to exact ratios, and draws nothing for what cannot happen", () => {
    const random = createSeededRandom(9);
    let hits = 0;
    for (let index = 0; index < 30_000; index++) if (random.chance([1, 3])) hits++;
    assert(Math.abs(hits - 10_000) < 4 * Math.sqrt(10_000 * (2 / 3)), `${hits}`);
    assert.equal(random.chance([1, 1]), true);
    const twin = createSeededRandom(11);
    const other = createSeededRandom(11);
    for (let index = 0; index < 5; index++) assert.equal(twin.chance([0, 1]), false);
    assert.deepEqual(draws(twin), draws(other));
  });

  it("picks and shuffles without loss", () => {
    const random = createSeededRandom(2);
    const items = [1, 2, 3, 4, 5];
    const orders = new Set(Array.from({ length: 500 }, () => random.shuffle(items).join("")));
    assert(orders.size > 100, "most of the 120 orders are met");
    for (const order of orders) assert.equal([...order].sort().join(""), "12345");
    assert.deepEqual(new Set(Array.from({ length: 100 }, () => random.pick(items))), new Set(items));
    assert.throws(() => random.pick([]), /something/);
  });
});
