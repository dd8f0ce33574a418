/** Settings that are right by themselves and make no sense together. */
import type { NodeConfig } from "./config.ts";

/** What contradicts what, one problem a line. */
export function contradictions(config: NodeConfig): string[] {
  const problems: string[] = [];
  const { replicationFactor, readQuorum, writeQuorum, partitionCount, firstMembers } = config;
  if (readQuorum > replicationFactor)
    problems.push(`ANNULUS_R: expected at most ANNULUS_N (${replicationFactor}), found ${readQuorum}`);
  if (writeQuorum > replicationFactor)
    problems.push(`ANNULUS_W: expected at most ANNULUS_N (${replicationFactor}), found ${writeQuorum}`);
  if (firstMembers.length > 0 && replicationFactor > firstMembers.length) {
    problems.push(
      `ANNULUS_N: expected at most the ${firstMembers.length} members of ANNULUS_MEMBERS, found ${replicationFactor}`,
    );
  }
  if ((partitionCount & (partitionCount - 1)) !== 0) {
    problems.push(`ANNULUS_PARTITIONS: expected a power of two, found ${partitionCount}`);
  }
  const ports = [config.dataPort, config.adminPort, config.peerPort].filter((number) => number !== 0);
  if (new Set(ports).size < ports.length) {
    problems.push(
      `ANNULUS_DATA_PORT, ANNULUS_ADMIN_PORT, ANNULUS_PEER_PORT: expected three different ports, found ${ports.join(", ")}`,
    );
  }
  return problems;
}
