import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { createBudget } from "../../node/services/budget.ts";
import { createRecordedTelemetry } from "../contract/recorded-telemetry.ts";
import { createSeededRandom } from "../sim/random.ts";
import { Simulator } from "../sim/simulator.ts";

const MIB = 1 << 20;
const RATES = { bytesPerSecondMax: 8 * MIB, bytesPerSecondMin: MIB / 8 };

/** @param partBytes What the spender asks for at once. */
function createWorld(partBytes = 16_384) {
  const simulator = new Simulator();
  const time = simulator.timeOf(simulator.createProcess("node"));
  const budget = createBudget({ time, telemetry: createRecordedTelemetry() }, RATES);
  const random = createSeededRandom(1).stream("latencies");
  const world = {
    simulator,
    budget,
    partBytes,
    spent: 0,
    /** Clients that are answered 200 times a second, from now on, after about `usualMs` with a tail. */
    clients: { usualMs: 0, perSecond: 200 },
    async pass(seconds: number): Promise<void> {
      await simulator.runUntil(simulator.nowMs + seconds * 1_000);
    },
  };
  const serve = () => {
    const { usualMs, perSecond } = world.clients;
    if (usualMs > 0) budget.served(usualMs * (0.5 + random.below(1_000) / 1_000) * (random.chance([1, 50]) ? 2 : 1));
    simulator.after(1_000 / perSecond, serve);
  };
  serve();
  return world;
}

/** A spender that takes all that it is given. */
async function spendAll(world: ReturnType<typeof createWorld>): Promise<never> {
  for (;;) {
    await world.budget.spend(world.partBytes);
    world.spent += world.partBytes;
  }
}

function spendFrom(world: ReturnType<typeof createWorld>): void {
  void spendAll(world);
}

describe("the budget of background work", () => {
  it("lets through what its rate says, and no more, when there are no clients", async () => {
    const world = createWorld();
    spendFrom(world);
    await world.pass(100);
    const rate = world.spent / 100;
    assert(rate > 0.99 * RATES.bytesPerSecondMax && rate < 1.01 * RATES.bytesPerSecondMax, `${rate} bytes a second`);
  });

  it("lets callers go in turn, and a part larger than the bucket too, which the next ones wait for", async () => {
    const world = createWorld();
    const { budget, simulator } = world;
    const ends: [string, number][] = [];
    const spend = (name: string, bytes: number) =>
      budget.spend(bytes).then(() => {
        ends.push([name, simulator.nowMs]);
      });
    const all = [spend("large", 16 * MIB), spend("small", 1), spend("smaller", 0)];
    await world.pass(10);
    await Promise.all(all);
    assert.deepEqual(
      ends.map(([name]) => name),
      ["large", "small", "smaller"],
    );
    // 16 MiB less the quarter second that was in the bucket, at 8 MiB a second.
    assert.equal(ends[0]?.[1], 0);
    assert(Math.abs((ends[1]?.[1] ?? 0) - 1_750) < 5, `the small one went at ${ends[1]?.[1]} ms`);
  });

  it("leaves the clients alone while their latencies stay as they usually are", async () => {
    const world = createWorld();
    world.clients.usualMs = 5;
    spendFrom(world);
    await world.pass(300);
    assert(world.spent / 300 > 0.9 * RATES.bytesPerSecondMax, `${world.spent / 300} bytes a second`);
  });

  it("gives way within seconds when latencies rise, down to its floor, and takes its rate back afterwards", async () => {
    const world = createWorld();
    world.clients.usualMs = 5;
    spendFrom(world);
    await world.pass(120);
    world.clients.usualMs = 40;
    await world.pass(15);
    assert.equal(world.budget.rate(), RATES.bytesPerSecondMin);
    world.spent = 0;
    await world.pass(10);
    const rate = world.spent / 10;
    assert(rate > 0.8 * RATES.bytesPerSecondMin && rate < 1.3 * RATES.bytesPerSecondMin, `${rate} bytes a second`);
    world.clients.usualMs = 5;
    await world.pass(60);
    assert.equal(world.budget.rate(), RATES.bytesPerSecondMax);
  });

  it("takes for usual, in time, what lasts: a machine that is slow for good still repairs", async () => {
    const world = createWorld(1 << 18);
    Object.assign(world.clients, { usualMs: 5, perSecond: 50 });
    spendFrom(world);
    await world.pass(120);
    world.clients.usualMs = 40;
    await world.pass(60);
    assert.equal(world.budget.rate(), RATES.bytesPerSecondMin);
    await world.pass(1_140);
    assert.equal(world.budget.rate(), RATES.bytesPerSecondMax);
  });

  it("takes a few answers for no evidence", async () => {
    const world = createWorld();
    world.clients.usualMs = 5;
    spendFrom(world);
    await world.pass(120);
    Object.assign(world.clients, { usualMs: 400, perSecond: 10 });
    await world.pass(60);
    assert.equal(world.budget.rate(), RATES.bytesPerSecondMax);
  });
});
