/**
 * A cluster whose members are of two releases, for as long as an upgrade takes and for as long as it takes to go back: one after the
 * other is stopped, and started from the other build, under a load that notices nothing once it has tried again.
 */
import assert from "node:assert/strict";
import { rmSync } from "node:fs";
import { afterEach, describe, expect, it } from "@jest/globals";
import { LocalCluster } from "../bench/cluster.ts";
import { sleep } from "../bench/processes.ts";
import { ask } from "./http.ts";
import { nextFormat, nextRelease, previousRelease } from "./releases.ts";
import { World } from "./world.ts";

/** Under which each mixture stays, in ms. */
const MIXED_MS = 1_500;
const AROUND_MS = 1_000;

let world: World | undefined;
let cluster: LocalCluster | undefined;
afterEach(async () => {
  await world?.remove();
  await cluster?.stop();
  world = undefined;
  cluster = undefined;
}, 60_000);

async function restartAll(of: World, checkout: string | undefined): Promise<void> {
  for (const node of of.cluster.nodes) {
    assert.equal(await node.server?.stop(), true, `${node.name} stops in time`);
    node.checkout = checkout;
    await of.cluster.startNode(node);
    await sleep(MIXED_MS);
  }
}

const previous = previousRelease();
const others = [
  ["the next release", nextRelease],
  ...(previous === undefined ? [] : [[`the release before, ${previous.tag}`, () => previous.directory] as const]),
] as const;

describe("members of two releases in one cluster", () => {
  it.each(others)("serve as one, and go to %s and back under load", async (name, build) => {
    const checkout = build();
    world = await World.create({ zones: ["a", "b", "c"], mode: "strict" });
    const clients = world.load({ allNamed: true, writeQuery: "w=2", readQuery: "r=2" });
    await sleep(AROUND_MS);
    await restartAll(world, checkout);
    const there = { ...clients.counters };
    await restartAll(world, undefined);
    await sleep(AROUND_MS);
    clients.checkSoFar();
    const { readsFailed, writesRefused, writesUnknown, operations } = clients.counters;
    await world.rest(`to ${name} and back`);
    expect({ readsFailed, writesRefused, writesUnknown }).toEqual({
      readsFailed: 0,
      writesRefused: 0,
      writesUnknown: 0,
    });
    expect(there.operations).toBeGreaterThan(200);
    expect(operations).toBeGreaterThan(there.operations + 200);
  });
});

describe("a data directory that a newer release wrote in a form of its own", () => {
  it("is refused by this one, which says what to do and leaves it as it is", async () => {
    cluster = await LocalCluster.start({ nodeCount: 1, settings: { ANNULUS_N: "1", ANNULUS_R: "1", ANNULUS_W: "1" } });
    const [node] = cluster.nodes;
    assert(node !== undefined);
    await cluster.stopProcesses();
    rmSync(node.dataDirectory, { recursive: true });
    node.checkout = nextFormat();
    await cluster.startNode(node);
    expect((await ask(node, "PUT", "pair", { body: "kept" })).status).toBe(204);
    await cluster.stopProcesses();
    node.checkout = undefined;
    await expect(cluster.startNode(node)).rejects.toThrow(
      /it has format 3, this release reads up to 2\. Start a newer release/,
    );
    node.checkout = nextFormat();
    await cluster.startNode(node);
    expect((await ask(node, "GET", "pair")).body.toString()).toBe("kept");
  });
});
