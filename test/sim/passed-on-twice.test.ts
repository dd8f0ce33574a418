/**
 * A home stamps a write that was passed on to it, and dies before it could say so; another home stamps the same write, and it
 * is acknowledged. Both stamps are of one event: what became of it meanwhile holds for the first one, too.
 */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { KvError } from "../../node/core/errors.ts";
import { answerOf } from "./answers.ts";
import { SimulatedCluster } from "./cluster.ts";

const KEY = new TextEncoder().encode("key");

const pass = ({ simulator }: SimulatedCluster, ms: number) => simulator.runUntil(simulator.nowMs + ms);

describe("a deleted value of which one stamp was never heard of", () => {
  it("does not come back with the home that made it", async () => {
    const cluster = new SimulatedCluster({
      ...{ seed: 8, nodes: 4, zones: 1, replicationFactor: 3, readQuorum: 2, writeQuorum: 2 },
      ...{ mode: "strict", durability: "disk", partitions: 4 },
    });
    await cluster.startAll();
    await pass(cluster, 3_000);
    const homes = cluster.ring.homes(cluster.ring.partitionOf(KEY)).map(({ name }) => name);
    const outside = cluster.nodes.find(({ name }) => !homes.includes(name)) ?? assert.fail("somebody is no home");
    const coordinator = outside.node?.coordinator ?? assert.fail("it serves");
    const served = async <T>(asking: Promise<T>): Promise<T> => {
      const answer = await answerOf(cluster, asking);
      if (answer instanceof KvError) assert.fail(answer.message);
      return answer;
    };
    const first = cluster.byName(homes[0] ?? assert.fail("it has homes"));
    // Its answers do not arrive any more; what it is asked does.
    for (const { name } of cluster.nodes) cluster.network.cut(first.name, name);
    await served(coordinator.put({ key: KEY, value: KEY, contentType: "", base: "overwrite" }, { timeoutMs: 2_000 }));
    cluster.crash(first, "process");
    cluster.network.heal();
    await pass(cluster, 15_000);
    await served(coordinator.delete({ key: KEY }, {}));
    cluster.start(first);
    await pass(cluster, 60_000);
    const { siblings } = await served(coordinator.get(KEY, { readQuorum: 3 }));
    assert.deepEqual(
      siblings.filter(({ value }) => value !== undefined),
      [],
    );
  });
});
