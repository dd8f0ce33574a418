/** What was shown of a partition says nothing of what came to it since: a member may have got it back, and lost it again. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { dataKey } from "../../node/core/keyspace.ts";
import { NO_CHANGE } from "../../node/core/ring/change.ts";
import { answered } from "./answers.ts";
import { SimulatedCluster } from "./cluster.ts";
import { nodeOf, part, pass } from "./quiet-cluster.ts";

const bytesOf = (text: string) => new TextEncoder().encode(text);

describe("a member that could not give a partition up, got it back, and lost it again within one round", () => {
  it("shows anew what it holds before it drops it", async () => {
    const cluster = new SimulatedCluster({
      ...{ seed: 11, nodes: 5, zones: 1, replicationFactor: 3, readQuorum: 2, writeQuorum: 2, partitions: 2 },
      ...{ mode: "strict", durability: "disk", repairIntervalMs: 3_600_000, hintBytesMax: 1 },
      memberName: (index) => `m${index + 1}`,
    });
    await cluster.startAll();
    await pass(cluster, 20_000);
    const { simulator, counters } = cluster;
    const rows = [0, 1].map((partition) => cluster.ring.homes(partition).map(({ name }) => name));
    assert.deepEqual(rows, [
      ["m3", "m1", "m4"],
      ["m2", "m4", "m5"],
    ]);
    const keysOf = (wanted: number) =>
      Array.from({ length: 40 }, (_, at) => bytesOf(`key ${at}`)).filter(
        (key) => cluster.ring.partitionOf(key) === wanted,
      );
    const [early, late] = keysOf(0) as [Uint8Array, Uint8Array];
    const [busy] = keysOf(1) as [Uint8Array];
    const writeAlone = (key: Uint8Array) => {
      const put = { key, value: key, contentType: "text/plain", base: "sibling" } as const;
      return answered(simulator, nodeOf(cluster, "m4").coordinator.put(put, { writeQuorum: 1 }), 10_000);
    };
    const weigh = (weight: number) =>
      answered(
        simulator,
        nodeOf(cluster, "m1").changes.begin({ ...NO_CHANGE, weights: { m4: weight } }, { dryRun: false }),
        10_000,
      );
    const isOver = () => nodeOf(cluster, "m1").status.cluster().transition === null;
    const others = ["m1", "m2", "m3", "m5"];
    const isDown = () =>
      nodeOf(cluster, "m1")
        .status.cluster()
        .members.some(({ name, health }) => name === "m4" && health === "down");

    // m4 has a record of each partition alone. While it is down the ring takes both from it.
    part(cluster, ["m4"], others);
    for (const key of [early, busy]) await writeAlone(key);
    const m4 = cluster.byName("m4");
    cluster.crash(m4, "process");
    assert(await simulator.runWhile(() => !isDown(), 60_000), "m4 is seen down");
    await weigh(0);
    assert(await simulator.runWhile(() => !isOver(), 120_000), "the first change ends");
    cluster.network.heal();
    await pass(cluster, 5_000);
    // It comes back, shows partition 0 to all, and its disk fails as it begins to give it up; then it waits for m5, which is slow.
    const epoch = nodeOf(cluster, "m1").bounds().epoch;
    cluster.start(m4);
    assert(await simulator.runWhile(() => (m4.node?.bounds().epoch ?? 0) < epoch, 20_000), "m4 knows");
    m4.disk.setFaults({ writeErrors: [1, 1] });
    cluster.byName("m5").disk.setFaults({ latencyMs: [25_000, 25_000] });
    const offered = () => counters.get("annulus.leftovers.offered") ?? 0;
    const before = offered();
    assert(await simulator.runWhile(() => offered() < before + 5, 30_000), `it shows both: ${offered() - before}`);
    m4.disk.setFaults({ writeErrors: [0, 1] });
    const startMs = simulator.nowMs;
    await weigh(100);
    assert(await simulator.runWhile(() => !isOver(), 20_000), "the second change ends");
    const secondMs = simulator.nowMs - startMs;
    const hasAgain = () => m4.node?.bounds().epoch === nodeOf(cluster, "m1").bounds().epoch;
    assert(await simulator.runWhile(() => !hasAgain(), 5_000), "m4 knows that it has partition 0 again");
    assert(nodeOf(cluster, "m4").status.ring().preferenceLists[0]?.includes("m4"));
    // m4 is cut off, acknowledges once more alone, and partition 0 is taken from it again.
    part(cluster, ["m4", "m5"], ["m1", "m2", "m3"]);
    await writeAlone(late);
    assert(await simulator.runWhile(() => !isDown(), 60_000), "m4 is seen down again");
    await weigh(0);
    assert(await simulator.runWhile(() => !isOver(), 20_000), "the third change ends");
    const thirdMs = simulator.nowMs - startMs;
    cluster.network.heal();
    await pass(cluster, 120_000);
    const holders = cluster.nodes
      .filter(({ disk }) => disk.peek(dataKey(0, late)) !== undefined)
      .map(({ name }) => name);
    assert.notDeepEqual(holders, [], `nobody holds it any more, m4 was the only one (${secondMs} ms, ${thirdMs} ms)`);
    if (cluster.bug !== undefined) throw cluster.bug;
  }, 300_000);
});
