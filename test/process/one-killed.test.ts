/**
 * Three nodes in three zones, one of them SIGKILLed under load and started again: what clients notice is nothing, once they
 * have tried again (at most three times, after 100, 200 and 400 ms, with the same Idempotency-Key, through the next node).
 */
import { afterEach, describe, expect, it } from "@jest/globals";
import { sleep } from "../bench/processes.ts";
import { viewOf } from "./rest.ts";
import { World } from "./world.ts";

const BEFORE_MS = 3_000;
const AWAY_MS = 8_000;
const AFTER_MS = 3_000;
/** At the default interval of gossip, which is a second. */
const DOWN_WITHIN_MS = 10_000;
const POLL_MS = 20;

let world: World | undefined;
afterEach(async () => {
  await world?.remove();
  world = undefined;
}, 60_000);

/** How long it took until both of the others called the node down. */
async function timeToDown(of: World, victim: string): Promise<number> {
  const startedMs = performance.now();
  for (;;) {
    const others = of.cluster.nodes.filter(({ name }) => name !== victim);
    const views = await Promise.all(others.map(viewOf));
    const isDown = views.every(({ members }) => members.find(({ name }) => name === victim)?.health === "down");
    const tookMs = performance.now() - startedMs;
    if (isDown) return tookMs;
    expect(tookMs).toBeLessThan(DOWN_WITHIN_MS);
    await sleep(POLL_MS);
  }
}

describe("one of three nodes SIGKILLed under load, at w=2 r=2", () => {
  it.each(["sloppy", "strict"] as const)("costs no client an error after retries, and no write (%s)", async (mode) => {
    // As a user has it: 512 partitions.
    world = await World.create({ zones: ["a", "b", "c"], mode, settings: { ANNULUS_PARTITIONS: "512" } });
    const clients = world.load({ allNamed: true, writeQuery: "w=2", readQuery: "r=2" });
    await sleep(BEFORE_MS);
    const victim = world.node(1);
    const { operations, retries } = { ...clients.counters };
    await world.cluster.killNode(victim);
    const downMs = await timeToDown(world, victim.name);
    await sleep(Math.max(0, AWAY_MS - downMs));
    const away = { operations: clients.counters.operations - operations, retries: clients.counters.retries - retries };
    const readyMs = await world.cluster.startNode(victim);
    await sleep(AFTER_MS);
    clients.checkSoFar();
    const { readsFailed, writesRefused, writesUnknown } = clients.counters;
    await world.rest(`one of three SIGKILLed, ${mode}`);
    process.stdout.write(
      `  down in both others' eyes after ${downMs.toFixed(0)} ms; ${away.operations} operations while it was away, ${away.retries} tries more; ready again ${readyMs.toFixed(0)} ms after its start\n`,
    );
    expect({ readsFailed, writesRefused, writesUnknown }).toEqual({
      readsFailed: 0,
      writesRefused: 0,
      writesUnknown: 0,
    });
    expect(away.operations).toBeGreaterThan(500);
    expect(away.retries).toBeGreaterThan(0);
  });
});
