/** The short simulation of the fast tier: a few seeds hold, and one seed gives one run. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { FAULT_KINDS } from "./faults.ts";
import { runScenario, type ScenarioResult } from "./scenario.ts";
import { CHURN_SEEDS, SEEDS } from "./seeds.ts";

const FIRST_SEED = 1;
const SEED_COUNT = 24;
const CHURN_COUNT = 8;

describe("a simulated cluster", () => {
  const results: ScenarioResult[] = [];

  it(`keeps its promises over seeds ${FIRST_SEED} to ${FIRST_SEED + SEED_COUNT - 1}`, async () => {
    for (let seed = FIRST_SEED; seed < FIRST_SEED + SEED_COUNT; seed++) results.push(await runScenario({ seed }));
  }, 600_000);

  it(`keeps them while the ring changes, over seeds ${FIRST_SEED} to ${FIRST_SEED + CHURN_COUNT - 1}`, async () => {
    let done = 0;
    for (let seed = FIRST_SEED; seed < FIRST_SEED + CHURN_COUNT; seed++) {
      done += (await runScenario({ seed, churn: true })).changes;
    }
    assert(done >= CHURN_COUNT, "as many changes as runs were brought to their end");
  }, 600_000);

  it.each(CHURN_SEEDS)(
    "keeps them while the ring changes where it once did not: seed $seed, $why",
    async ({ seed, size }) => {
      await runScenario({ seed, size, churn: true });
    },
    300_000,
  );

  it.each(SEEDS)(
    "keeps them where it once did not: seed $seed, $why",
    async ({ seed, size }) => {
      results.push(await runScenario({ seed, size }));
    },
    300_000,
  );

  it("met every kind of fault on the way, and every rare path of reading and writing", () => {
    const met = new Map<string, number>();
    for (const { faults, counters } of results) {
      for (const [name, times] of [...Object.entries(faults), ...Object.entries(counters)]) {
        met.set(name, (met.get(name) ?? 0) + times);
      }
    }
    const wanted = [
      ...FAULT_KINDS,
      "lost",
      "duplicated",
      "reordered",
      "annulus.read.hedges",
      "annulus.read.repairs",
      "annulus.read.write_backs",
      "annulus.write.stamp_retries",
      "annulus.write.replicas_missed",
      "annulus.transport.expired_requests",
    ];
    assert.deepEqual(
      wanted.filter((name) => (met.get(name) ?? 0) === 0),
      [],
      "these were never met",
    );
  });

  it("gives the same run for the same seed, also while the ring changes, and of the size that counts", async () => {
    const [first, second] = [await runScenario({ seed: 7 }), await runScenario({ seed: 7 })];
    assert.deepEqual(first, second);
    assert.notEqual(first.hash, (await runScenario({ seed: 8 })).hash);
    for (const options of [
      { seed: 7, churn: true },
      { seed: 7, size: "counted" },
    ] as const)
      assert.deepEqual(await runScenario(options), await runScenario(options), JSON.stringify(options));
  }, 300_000);
});
