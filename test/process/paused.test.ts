/**
 * SIGSTOP under load: a process that stands still keeps its connections, says nothing, and wakes up with requests in its
 * sockets that nobody waits for any more. `PAUSE_MS` (20,000) is how long the long pause lasts.
 */
import { afterEach, describe, expect, it } from "@jest/globals";
import { sleep } from "../bench/processes.ts";
import { viewOf } from "./rest.ts";
import { World } from "./world.ts";

const PAUSE_MS = Number(process.env.PAUSE_MS ?? 20_000);
const SHORT_PAUSES_MS = [500, 1_500, 4_000];

let world: World | undefined;
afterEach(async () => {
  await world?.remove();
  world = undefined;
}, 60_000);

async function pause(of: World, index: number, forMs: number): Promise<void> {
  of.node(index).server?.pause();
  await sleep(forMs);
  of.node(index).server?.resume();
}

describe("SIGSTOP and SIGCONT under load", () => {
  it("loses nothing on three nodes, strict, paused one after the other", async () => {
    world = await World.create({ zones: ["a", "b", "c"], mode: "strict" });
    const clients = world.load();
    await sleep(1_000);
    for (const [index, forMs] of SHORT_PAUSES_MS.entries()) {
      await pause(world, index, forMs);
      await sleep(1_500);
    }
    clients.checkSoFar();
    await world.rest("SIGSTOP of each of three for 0.5 to 4 s, strict");
    expect(clients.counters.acknowledged).toBeGreaterThan(500);
    expect(clients.counters.retries).toBeGreaterThan(0);
  });

  it(`loses nothing on five nodes, sloppy, one of which stands still for ${PAUSE_MS} ms`, async () => {
    world = await World.create({ zones: ["a", "a", "b", "b", "c"], mode: "sloppy" });
    const clients = world.load();
    await sleep(2_000);
    const paused = pause(world, 4, PAUSE_MS);
    await sleep(PAUSE_MS - 2_000);
    for (const index of [0, 1, 2, 3]) {
      const { members } = await viewOf(world.node(index));
      expect(members.find(({ name }) => name === world?.node(4).name)?.health).toBe("down");
    }
    await paused;
    await sleep(3_000);
    clients.checkSoFar();
    await world.rest(`SIGSTOP of one of five for ${PAUSE_MS} ms, sloppy`);
    expect(clients.counters.acknowledged).toBeGreaterThan(500);
    expect(clients.counters.retries).toBeGreaterThan(0);
  });
});
