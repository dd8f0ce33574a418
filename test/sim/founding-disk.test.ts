/** A first member whose disk fails at the moment in which it is to store its first ring. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { SimulatedCluster } from "./cluster.ts";
import { HEALTHY_DISK } from "./disk-faults.ts";
import { nodeOf, pass } from "./quiet-cluster.ts";

describe("a first member that cannot store the first ring", () => {
  it("goes on without one, and takes it once its disk takes writes", async () => {
    const cluster = new SimulatedCluster({
      ...{ seed: 4, nodes: 3, zones: 3, replicationFactor: 3, readQuorum: 2, writeQuorum: 2, partitions: 16 },
      ...{ mode: "strict", durability: "disk" },
    });
    const n1 = cluster.byName("n1");
    cluster.start(n1);
    await pass(cluster, 2_000);
    assert.equal(nodeOf(cluster, "n1").bounds().epoch, 0);
    n1.disk.setFaults({ writeErrors: [1, 1] });
    cluster.start(cluster.byName("n2"));
    cluster.start(cluster.byName("n3"));
    await pass(cluster, 10_000);
    assert(nodeOf(cluster, "n2").bounds().epoch >= 1);
    assert.equal(cluster.bug, undefined);
    assert.equal(nodeOf(cluster, "n1").bounds().epoch, 0);
    n1.disk.setFaults(HEALTHY_DISK);
    await pass(cluster, 10_000);
    assert(nodeOf(cluster, "n1").bounds().epoch >= 1);
    assert.equal(nodeOf(cluster, "n1").bounds().epoch, nodeOf(cluster, "n2").bounds().epoch);
  });
});
