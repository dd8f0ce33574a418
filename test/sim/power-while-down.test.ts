/** Power that fails under a node whose process is down already: the operating system had what that one left unsynced. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { dataKey } from "../../node/core/keyspace.ts";
import { answerOf } from "./answers.ts";
import { SimulatedCluster } from "./cluster.ts";
import { nodeOf, pass } from "./quiet-cluster.ts";

const KEYS = 40;

describe("a machine that dies after the process of its node did", () => {
  it("takes what the process left unsynced, and the losses name each record that is gone and no other", async () => {
    const cluster = new SimulatedCluster({
      ...{ seed: 3, nodes: 3, zones: 1, replicationFactor: 3, readQuorum: 2, writeQuorum: 2, partitions: 8 },
      ...{ mode: "strict", durability: "os", repairIntervalMs: 600_000 },
    });
    await cluster.startAll();
    const keys = Array.from({ length: KEYS }, (_, i) => new TextEncoder().encode(`key ${i}`));
    for (const key of keys) {
      const put = { key, value: key, contentType: "text/plain", base: "overwrite" } as const;
      await answerOf(cluster, nodeOf(cluster, "n1").coordinator.put(put, {}));
    }
    await pass(cluster, 1_000);
    const n2 = cluster.byName("n2");
    const held = () => keys.filter((key) => n2.disk.peek(dataKey(cluster.ring.partitionOf(key), key)) !== undefined);
    cluster.crash(n2, "process");
    assert.equal(held().length, KEYS, "a process that dies loses nothing");
    const { bootId } = n2;
    cluster.crash(n2, "machine");
    assert.notEqual(n2.bootId, bootId);
    const kept = new Set(held());
    assert(kept.size < KEYS, "what was not synced is gone");
    assert.equal(n2.disk.counters.batchesLostWhileDown, n2.disk.counters.batchesLost);
    for (const key of keys) {
      const span = { key: new TextDecoder().decode(key), startedMs: 0, endedMs: cluster.simulator.nowMs };
      assert.equal(cluster.losses.disksOf(span).has("n2"), !kept.has(key), span.key);
    }
  });

  it("may be exchanged with its disk", async () => {
    const cluster = new SimulatedCluster({
      ...{ seed: 3, nodes: 3, zones: 1, replicationFactor: 3, readQuorum: 2, writeQuorum: 2, partitions: 8 },
      ...{ mode: "strict", durability: "disk" },
    });
    await cluster.startAll();
    const n2 = cluster.byName("n2");
    cluster.crash(n2, "process");
    cluster.loseDisk(n2);
    assert.equal(n2.disk.usedBytes(), 0);
    await cluster.startAll();
  });
});
