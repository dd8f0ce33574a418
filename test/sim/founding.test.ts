/** How a cluster comes by its first ring, with members that start late, not at all, or with an empty disk again. */
import { describe, expect, it } from "@jest/globals";
import { SimulatedCluster } from "./cluster.ts";

function cluster(nodes: number): SimulatedCluster {
  return new SimulatedCluster({
    seed: 1,
    nodes,
    zones: 3,
    replicationFactor: 3,
    readQuorum: 2,
    writeQuorum: 2,
    mode: "strict",
    durability: "disk",
  });
}

/** Whether each member has a ring; undefined while it does not run. That all go by the same one the cluster checks. */
function haveRings({ nodes }: SimulatedCluster): (boolean | undefined)[] {
  return nodes.map(({ node }) => (node === undefined ? undefined : node.status.cluster().ringEpoch > 0));
}

describe("the first ring of a simulated cluster", () => {
  it("is made when a majority of the first members is there and has waited for the others, and not before", async () => {
    const world = cluster(5);
    const [first, second, third] = world.nodes;
    for (const node of [first, second]) if (node !== undefined) world.start(node);
    await world.simulator.runUntil(30_000);
    expect(haveRings(world)).toEqual([false, false, undefined, undefined, undefined]);
    if (third !== undefined) world.start(third);
    await world.simulator.runUntil(38_000);
    expect(haveRings(world)).toEqual([false, false, false, undefined, undefined]);
    await world.simulator.runUntil(43_000);
    expect(haveRings(world)).toEqual([true, true, true, undefined, undefined]);
  });

  it("is given to a member that comes late", async () => {
    const world = cluster(3);
    const [first, second, third] = world.nodes;
    for (const node of [first, second]) if (node !== undefined) world.start(node);
    await world.simulator.runUntil(10_000);
    if (third !== undefined) world.start(third);
    await world.simulator.runUntil(12_000);
    expect(haveRings(world)).toEqual([true, true, true]);
  });

  it("is not made a second time by a member whose disk was exchanged while the others were away", async () => {
    const world = cluster(3);
    await world.startAll();
    for (const node of world.nodes) world.crash(node, "process");
    const [first, second, third] = world.nodes;
    if (first === undefined || second === undefined || third === undefined) throw new Error("three nodes");
    first.disk.wipe();
    world.start(first);
    await world.simulator.runUntil(world.simulator.nowMs + 20_000);
    expect(haveRings(world)).toEqual([false, undefined, undefined]);
    world.start(second);
    await world.simulator.runUntil(world.simulator.nowMs + 3_000);
    expect(haveRings(world)).toEqual([true, true, undefined]);
  });

  it.each([
    ["that start together", 0],
    ["of which one has long been waiting alone", 30_000],
  ])(
    "is not made a second time by two members with empty disks %s, while the third is a little late",
    async (_, aloneMs) => {
      const world = cluster(3);
      await world.startAll();
      const epoch = world.nodes[2]?.node?.status.cluster().ringEpoch ?? 0;
      for (const node of world.nodes) world.crash(node, "process");
      const [first, second, third] = world.nodes;
      if (first === undefined || second === undefined || third === undefined) throw new Error("three nodes");
      for (const node of [first, second]) {
        node.disk.wipe();
        world.start(node);
        if (node === first) await world.simulator.runUntil(world.simulator.nowMs + aloneMs);
      }
      await world.simulator.runUntil(world.simulator.nowMs + 8_000);
      expect(haveRings(world)).toEqual([false, false, undefined]);
      world.start(third);
      await world.simulator.runUntil(world.simulator.nowMs + 2_000);
      expect(haveRings(world)).toEqual([true, true, true]);
      for (const { node } of world.nodes) expect(node?.status.cluster().ringEpoch).toBeGreaterThanOrEqual(epoch);
      expect(third.node?.status.readiness()).toEqual({ ready: true });
    },
  );
});
