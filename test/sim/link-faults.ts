/** Links between two nodes that are slow for a while, or break: no worse than networks are, and no machine is to blame. */
import type { SimulatedCluster, SimulatedNode } from "./cluster.ts";
import type { SeededRandom } from "./random.ts";

/** How long a frame takes on a slow link, in ms. A replica may take 400 ms and a client waits a second: some pass each. */
const LATENCIES_MS: readonly (readonly [number, number])[] = [
  [5, 50],
  [50, 300],
  [300, 600],
];

/** What happened, for people, and what ends it. */
export type Spell = { readonly what: string; readonly mend: () => void };

/**
 * Frames between a node and some others take a drawn time, one way or both. Order on a connection is kept.
 *
 * @returns Undefined where there is nobody else.
 */
export function slowLinks(cluster: SimulatedCluster, victim: SimulatedNode, random: SeededRandom): Spell | undefined {
  const { network, nodes } = cluster;
  const others = nodes.filter((node) => node !== victim && random.chance([2, 3]));
  if (others.length === 0) return undefined;
  const way = random.pick(["to", "from", "to and from", "to and from"] as const);
  const latencyMs = random.between(...random.pick(LATENCIES_MS));
  const range: readonly [number, number] = [Math.ceil(latencyMs * 0.7), Math.ceil(latencyMs * 1.3)];
  const pairs = others.flatMap(({ name }): (readonly [string, string])[] => [
    ...(way === "from" ? [] : [[victim.name, name] as const]),
    ...(way === "to" ? [] : [[name, victim.name] as const]),
  ]);
  for (const [from, to] of pairs) network.setTravel(from, to, range);
  return {
    what: `${victim.name}, ${range.join(" to ")} ms ${way} ${others.map(({ name }) => name)}`,
    mend: () => {
      for (const [from, to] of pairs) network.setTravel(from, to, undefined);
    },
  };
}

/** All connections between a node and some others are reset, once. @returns What happened; undefined where there was none. */
export function breakLinks(cluster: SimulatedCluster, victim: SimulatedNode, random: SeededRandom): string | undefined {
  const { network, nodes } = cluster;
  const others = nodes.filter((node) => node !== victim && random.chance([1, 2]));
  const broken = others.filter(({ name }) => network.breakConnections(victim.name, name) > 0);
  return broken.length === 0 ? undefined : `${victim.name} and ${broken.map(({ name }) => name)}`;
}
