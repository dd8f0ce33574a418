/** Clusters for stories of the ring: at rest, and mended by nothing but what the story itself brings about. */
import assert from "node:assert/strict";
import { type ClusterOptions, SimulatedCluster } from "./cluster.ts";

/** What a story chooses. */
type Chosen = Pick<ClusterOptions, "seed" | "nodes" | "partitions" | "readQuorum" | "writeQuorum" | "repairIntervalMs">;

/** N = 3, strict. Repair comes as late as it is told to, and there is no room for hints; the ring lists every data directory. */
export async function startQuietCluster(chosen: Chosen): Promise<SimulatedCluster> {
  const cluster = new SimulatedCluster({
    ...chosen,
    zones: 1,
    replicationFactor: 3,
    mode: "strict",
    durability: "disk",
    hintBytesMax: 1,
  });
  await cluster.startAll();
  await pass(cluster, 20_000);
  return cluster;
}

/** Starts all machines, until each has the first ring and has met the others; no ring lists a data directory by then. */
export async function startWithFirstRing(cluster: SimulatedCluster): Promise<void> {
  for (const machine of cluster.nodes) cluster.start(machine);
  await cluster.simulator.runWhile(() => !epochsOf(cluster).every((epoch) => epoch === 1), 10_000);
  await pass(cluster, 20);
}

/** The epoch of the ring that each machine goes by; undefined where none runs. */
export function epochsOf({ nodes }: SimulatedCluster): readonly (number | undefined)[] {
  return nodes.map(({ node }) => node?.status.cluster().ringEpoch);
}

/** Lets so many ms of virtual time go by. */
export function pass({ simulator }: SimulatedCluster, ms: number): Promise<void> {
  return simulator.runUntil(simulator.nowMs + ms);
}

/** The running node of this name. */
export function nodeOf(cluster: SimulatedCluster, name: string) {
  return cluster.byName(name).node ?? assert.fail(`${name} runs`);
}

/** Nothing passes between the two sides from here on, in neither direction. */
export function part({ network }: SimulatedCluster, here: readonly string[], there: readonly string[]): void {
  for (const one of here) {
    for (const other of there) {
      network.cut(one, other);
      network.cut(other, one);
    }
  }
}
