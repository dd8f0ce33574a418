/** What an answer stands for, by what its request asked for and by what the rings of the run say. */
import type { RequestOptions } from "../../node/services/coordinator.ts";
import type { SimulatedCluster } from "./cluster.ts";
import type { ReadSeen } from "./history.ts";
import type { Write } from "./writes.ts";

/** Whom a read surely asks, and what it therefore has to know. */
export function depthOf(
  cluster: SimulatedCluster,
  options: RequestOptions,
): Pick<ReadSeen, "isFresh" | "meetsAll"> & { readonly readQuorum: number } {
  const { isElastic, isOverlapping, leastQuorums } = cluster;
  const { replicationFactor } = cluster.options;
  const readQuorum = options.readQuorum ?? leastQuorums.readQuorum;
  const meetsAll = options.readQuorum === undefined && isOverlapping;
  // Sloppy quorums need not overlap: some of W may have been stand-ins, whom a read of R homes does not ask.
  // And through a change of the ring a smaller r than the ring's keeps no freshness (design §3).
  const keepsOverlap = !isElastic || options.readQuorum === undefined || readQuorum === replicationFactor;
  const overlaps = meetsAll || (keepsOverlap && readQuorum + leastQuorums.writeQuorum > replicationFactor);
  return { isFresh: isStrict(cluster, options) && overlaps, meetsAll, readQuorum };
}

/** Whether only homes count for a request. */
export function isStrict(cluster: SimulatedCluster, { mode }: RequestOptions): boolean {
  return mode === undefined ? cluster.isStrict : mode === "strict";
}

/** What the acknowledgement of a write stands for. */
export function promiseOf(cluster: SimulatedCluster, options: RequestOptions): NonNullable<Write["promise"]> {
  const { isElastic, leastQuorums } = cluster;
  const { writeQuorum, zones = 1 } = options;
  return {
    holders: writeQuorum ?? leastQuorums.writeQuorum,
    isByRing: writeQuorum === undefined,
    // Through a change of the ring copies go where the ring says, and members may be listed in other zones.
    zones: isElastic ? 1 : zones,
    // As with reads, a change of the ring counts on the ring's own W only.
    isForLast: !isStrict(cluster, options) || (isElastic && writeQuorum !== undefined),
  };
}
