/** A bit that flips in what a stand-in keeps: found when the home is back, and counted as one copy that is gone. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { answered } from "./answers.ts";
import { SimulatedCluster } from "./cluster.ts";
import { hintsOf, rot } from "./damage.ts";
import { nodeOf, pass } from "./quiet-cluster.ts";

describe("a hint that rots", () => {
  it("is set aside and never delivered, and the losses name it until then", async () => {
    const cluster = new SimulatedCluster({
      ...{ seed: 8, nodes: 4, zones: 1, replicationFactor: 3, readQuorum: 2, writeQuorum: 2, partitions: 8 },
      ...{ mode: "sloppy", durability: "disk", recordCacheBytes: 1_024 },
    });
    const { simulator } = cluster;
    await cluster.startAll();
    const away = cluster.byName("n2");
    const key = Array.from({ length: 50 }, (_, i) => new TextEncoder().encode(`key ${i}`)).find((one) =>
      cluster.ring.isHome("n2", cluster.ring.partitionOf(one)),
    );
    assert(key !== undefined, "n2 is home to some key");
    cluster.crash(away, "process");
    await pass(cluster, 10_000);
    const put = { key, value: key, contentType: "text/plain", base: "overwrite" } as const;
    await answered(simulator, nodeOf(cluster, "n1").coordinator.put(put, { writeQuorum: 3 }), 10_000);
    const keeper = cluster.nodes.find((machine) => hintsOf(machine, key).length > 0);
    assert(keeper !== undefined, "somebody stands in");
    assert(rot(cluster, keeper, key, hintsOf(keeper, key)[0]));
    const disksAt = (ms: number) =>
      cluster.losses.disksOf({ key: new TextDecoder().decode(key), startedMs: ms, endedMs: ms });
    assert.deepEqual([...disksAt(simulator.nowMs)], [keeper.name]);
    // From memory it would be whole: its process ends, and the next one reads the disk.
    cluster.crash(keeper, "process");
    await cluster.startAll();
    await simulator.runWhile(() => hintsOf(keeper, key).length > 0, 60_000);
    await pass(cluster, 1_000);
    assert.equal(cluster.counters.get("annulus.store.corrupt_records"), 1);
    assert.deepEqual([...disksAt(simulator.nowMs)], []);
  });
});
