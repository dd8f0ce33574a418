/** The short simulation of operators and nodes together, for the fast tier, and the seeds that once broke it. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { runScenario, type Size } from "../scenario.ts";

const SEED_COUNT = 5;

/** Seeds that broke a promise, and why. */
const SEEDS: readonly { readonly seed: number; readonly size: Size; readonly why: string }[] = [
  { seed: 3, size: "counted", why: "a change waited for a lost member, whose replacement waited for the change" },
  {
    seed: 26,
    size: "counted",
    why: "a member with a new disk was asked out of the ring, and its pod then kept for ever",
  },
  { seed: 73, size: "counted", why: "a member joined while another operator took its pod away, and never got it back" },
];

describe("operators and nodes in a simulated Kubernetes", () => {
  it(`keep their promises over seeds 1 to ${SEED_COUNT}`, async () => {
    let scales = 0;
    for (let seed = 1; seed <= SEED_COUNT; seed++) scales += (await runScenario({ seed, operator: true })).scales;
    assert(scales >= SEED_COUNT, `enough happened to show anything: ${scales} changes of the size`);
  }, 600_000);

  it.each(SEEDS)(
    "keep them where they once did not: seed $seed, $why",
    async ({ seed, size }) => {
      await runScenario({ seed, size, operator: true });
    },
    300_000,
  );

  it("give the same run for the same seed", async () => {
    const [first, second] = [
      await runScenario({ seed: 7, operator: true }),
      await runScenario({ seed: 7, operator: true }),
    ];
    assert.deepEqual(first, second);
  }, 300_000);
});
