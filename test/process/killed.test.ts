/** SIGKILL under load, again and again: one node, two at once, all of them; each is started again and all must come to rest. */
import { afterEach, describe, expect, it } from "@jest/globals";
import { sleep } from "../bench/processes.ts";
import { createSeededRandom } from "../sim/random.ts";
import { SEED, World } from "./world.ts";

let world: World | undefined;
afterEach(async () => {
  await world?.remove();
  world = undefined;
}, 60_000);

const random = createSeededRandom(SEED).stream("kills");

/** Kills so many nodes at once, any of them; starts them again after a while, and lets them run for a while. */
async function kill({ cluster }: World, count: number): Promise<void> {
  const victims = random.shuffle(cluster.nodes).slice(0, count);
  await Promise.all(victims.map((victim) => cluster.killNode(victim)));
  await sleep(random.between(100, 1_800));
  await Promise.all(victims.map((victim) => cluster.startNode(victim)));
  await sleep(random.between(300, 1_200));
}

describe("SIGKILL under load", () => {
  it("loses nothing on three nodes in three zones, strict", async () => {
    world = await World.create({ zones: ["a", "b", "c"], mode: "strict" });
    const clients = world.load();
    await sleep(1_000);
    for (const count of [1, 1, 2, 1, 3, 2]) await kill(world, count);
    clients.checkSoFar();
    await world.rest("SIGKILL of one to three of three, strict");
    expect(clients.counters.acknowledged).toBeGreaterThan(500);
    expect(clients.counters.retries).toBeGreaterThan(0);
  });

  it("loses nothing on five nodes in three zones, sloppy", async () => {
    world = await World.create({ zones: ["a", "a", "b", "b", "c"], mode: "sloppy" });
    const clients = world.load();
    await sleep(1_000);
    for (const count of [1, 2, 3, 2, 5]) await kill(world, count);
    clients.checkSoFar();
    await world.rest("SIGKILL of one to five of five, sloppy");
    expect(clients.counters.acknowledged).toBeGreaterThan(500);
    expect(clients.counters.retries).toBeGreaterThan(0);
  });
});
