/** A member that stamped as a stand-in comes to be a home of the partition, and stamps the same key as a home. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { hintsRange } from "../../node/core/keyspace.ts";
import { NO_CHANGE } from "../../node/core/ring/change.ts";
import { answered } from "./answers.ts";
import { SimulatedCluster } from "./cluster.ts";
import { nodeOf, part, pass } from "./quiet-cluster.ts";

const KEY = new TextEncoder().encode("key");
const putOf = (value: string) =>
  ({ key: KEY, value: new TextEncoder().encode(value), contentType: "text/plain", base: "sibling" }) as const;

/** Five members, one partition: m3, m2 and m4 are its homes, m1 and m5 stand in, and m1 takes m3's place where that goes. */
async function startCluster(): Promise<SimulatedCluster> {
  const cluster = new SimulatedCluster({
    ...{ seed: 3, nodes: 5, zones: 1, replicationFactor: 3, readQuorum: 2, writeQuorum: 2, partitions: 1 },
    ...{ mode: "sloppy", durability: "disk", repairIntervalMs: 3_600_000 },
    memberName: (index) => `m${index + 1}`,
  });
  await cluster.startAll();
  await pass(cluster, 20_000);
  return cluster;
}

describe("a write that two stand-ins acknowledged, of which one takes a home's place", () => {
  it.each([
    ["while it still keeps what it stamped", false],
    ["after it gave what it stamped to that home", true],
  ])(
    "is not replaced unseen by what that one stamps as a home, %s",
    async (_when, isDelivered) => {
      const cluster = await startCluster();
      const { simulator } = cluster;
      assert.deepEqual(
        cluster.ring.homes(0).map(({ name }) => name),
        ["m3", "m2", "m4"],
      );
      // Both are cut off from all homes: m1 stamps for m3, m5 keeps a copy for m2. Two disks have it.
      part(cluster, ["m1", "m5"], ["m2", "m3", "m4"]);
      await pass(cluster, 20_000);
      const { receipt } = await answered(simulator, nodeOf(cluster, "m5").coordinator.put(putOf("first"), {}), 10_000);
      assert.deepEqual([receipt.acks, receipt.hinted], [2, 2]);

      // From here on no disk is lost: m5 and m3 are away for a while, that is all.
      cluster.crash(cluster.byName("m5"), "process");
      if (!isDelivered) cluster.crash(cluster.byName("m3"), "process");
      cluster.network.heal();
      await pass(cluster, 20_000);
      const hints = () => cluster.byName("m1").disk.entries({ ...hintsRange(), limit: 10 }).length;
      assert.equal(hints(), isDelivered ? 0 : 1);
      if (isDelivered) cluster.crash(cluster.byName("m3"), "process");
      await pass(cluster, 20_000);
      const asked = { ...NO_CHANGE, weights: { m3: 0 } };
      await answered(simulator, nodeOf(cluster, "m2").changes.begin(asked, { dryRun: false }), 10_000);
      const phase = () => nodeOf(cluster, "m1").status.cluster().transition?.phase;
      assert(await simulator.runWhile(() => phase() !== "switch", 120_000), "it switches, and m1 is a home");
      await answered(simulator, nodeOf(cluster, "m1").coordinator.put(putOf("second"), {}), 10_000);
      cluster.start(cluster.byName("m3"));
      cluster.start(cluster.byName("m5"));
      await pass(cluster, 120_000);
      assert.equal(nodeOf(cluster, "m2").status.cluster().transition, null);

      const reading = nodeOf(cluster, "m2").coordinator.get(KEY, { readQuorum: 3 });
      const { siblings } = await answered(simulator, reading, 10_000);
      const shown = siblings.map(({ value }) => new TextDecoder().decode(value)).sort();
      assert.deepEqual(shown, ["first", "second"], "both were acknowledged, and neither writer knew of the other");
      if (cluster.bug !== undefined) throw cluster.bug;
    },
    300_000,
  );
});
