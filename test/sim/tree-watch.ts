/**
 * Whether the Merkle trees say what the disks hold: not only at the end, but at every moment at which they may be asked.
 *
 * A sum that is wrong mends itself with the next comparison, so that whoever looks at the end finds nothing. But whenever a
 * node has heard of all that its disk has applied, each tree that can be compared is exactly the sum of the records on its disk.
 */
import assert from "node:assert/strict";
import { equalBytes } from "../../node/core/bytes.ts";
import { parsePartitionedKey, partitionRange, placeOfStored } from "../../node/core/keyspace.ts";
import { fingerprintOf } from "../../node/core/merkle/fingerprint.ts";
import { LEAF_BITS_MIN, MerkleTree } from "../../node/core/merkle/tree.ts";
import type { SimulatedCluster, SimulatedNode } from "./cluster.ts";
import { recordIn } from "./disk-records.ts";

const INTERVAL_MS = 250;

/** Looks at one node's trees after the other, over and over, until the run ends. */
export function watchTrees(cluster: SimulatedCluster): void {
  const { nodes, simulator } = cluster;
  let turn = 0;
  const look = () => {
    const machine = nodes[turn++ % nodes.length];
    if (machine !== undefined && !machine.disk.isTelling()) checkTreesOf(cluster, machine);
    simulator.after(INTERVAL_MS, look);
  };
  simulator.after(INTERVAL_MS, look);
}

function checkTreesOf({ ring, simulator }: SimulatedCluster, machine: SimulatedNode): void {
  for (let partition = 0; partition < ring.partitions; partition++) {
    const kept = machine.node?.repair.trees.ready(partition);
    if (kept === undefined) continue;
    const counted = treeOf(machine, partition);
    if (counted === undefined) continue;
    assert(
      equalBytes(kept.root(), counted.root()),
      `the tree of partition ${partition} at ${machine.name} is what its disk holds at ${simulator.nowMs.toFixed(1)} ms`,
    );
  }
}

/** The tree of what a disk holds; undefined where a record is damaged and its node has not found that out yet. */
function treeOf({ disk }: SimulatedNode, partition: number): MerkleTree | undefined {
  const tree = new MerkleTree(LEAF_BITS_MIN);
  for (const { key: at, value } of disk.entries({ ...partitionRange(partition), limit: 10_000 })) {
    const record = recordIn(value);
    if (record === undefined) return undefined;
    tree.add(placeOfStored(at), fingerprintOf(parsePartitionedKey(at).key, value, record));
  }
  return tree;
}
