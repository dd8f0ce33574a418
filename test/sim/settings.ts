/** What a simulated node is started with, where no pod's template says it. */
import type { RingDocument } from "../../node/core/ring/document.ts";
import { siblingBytesMaxOf } from "../../node/core/version/sibling-limits.ts";
import type { NodeSettings } from "../../node/node.ts";
import type { ClusterOptions, SimulatedNode } from "./cluster.ts";

/** The largest that may be set. */
const PAIR_BYTES_MAX = 1 << 20;
const CLUSTER_ID = "simulated";

/** @param document The ring that the cluster begins with. */
export function settingsOf(
  { name, isFirst }: Pick<SimulatedNode, "name" | "isFirst">,
  document: RingDocument,
  options: ClusterOptions,
): NodeSettings {
  return {
    clusterId: CLUSTER_ID,
    member: name,
    firstRing: isFirst ? document : undefined,
    seeds: isFirst ? [] : document.members.map(({ address }) => address),
    timeoutMs: 1_000,
    gossipIntervalMs: 1_000,
    phiThreshold: 8,
    durability: options.durability,
    siblingsMax: options.siblingsMax ?? 50,
    siblingBytesMax: siblingBytesMaxOf(options.pairBytesMax ?? PAIR_BYTES_MAX, options.siblingsMax ?? 50),
    contextEntriesMax: options.contextEntriesMax ?? 32,
    recordCacheBytes: options.recordCacheBytes ?? 64 * 1_024,
    inFlightMax: 1_024,
    backgroundBytesPerSecond: 16 << 20,
    repair: {
      repairIntervalMs: options.repairIntervalMs ?? 2_000,
      scrubIntervalMs: options.scrubIntervalMs ?? 60_000,
    },
    hintWindowMs: options.hintWindowMs ?? 3 * 3_600_000,
    hintBytesMax: options.hintBytesMax ?? 1 << 30,
    tombstoneAgeMs: options.tombstoneAgeMs ?? 86_400_000,
  };
}
