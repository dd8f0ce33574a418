/** Members whose durability differs, as while a change of it goes from one to the next: what a receipt promises. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { KvError } from "../../node/core/errors.ts";
import { firstRing } from "../../node/core/ring/first-members.ts";
import { answerOf } from "./answers.ts";
import { type ClusterOptions, SimulatedCluster } from "./cluster.ts";
import { settingsOf } from "./settings.ts";

const OPTIONS: ClusterOptions = {
  ...{ seed: 8, nodes: 4, zones: 1, replicationFactor: 3, readQuorum: 2, writeQuorum: 2 },
  ...{ mode: "strict", durability: "os", partitions: 16 },
};
const KEYS = 30;

const pass = ({ simulator }: SimulatedCluster, ms: number) => simulator.runUntil(simulator.nowMs + ms);

/** Four members of which some flush what they acknowledge. */
async function startCluster(flushing: readonly string[]): Promise<SimulatedCluster> {
  const cluster = new SimulatedCluster(OPTIONS);
  const document = firstRing({
    members: cluster.nodes.map(({ name, zone }) => ({
      ...{ name, address: `${name}:7402`, zone, weight: 100 },
      state: "active" as const,
    })),
    ...{ partitions: 16, replicationFactor: 3, readQuorum: 2, writeQuorum: 2, mode: "strict" as const },
  });
  cluster.settingsOf = (machine) =>
    settingsOf(machine, document, { ...OPTIONS, durability: flushing.includes(machine.name) ? "disk" : "os" });
  await cluster.startAll();
  await pass(cluster, 3_000);
  return cluster;
}

/** Writes through n4 what n4 is no home of, and gives each durability that a receipt of these named. */
async function promisedThroughN4(cluster: SimulatedCluster): Promise<Set<string>> {
  const coordinator = cluster.byName("n4").node?.coordinator ?? assert.fail("it serves");
  const keys = Array.from({ length: 1_000 }, (_, i) => new TextEncoder().encode(`key ${i}`))
    .filter((one) => !cluster.ring.isHome("n4", cluster.ring.partitionOf(one)))
    .slice(0, KEYS);
  const promised = new Set<string>();
  for (const key of keys) {
    const put = await answerOf(cluster, coordinator.put({ key, value: key, contentType: "", base: "overwrite" }, {}));
    assert(!(put instanceof KvError));
    promised.add(put.receipt.durability);
  }
  return promised;
}

describe("a write's receipt", () => {
  it("promises no flush that the homes do not make, though the node that answers would", async () => {
    assert.deepEqual(await promisedThroughN4(await startCluster(["n4"])), new Set(["os"]));
  });

  it("promises no flush when one of those who acknowledged makes none", async () => {
    const promised = await promisedThroughN4(await startCluster(["n1", "n2", "n4"]));
    // n3 is a home of all these keys, and may come third.
    assert(promised.has("os"));
  });

  it("promises a flush when all who acknowledged make one, though the node that answers would not", async () => {
    assert.deepEqual(await promisedThroughN4(await startCluster(["n1", "n2", "n3"])), new Set(["disk"]));
  });
});
