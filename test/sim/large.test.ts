/**
 * A large cluster that nothing happens to, and that a member joins: only who gains is sent data, and what members tell
 * each other in a second does not grow with their number. Prints the figures.
 */
import assert from "node:assert/strict";
import { describe, expect, it } from "@jest/globals";
import { partitionRange } from "../../node/core/keyspace.ts";
import { NO_CHANGE } from "../../node/core/ring/change.ts";
import { answered } from "./answers.ts";
import { addressOf, SimulatedCluster, type SimulatedNode } from "./cluster.ts";

const PARTITIONS = 128;
const WITHIN_MS = 120_000;
const KEYS = 600;
const VALUE = new Uint8Array(1_000).fill(120);
/** How long a quiet cluster is watched, and how many times as much a member may say in a large one as in a small one. */
const WATCHED_MS = 20_000;
const GROWTH_MAX = 2.5;

function nodeOf(machine: SimulatedNode | undefined) {
  assert(machine?.node !== undefined, "the machine's node runs");
  return machine.node;
}

async function startCluster(nodes: number): Promise<SimulatedCluster> {
  const cluster = new SimulatedCluster({
    seed: 60,
    nodes,
    zones: 3,
    replicationFactor: 3,
    readQuorum: 2,
    writeQuorum: 2,
    mode: "sloppy",
    durability: "disk",
    partitions: PARTITIONS,
    // Comparing is no telling: its cost is the difference, and anti-entropy has its own figures.
    repairIntervalMs: 600_000,
  });
  await cluster.startAll(120_000);
  await cluster.simulator.runUntil(cluster.simulator.nowMs + 15_000);
  return cluster;
}

/** Bytes that a member sends in a second while nothing happens. */
async function quietBytesASecond(cluster: SimulatedCluster): Promise<number> {
  const { simulator, network, nodes } = cluster;
  const total = () => [...network.sentBytes.values()].reduce((sum, bytes) => sum + bytes, 0);
  const before = total();
  await simulator.runUntil(simulator.nowMs + WATCHED_MS);
  return (total() - before) / nodes.length / (WATCHED_MS / 1_000);
}

function partitionsOn({ disk }: SimulatedNode): Set<number> {
  const found = new Set<number>();
  for (let partition = 0; partition < PARTITIONS; partition++) {
    if (disk.entries({ ...partitionRange(partition), limit: 1 }).length > 0) found.add(partition);
  }
  return found;
}

describe("60 members in three zones", () => {
  it("say as much in a second as 10, and when one joins, only who gains is sent data", async () => {
    const small = await quietBytesASecond(await startCluster(10));
    const cluster = await startCluster(60);
    const large = await quietBytesASecond(cluster);
    const through = nodeOf(cluster.nodes[0]);
    for (let index = 0; index < KEYS; index++) {
      const key = new TextEncoder().encode(`key ${index}`);
      const put = { key, value: VALUE, contentType: "text/plain", base: "overwrite" } as const;
      await answered(cluster.simulator, through.coordinator.put(put, { writeQuorum: 3 }), WITHIN_MS);
    }
    const before = new Map(cluster.nodes.map((machine) => [machine.name, partitionsOn(machine)]));
    const newcomer = cluster.addMachine("z1");
    await cluster.simulator.runUntil(cluster.simulator.nowMs + 3_000);
    const startedMs = cluster.simulator.nowMs;
    const join = [{ name: newcomer.name, address: addressOf(newcomer.name), zone: "z1", weight: 100 }];
    await answered(cluster.simulator, through.changes.begin({ ...NO_CHANGE, join }, { dryRun: false }), WITHIN_MS);
    const gains = through.status
      .ring()
      .transition?.preferenceLists.flatMap((names, p) => (names.includes(newcomer.name) ? [p] : []));
    assert(await cluster.simulator.runWhile(() => through.status.cluster().transition !== null, 120_000), "it ends");
    const tookMs = cluster.simulator.nowMs - startedMs;

    for (const machine of cluster.nodes) {
      const gained = [...partitionsOn(machine)].filter(
        (partition) => before.get(machine.name)?.has(partition) === false,
      );
      if (machine !== newcomer) expect([machine.name, gained]).toEqual([machine.name, []]);
    }
    const holds = partitionsOn(newcomer);
    expect(gains?.length).toBeGreaterThan(0);
    expect([...holds].filter((partition) => gains?.includes(partition) !== true)).toEqual([]);
    const bytes = cluster.counters.get("annulus.transfer.bytes") ?? 0;
    process.stdout.write(
      `a quiet member sends ${small.toFixed(0)} B/s of 10, ${large.toFixed(0)} B/s of 60; one joins: ${gains?.length} partitions, ${bytes} bytes copied, ${(tookMs / 1_000).toFixed(1)} s\n`,
    );
    expect(large / small).toBeLessThan(GROWTH_MAX);
    if (cluster.bug !== undefined) throw cluster.bug;
  }, 900_000);
});
