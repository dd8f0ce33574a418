/** From a seed to the Kubernetes that a run is played in. */
import type { ClusterOptions, SimulatedCluster } from "../cluster.ts";
import { drawQuorums } from "../quorums.ts";
import { createSeededRandom } from "../random.ts";
import { KubeWorld, NAME } from "./kube-world.ts";

/** A member whose machine is gone for so long is made anew elsewhere. */
const REPLACE_AFTER_S = 10;
const MEMBERS_MAX = 7;

/** What differs in the shape of a cluster that operators look after: names of pods, room to grow and to shrink. */
export function shapeForOperators({ seed, nodes }: ClusterOptions): Partial<ClusterOptions> {
  const random = createSeededRandom(seed).stream("shape for operators");
  const replicationFactor = random.between(3, Math.min(4, nodes));
  const readQuorum = random.between(1, replicationFactor);
  const writeQuorum = random.between(1, replicationFactor);
  const quorumsToBe = drawQuorums({ seed, replicationFactor, readQuorum, writeQuorum });
  const mayBeSloppy = createSeededRandom(seed).stream("modes").chance([1, 3]);
  return {
    replicationFactor,
    readQuorum,
    writeQuorum,
    ...(quorumsToBe === undefined ? {} : { quorumsToBe, mayBeSloppy }),
    zones: random.between(1, 4),
    // What cannot be set below the bounds of a real node's settings.
    hintBytesMax: 1 << 30,
    tombstoneAgeMs: 86_400_000,
    contextEntriesMax: random.pick([4, 32]),
    memberName: (index) => `${NAME}-${index}`,
  };
}

/** The Kubernetes around a cluster. */
export function createWorld(cluster: SimulatedCluster): KubeWorld {
  const random = cluster.random.stream("shape of Kubernetes");
  const { zones } = cluster.options;
  return new KubeWorld(cluster, {
    machinesPerZone: Math.ceil((MEMBERS_MAX + 2) / zones),
    operators: random.between(1, 3),
    isSharedLease: random.chance([3, 4]),
    whenScaled: random.pick(["Retain", "Delete"]),
    autoscaledMax: random.chance([1, 3]) ? MEMBERS_MAX : undefined,
    replaceAfterSeconds: REPLACE_AFTER_S,
    asksForTokens: cluster.random.stream("tokens").chance([1, 2]),
  });
}
