/**
 * The ring as clients may know it: enough to go straight to a home replica of a key, and nothing of the cluster's
 * insides (no actors, no peer ports). `GET /v1/ring` of the data port; read by `annulus/client`.
 */
import type { MemberId } from "./document.ts";
import type { Ring } from "./ring.ts";

export type ClientRing = {
  /** The cluster's id: a client that was led to another cluster notices. */
  readonly cluster: string;
  readonly epoch: number;
  /** A power of two; see `partitionOf` in hash.ts. */
  readonly partitions: number;
  /** N: home replicas of each key. */
  readonly n: number;
  readonly members: readonly {
    readonly name: MemberId;
    /** Under which its peers reach it; usually clients do, too. */
    readonly host: string;
    readonly zone: string;
  }[];
  /** For each partition the names of the home replicas that reads ask in this epoch, in order. */
  readonly preferenceLists: readonly (readonly MemberId[])[];
};

/** Makes what clients are told of a ring; members that have left are not in it. */
export function clientRing(cluster: string, ring: Ring): ClientRing {
  const { epoch, partitions, replicationFactor, document } = ring;
  return {
    cluster,
    epoch,
    partitions,
    n: replicationFactor,
    members: document.members
      .filter(({ state }) => state !== "left")
      .map(({ name, address, zone }) => ({ name, host: hostOf(address), zone })),
    preferenceLists: Array.from({ length: partitions }, (_, partition) =>
      ring.homes(partition).map(({ name }) => name),
    ),
  };
}

/** The host of `host:port`; an IPv6 address keeps its brackets, as URLs want it. */
function hostOf(address: string): string {
  return address.slice(0, address.lastIndexOf(":"));
}
