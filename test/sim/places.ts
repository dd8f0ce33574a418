/** Where a key may lie on simulated disks: the storage keys of its homes' own records, and of hints for them. */
import assert from "node:assert/strict";
import { dataKey, hintKey, horizonKey } from "../../node/core/keyspace.ts";
import type { SimulatedCluster } from "./cluster.ts";

/** Storage keys of a home's own record, and of a hint for it. */
export type Place = {
  readonly home: string;
  readonly own: Uint8Array;
  readonly hint: Uint8Array;
  /** Of the partition's collection horizon, which answers for what was deleted and forgotten. */
  readonly horizon: Uint8Array;
};

/** Made once for each key: checkers look at every disk after each write, and each disk knows a storage key again by itself. */
const known = new WeakMap<SimulatedCluster, Map<string, readonly Place[]>>();

/** Where its homes keep a key, and others for them. Where homes change, any machine may be one, and machines are added. */
export function placesOf(cluster: SimulatedCluster, key: string): readonly Place[] {
  const { ring, nodes, isElastic } = cluster;
  const ofCluster = known.get(cluster) ?? new Map<string, readonly Place[]>();
  known.set(cluster, ofCluster);
  const before = ofCluster.get(key);
  if (before !== undefined && (!isElastic || before.length === nodes.length)) return before;
  const bytes = new TextEncoder().encode(key);
  const partition = ring.partitionOf(bytes);
  const own = before?.[0]?.own ?? dataKey(partition, bytes);
  const horizon = before?.[0]?.horizon ?? horizonKey(partition);
  const places = (isElastic ? nodes : ring.homes(partition)).map(({ name }) => {
    const hint = hintKey({ partition, target: name, key: bytes });
    return { home: name, own, hint, horizon };
  });
  ofCluster.set(key, places);
  return places;
}

/** Where any home keeps its own record of a key. */
export function ownPlaceOf(cluster: SimulatedCluster, key: string): Uint8Array {
  return placesOf(cluster, key)[0]?.own ?? assert.fail("a key has a home");
}
