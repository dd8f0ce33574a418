/** A stand-in that stamps, told as stories: what it gave away with a hint, and what it keeps for others, counts for its next stamp. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { KvError } from "../../node/core/errors.ts";
import { hintsRange } from "../../node/core/keyspace.ts";
import type { Base, Coordinator } from "../../node/services/coordinator.ts";
import { settled } from "./answers.ts";
import { SimulatedCluster } from "./cluster.ts";

const NEVER_MS = 31_536_000_000;
const KEY = new TextEncoder().encode("key");

/** A cluster of which one member is no home of the key; without anti-entropy, so that only hints and reads bring anything. */
async function startCluster() {
  const cluster = new SimulatedCluster({
    seed: 1,
    nodes: 4,
    zones: 1,
    replicationFactor: 3,
    readQuorum: 2,
    writeQuorum: 1,
    mode: "sloppy",
    durability: "os",
    repairIntervalMs: NEVER_MS,
  });
  await cluster.startAll();
  await cluster.simulator.runUntil(cluster.simulator.nowMs + 2_000);
  const homes = cluster.ring.homes(cluster.ring.partitionOf(KEY)).map(({ name }) => name);
  const standIn = cluster.nodes.find(({ name }) => !homes.includes(name))?.name ?? assert.fail("somebody is no home");
  return { cluster, homes, standIn };
}

type World = Awaited<ReturnType<typeof startCluster>>;

async function answered<T>({ cluster }: World, asking: Promise<T>): Promise<T> {
  const outcome = await settled(cluster.simulator, asking, { withinMs: 10_000, what: "an answer comes" });
  if (outcome.status === "fulfilled") return outcome.value;
  const { reason } = outcome;
  throw reason instanceof KvError ? new assert.AssertionError({ message: reason.message }) : reason;
}

function through({ cluster }: World, name: string): Coordinator {
  return cluster.byName(name).node?.coordinator ?? assert.fail(`${name} serves`);
}

async function put(world: World, name: string, value: string, base: Base): Promise<void> {
  const command = { key: KEY, value: new TextEncoder().encode(value), contentType: "text/plain", base } as const;
  await answered(world, through(world, name).put(command, { timeoutMs: 5_000 }));
}

async function shown(world: World): Promise<readonly string[]> {
  const answer = await answered(world, through(world, world.homes[0] as string).get(KEY, { readQuorum: 3 }));
  return answer.siblings.map(({ value }) => new TextDecoder().decode(value)).sort();
}

/** Cuts some members from all others for as long as `during` takes, and longer than it takes to notice. */
async function cutOff({ cluster }: World, names: readonly string[], during: () => Promise<void>): Promise<void> {
  for (const one of names) {
    for (const { name: other } of cluster.nodes) {
      if (names.includes(other)) continue;
      cluster.network.cut(one, other);
      cluster.network.cut(other, one);
    }
  }
  await cluster.simulator.runUntil(cluster.simulator.nowMs + 15_000);
  await during();
  cluster.network.heal();
  await cluster.simulator.runUntil(cluster.simulator.nowMs + 15_000);
}

describe("a stand-in that stamps", () => {
  it("takes nothing that it gave away with a hint for replaced", async () => {
    const world = await startCluster();
    const { cluster, standIn } = world;
    for (const value of ["first", "second"]) {
      await cutOff(world, [standIn], () => put(world, standIn, value, "sibling"));
      const waiting = cluster.byName(standIn).disk.entries({ ...hintsRange(), limit: 10 });
      assert.equal(waiting.length, 0, "its hint was delivered");
    }
    assert.deepEqual(await shown(world), ["first", "second"]);
  });

  it("builds on what it keeps of the key for other homes", async () => {
    const world = await startCluster();
    const { cluster, homes, standIn } = world;
    // Which home it stamps for is its own affair: it keeps the first value for each of the others in turn.
    for (const away of homes) {
      cluster.crash(cluster.byName(away), "process");
      await cluster.simulator.runUntil(cluster.simulator.nowMs + 15_000);
      await put(world, standIn, `kept for ${away}`, "overwrite");
      // The home comes back behind the cut, so that the hint still waits when the stand-in stamps.
      await cutOff(world, [standIn], async () => {
        cluster.start(cluster.byName(away));
        await put(world, standIn, `over that for ${away}`, "overwrite");
      });
      assert.deepEqual(await shown(world), [`over that for ${away}`]);
    }
  });
});

describe("a read that asks all homes", () => {
  it("waits for one that is up and slower than usual, and counts nobody in its place (seed 401063 of 40b676a)", async () => {
    const world = await startCluster();
    const { cluster, homes, standIn } = world;
    await put(world, homes[0] as string, "value", "overwrite");
    await cluster.simulator.runUntil(cluster.simulator.nowMs + 2_000);
    // Each of them is slow once: whoever the coordinator asks last is among them.
    for (const slow of homes) {
      for (let time = 0; time < 20; time++) await answered(world, through(world, standIn).get(KEY, { readQuorum: 3 }));
      const process = cluster.byName(slow).process ?? assert.fail(`${slow} runs`);
      process.pausedUntilMs = cluster.simulator.nowMs + 150;
      const { receipt } = await answered(world, through(world, standIn).get(KEY, { readQuorum: 3 }));
      assert.deepEqual([receipt.acks, receipt.hinted], [3, 0], `${slow} is waited for`);
    }
  });

  it("asks who stands in where one that is up stays silent", async () => {
    const world = await startCluster();
    const { cluster, homes, standIn } = world;
    await put(world, homes[0] as string, "value", "overwrite");
    await cluster.simulator.runUntil(cluster.simulator.nowMs + 2_000);
    const process = cluster.byName(homes[1] as string).process ?? assert.fail("it runs");
    process.pausedUntilMs = cluster.simulator.nowMs + 2_000;
    const { receipt } = await answered(world, through(world, standIn).get(KEY, { readQuorum: 3 }));
    assert.deepEqual([receipt.acks, receipt.hinted], [3, 1]);
  });
});
