/** A node that is told to stop does so, whatever else happens, and starts again from what it left. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { STOP_WITHIN_MS, stopCleanly } from "./clean-stop.ts";
import { SimulatedCluster } from "./cluster.ts";
import { pass } from "./quiet-cluster.ts";

async function start(): Promise<SimulatedCluster> {
  const cluster = new SimulatedCluster({
    ...{ seed: 5, nodes: 3, zones: 1, replicationFactor: 3, readQuorum: 2, writeQuorum: 2, partitions: 8 },
    ...{ mode: "strict", durability: "os" },
  });
  await cluster.startAll();
  return cluster;
}

describe("a clean stop", () => {
  it("ends the process when all is stored: nothing is lost with the power then, and the next start says it was clean", async () => {
    const cluster = await start();
    const n2 = cluster.byName("n2");
    const heard: string[] = [];
    stopCleanly(cluster, n2, 500, (how) => heard.push(how));
    await pass(cluster, 400);
    assert.equal(n2.node, undefined, "it takes no requests");
    assert.notEqual(n2.process, undefined);
    await pass(cluster, 5_000);
    assert.deepEqual(heard, ["stopped cleanly"]);
    assert.equal(n2.process, undefined);
    cluster.crash(n2, "machine");
    assert.equal(n2.disk.counters.batchesLost, 0);
    await cluster.startAll();
  });

  it("of a node that does not end in time ends with its death", async () => {
    const cluster = await start();
    const n2 = cluster.byName("n2");
    const heard: string[] = [];
    assert(n2.process !== undefined);
    cluster.simulator.pause(n2.process, 60_000);
    stopCleanly(cluster, n2, 0, (how) => heard.push(how));
    await pass(cluster, STOP_WITHIN_MS + 10);
    assert.match(heard.join(), /did not stop within/);
    assert.equal(n2.process, undefined);
    await cluster.startAll();
  });

  it("is over when the process dies meanwhile", async () => {
    const cluster = await start();
    const n2 = cluster.byName("n2");
    const heard: string[] = [];
    stopCleanly(cluster, n2, 500, (how) => heard.push(how));
    await pass(cluster, 100);
    cluster.crash(n2, "process");
    await cluster.startAll();
    await pass(cluster, 2 * STOP_WITHIN_MS);
    assert.deepEqual(heard, []);
    assert.notEqual(n2.node, undefined);
  });
});
