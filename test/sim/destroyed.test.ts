/** A member that was removed as destroyed and comes back after all, with all that it held: nobody merges any of it. */
import assert from "node:assert/strict";
import { describe, expect, it } from "@jest/globals";
import { hintsRange, partitionRange } from "../../node/core/keyspace.ts";
import { type ChangeRequest, NO_CHANGE } from "../../node/core/ring/change.ts";
import { answered } from "./answers.ts";
import { addressOf, SimulatedCluster, type SimulatedNode } from "./cluster.ts";

const PARTITIONS = 16;
const WITHIN_MS = 60_000;

function nodeOf(machine: SimulatedNode) {
  assert(machine.node !== undefined, `${machine.name} runs`);
  return machine.node;
}

async function change(cluster: SimulatedCluster, through: SimulatedNode, asked: Partial<ChangeRequest>): Promise<void> {
  await answered(
    cluster.simulator,
    nodeOf(through).changes.begin({ ...NO_CHANGE, ...asked }, { dryRun: false }),
    WITHIN_MS,
  );
  const isRunning = () => nodeOf(through).status.cluster().transition !== null;
  assert(await cluster.simulator.runWhile(isRunning, 60_000), "the change ends");
}

function recordsOn({ disk }: SimulatedNode): number {
  let count = 0;
  for (let partition = 0; partition < PARTITIONS; partition++) {
    count += disk.entries({ ...partitionRange(partition), limit: 1_000 }).length;
  }
  return count;
}

describe("a member that was removed as destroyed", () => {
  it("comes back with what it held, and brings back nothing that was deleted", async () => {
    const cluster = new SimulatedCluster({
      seed: 3,
      nodes: 4,
      zones: 2,
      replicationFactor: 3,
      readQuorum: 2,
      writeQuorum: 2,
      mode: "sloppy",
      durability: "disk",
      partitions: PARTITIONS,
    });
    await cluster.startAll();
    const [first, , , last] = cluster.nodes as [SimulatedNode, SimulatedNode, SimulatedNode, SimulatedNode];
    const { coordinator } = nodeOf(first);
    const keys = Array.from({ length: 40 }, (_, index) => new TextEncoder().encode(`key ${index}`));
    for (const key of keys) {
      const put = { key, value: key, contentType: "text/plain", base: "overwrite" } as const;
      await answered(cluster.simulator, coordinator.put(put, { writeQuorum: 3 }), WITHIN_MS);
    }
    const held = recordsOn(last);
    expect(held).toBeGreaterThan(0);
    cluster.crash(last, "process");
    await cluster.simulator.runUntil(cluster.simulator.nowMs + 12_000);

    await expect(change(cluster, first, { leave: [last.name] })).rejects.toMatchObject({ code: "CHANGE_REFUSED" });
    await change(cluster, first, { leave: [last.name], force: true });
    const gone = nodeOf(first)
      .status.cluster()
      .members.find(({ name }) => name === last.name);
    expect(gone?.state).toBe("left");
    for (const key of keys) await answered(cluster.simulator, coordinator.delete({ key }, {}), WITHIN_MS);

    cluster.start(last);
    await cluster.simulator.runUntil(cluster.simulator.nowMs + 60_000);
    for (const key of keys) {
      const { siblings } = await answered(cluster.simulator, coordinator.get(key, { readQuorum: 3 }), WITHIN_MS);
      expect(siblings.filter(({ value }) => value !== undefined)).toEqual([]);
    }
    expect(recordsOn(last)).toBe(held);
    expect(last.disk.entries({ ...hintsRange(), limit: 10 })).toEqual([]);
    expect(nodeOf(last).status.readiness()).toMatchObject({ ready: false });

    const again = { name: last.name, address: addressOf(last.name), zone: last.zone, weight: 100 };
    await expect(change(cluster, first, { join: [again] })).rejects.toMatchObject({ code: "CHANGE_REFUSED" });
    cluster.loseDisk(last);
    cluster.start(last);
    await cluster.simulator.runUntil(cluster.simulator.nowMs + 10_000);
    await change(cluster, first, { join: [again] });
    const back = nodeOf(first)
      .status.cluster()
      .members.find(({ name }) => name === last.name);
    expect(back?.state).toBe("active");
    if (cluster.bug !== undefined) throw cluster.bug;
  }, 300_000);
});
