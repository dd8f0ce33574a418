/**
 * Links cut between machines, under load: in one direction, in both, a whole zone; silently, as a network does it, and by
 * a cable that is out.
 */
import { afterEach, describe, expect, it } from "@jest/globals";
import { sleep } from "../bench/processes.ts";
import { World } from "./world.ts";

let world: World | undefined;
afterEach(async () => {
  await world?.remove();
  world = undefined;
}, 60_000);

const CUT_MS = 3_500;
const HEALED_MS = 1_500;

/** Cuts something for a while, then lets it heal for a while. */
async function cutFor({ machines }: World, cut: () => Promise<unknown>, forMs = CUT_MS): Promise<void> {
  await cut();
  await sleep(forMs);
  await machines.heal();
  await sleep(HEALED_MS);
}

describe("links cut under load", () => {
  it("loses nothing on three nodes in three zones, strict", async () => {
    world = await World.create({ zones: ["a", "b", "c"], mode: "strict" });
    const { machines } = world;
    const [a, b, c] = [world.machine(0), world.machine(1), world.machine(2)];
    const clients = world.load();
    await sleep(1_000);
    await cutFor(world, () => machines.cut(a, b));
    await cutFor(world, () => Promise.all([machines.cut(b, c), machines.cut(c, b)]));
    await cutFor(world, () => machines.unplug([c]));
    await cutFor(world, () => machines.isolate([a]));
    clients.checkSoFar();
    await world.rest("one-way cut, cut, unplugged, isolated, of three, strict");
    expect(clients.counters.acknowledged).toBeGreaterThan(500);
    // A cut that nobody noticed was none.
    expect(clients.counters.retries).toBeGreaterThan(0);
  });

  it("loses nothing on five nodes in three zones, sloppy, zone after zone cut off", async () => {
    world = await World.create({ zones: ["a", "a", "b", "b", "c"], mode: "sloppy" });
    const { machines } = world;
    const clients = world.load();
    await sleep(1_000);
    for (const name of ["a", "c"]) {
      const zone = world.zone(name);
      await cutFor(world, () => machines.isolate(zone), 5_500);
    }
    const zone = world.zone("b");
    await cutFor(world, () => machines.unplug(zone));
    const [one, other] = [world.machine(0), world.machine(4)];
    await cutFor(world, () => machines.cut(one, other));
    clients.checkSoFar();
    await world.rest("zones isolated, a zone unplugged, a one-way cut, of five, sloppy");
    expect(clients.counters.acknowledged).toBeGreaterThan(500);
    // A cut that nobody noticed was none.
    expect(clients.counters.retries).toBeGreaterThan(0);
  });
});
