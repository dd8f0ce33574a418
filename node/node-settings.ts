/** From the settings that were read to what a node is made with: the same for a process and for the simulation. */
import type { NodeConfig } from "./config.ts";
import { firstRing } from "./core/ring/first-members.ts";
import { siblingBytesMaxOf } from "./core/version/sibling-limits.ts";
import type { NodeSettings } from "./node.ts";

/**
 * A first member gets the first ring; every other one looks for the ring at its seeds, and at the first members: a pod may have
 * been started with a list that names these alone, for what it mounts lags by up to a minute.
 */
export function nodeSettings(config: NodeConfig): NodeSettings {
  const isFirstMember = config.firstMembers.some((member) => member.name === config.nodeName);
  const { partitionCount: partitions, replicationFactor, readQuorum, writeQuorum, mode } = config;
  const members = config.firstMembers;
  return {
    clusterId: config.clusterId,
    member: config.nodeName,
    firstRing: isFirstMember
      ? firstRing({ members, partitions, replicationFactor, readQuorum, writeQuorum, mode })
      : undefined,
    seeds: isFirstMember ? config.seeds : [...new Set([...config.seeds, ...members.map(({ address }) => address)])],
    timeoutMs: config.requestTimeoutMs,
    gossipIntervalMs: config.gossipIntervalMs,
    phiThreshold: config.phiThreshold,
    durability: config.durability,
    siblingsMax: config.siblingCountMax,
    siblingBytesMax: siblingBytesMaxOf(config.pairBytesMax, config.siblingCountMax),
    contextEntriesMax: config.contextEntriesMax,
    recordCacheBytes: config.recordCacheBytes,
    inFlightMax: config.inFlightMax,
    hintWindowMs: config.hintWindowMs,
    hintBytesMax: config.hintBytesMax,
    tombstoneAgeMs: config.tombstoneAgeMs,
    backgroundBytesPerSecond: config.backgroundBytesPerSecond,
    repair: { repairIntervalMs: config.repairIntervalMs, scrubIntervalMs: config.scrubIntervalMs },
  };
}
