/** How stories of the simulated Kubernetes begin, and what they wait for. */
import assert from "node:assert/strict";
import { SimulatedCluster } from "../cluster.ts";
import { type KubeOptions, KubeWorld } from "./kube-world.ts";
import { isAtRest } from "./rest.ts";
import { Watchman } from "./watchman.ts";

/** What a small world is made of. */
export const KUBE: KubeOptions = {
  machinesPerZone: 2,
  operators: 2,
  isSharedLease: true,
  whenScaled: "Delete",
  autoscaledMax: undefined,
  replaceAfterSeconds: 10,
  asksForTokens: false,
};

/** A cluster that operators have brought up, and who watches over it. */
export async function founded(
  options: Partial<KubeOptions> = {},
  mode: "strict" | "sloppy" = "sloppy",
): Promise<{ readonly world: KubeWorld; readonly watchman: Watchman }> {
  const cluster = new SimulatedCluster({
    seed: 1,
    nodes: 3,
    zones: 3,
    replicationFactor: 3,
    readQuorum: 2,
    writeQuorum: 2,
    mode,
    durability: "os",
    partitions: 8,
    memberName: (index) => `sessions-${index}`,
  });
  const world = new KubeWorld(cluster, { ...KUBE, ...options });
  const watchman = new Watchman(world);
  await world.found();
  assert.deepEqual(watchman.members.length, 3);
  return { world, watchman };
}

/** Waits until all is as the spec wants it. */
export async function atRest(world: KubeWorld, withinMs = 120_000): Promise<void> {
  const { simulator } = world.cluster;
  const rested = await simulator.runWhile(() => world.cluster.bug === undefined && !isAtRest(world), withinMs);
  if (world.cluster.bug !== undefined) throw world.cluster.bug;
  assert(rested, `at rest within ${withinMs} ms: ${world.describe()}`);
}
