/** With durability=os what a member gives up lies in the unsynced logs of those it was shown to: their power takes it. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { KvError } from "../../node/core/errors.ts";
import { NO_CHANGE } from "../../node/core/ring/change.ts";
import { answered, answerOf } from "./answers.ts";
import { SimulatedCluster } from "./cluster.ts";
import { nodeOf, part, pass } from "./quiet-cluster.ts";

const KEYS = 30;
const OTHERS = ["n1", "n2", "n3"];
const bytesOf = (text: string) => new TextEncoder().encode(text);

describe("a member that comes back after the ring took its partitions, and gives up what it alone holds", () => {
  it("gives up nothing that the others would lose with their power", async () => {
    const cluster = new SimulatedCluster({
      ...{ seed: 12, nodes: 4, zones: 1, replicationFactor: 3, readQuorum: 2, writeQuorum: 2, partitions: 16 },
      ...{ mode: "strict", durability: "os", repairIntervalMs: 600_000, hintBytesMax: 1 },
    });
    await cluster.startAll();
    await pass(cluster, 20_000);
    const { simulator } = cluster;
    const n4 = cluster.byName("n4");
    part(cluster, ["n4"], OTHERS);
    const keys: Uint8Array[] = [];
    for (let key = 0; key < KEYS; key++) {
      const put = {
        key: bytesOf(`key ${key}`),
        value: bytesOf("value"),
        contentType: "text/plain",
        base: "sibling",
      } as const;
      const answer = await answerOf(cluster, nodeOf(cluster, "n4").coordinator.put(put, { writeQuorum: 1 }));
      const isHome = cluster.ring.isHome("n4", cluster.ring.partitionOf(put.key));
      if (!(answer instanceof KvError) && isHome) keys.push(put.key);
    }
    assert(keys.length > 0, "n4 acknowledges alone");
    cluster.crash(n4, "process");
    const isDown = () =>
      nodeOf(cluster, "n1")
        .status.cluster()
        .members.some(({ name, health }) => name === "n4" && health === "down");
    assert(await simulator.runWhile(() => !isDown(), 60_000), "n4 is seen down");
    const begun = nodeOf(cluster, "n1").changes.begin({ ...NO_CHANGE, weights: { n4: 0 } }, { dryRun: false });
    await answered(simulator, begun, 10_000);
    const phase = () => nodeOf(cluster, "n1").status.cluster().transition?.phase;
    assert(await simulator.runWhile(() => phase() !== undefined, 120_000), "the change ends");
    cluster.network.heal();
    // Starting it anew writes its log into a table: what it acknowledged is on its disk for good.
    cluster.start(n4);
    assert(await simulator.runWhile(() => n4.node?.progress().isEmptied !== true, 120_000), "n4 has given up all");
    // It is started anew once more, as in a rolling update. Then the power fails everywhere.
    cluster.crash(n4, "process");
    cluster.start(n4);
    await pass(cluster, 2_000);
    for (const machine of cluster.nodes) cluster.crash(machine, "machine");
    await cluster.startAll();
    await pass(cluster, 120_000);
    let missed = 0;
    for (const key of keys) {
      const read = await answered(simulator, nodeOf(cluster, "n1").coordinator.get(key, { readQuorum: 3 }), 10_000);
      if (read.siblings.length === 0) missed += 1;
    }
    assert.equal(
      missed,
      0,
      `${missed} of ${keys.length} writes are gone, and the disk that acknowledged them was never harmed`,
    );
  }, 300_000);
});
