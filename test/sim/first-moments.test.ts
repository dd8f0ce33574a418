/** A disk that is lost in the first moments of a cluster, when no ring lists it yet, and its machine has asked nobody for anything. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { KvError } from "../../node/core/errors.ts";
import { answered, answerOf } from "./answers.ts";
import { SimulatedCluster } from "./cluster.ts";
import { epochsOf, nodeOf, part, pass, startWithFirstRing } from "./quiet-cluster.ts";

const KEY = new TextEncoder().encode("key");
const NEVER_MS = 31_536_000_000;

describe("a home that acknowledged a write, and lost its disk before it had asked anybody for anything", () => {
  it("is known for another when it comes back: a read does not take it for one that holds what it should", async () => {
    const cluster = new SimulatedCluster({
      ...{ seed: 1, nodes: 3, zones: 1, partitions: 1, replicationFactor: 3, readQuorum: 2, writeQuorum: 2 },
      ...{ mode: "strict", durability: "disk", hintBytesMax: 1, repairIntervalMs: NEVER_MS },
    });
    await startWithFirstRing(cluster);
    part(cluster, ["n3"], ["n1", "n2"]);
    const put = { key: KEY, value: KEY, contentType: "text/plain", base: "sibling" } as const;
    await answered(cluster.simulator, nodeOf(cluster, "n1").coordinator.put(put, {}), 5_000);
    const lost = cluster.byName("n2");
    cluster.loseDisk(lost);
    cluster.start(lost);
    await cluster.simulator.runWhile(() => lost.node?.status.cluster().ringEpoch !== 1, 5_000);
    assert.deepEqual(epochsOf(cluster), [1, 1, 1]);
    cluster.network.heal();
    part(cluster, ["n1"], ["n2", "n3"]);
    await pass(cluster, 3_000);
    const read = await answerOf(cluster, nodeOf(cluster, "n3").coordinator.get(KEY, {}));
    assert(read instanceof KvError || read.siblings.length === 1, "n1 has it");
  });
});
