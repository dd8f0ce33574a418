/** A directory in whose place the ring lists another comes back with a value that was deleted, and forgotten, since: nobody merges it. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { dataKey } from "../../node/core/keyspace.ts";
import { answered } from "./answers.ts";
import { SimulatedCluster, type SimulatedNode } from "./cluster.ts";
import { nodeOf, pass } from "./quiet-cluster.ts";

const KEY = new TextEncoder().encode("key");
const FLOOR_MS = 5_000;

describe("a directory whose successor is listed, that is started once more", () => {
  it("brings back nothing that was deleted, also when the others lost their power since", async () => {
    const cluster = new SimulatedCluster({
      ...{ seed: 8, nodes: 3, zones: 3, replicationFactor: 3, readQuorum: 2, writeQuorum: 2, partitions: 1 },
      ...{ mode: "strict", durability: "disk", tombstoneAgeMs: FLOOR_MS, repairIntervalMs: 2_000 },
    });
    await cluster.startAll();
    await pass(cluster, 20_000);
    const { simulator } = cluster;
    const put = { key: KEY, value: KEY, contentType: "text/plain", base: "overwrite" } as const;
    await answered(simulator, nodeOf(cluster, "n1").coordinator.put(put, { writeQuorum: 3 }), 10_000);
    // The machine of n3 is given up for another one, with an empty disk. The old one is only switched off.
    const n3 = cluster.byName("n3");
    cluster.crash(n3, "process");
    const old: SimulatedNode = cluster.abandon(n3);
    cluster.start(n3);
    await pass(cluster, 30_000);
    const state = nodeOf(cluster, "n3")
      .status.cluster()
      .members.find(({ name }) => name === "n3")?.state;
    assert.equal(state, "active", "its successor is listed, and filled");
    await answered(simulator, nodeOf(cluster, "n1").coordinator.delete({ key: KEY }, {}), 10_000);
    const held = () => cluster.nodes.filter(({ disk }) => disk.peek(dataKey(0, KEY)) !== undefined).length;
    assert(await simulator.runWhile(() => held() > 0, 120_000), "all homes have forgotten the deletion");
    await pass(cluster, 10_000);
    // The power fails everywhere; n3 comes back last, and in its place somebody starts the old machine for a while.
    for (const machine of cluster.nodes) cluster.crash(machine, "machine");
    for (const name of ["n1", "n2"]) cluster.start(cluster.byName(name));
    await pass(cluster, 10_000);
    cluster.start(old);
    await pass(cluster, 20_000);
    const says = JSON.stringify(old.node?.status.readiness());
    cluster.crash(old, "process");
    cluster.start(n3);
    await pass(cluster, 120_000);
    const { siblings } = await answered(
      simulator,
      nodeOf(cluster, "n1").coordinator.get(KEY, { readQuorum: 3 }),
      10_000,
    );
    const values = siblings.filter(({ value }) => value !== undefined).length;
    assert.equal(
      values,
      0,
      `it had been deleted, and ${held()} homes hold it again; the old directory said of itself: ${says}`,
    );
    if (cluster.bug !== undefined) throw cluster.bug;
  }, 300_000);
});
