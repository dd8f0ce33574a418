/**
 * Answers what peers ask of this node's Merkle trees. That this node is home to the partition is checked by the caller,
 * except for roots, where a partition that it does not keep simply has none.
 */
import { KvError } from "../core/errors.ts";
import { childrenOf } from "../core/merkle/difference.ts";
import type { BranchesRequest, LeavesRequest, RepairReply, RepairRequest } from "../messages.ts";
import type { Completeness } from "./completeness.ts";
import type { Doubts } from "./doubts.ts";
import type { Horizons } from "./horizons.ts";
import type { Collection } from "./replica.ts";
import type { Trees } from "./trees.ts";

/** @throws {KvError} NOT_READY while the tree is not built, or has fewer levels than are asked for. */
export async function answerRepair(
  {
    trees,
    horizons,
    collection,
    completeness,
    doubts,
    adoptedEpoch,
  }: {
    readonly trees: Trees;
    readonly horizons: Horizons;
    readonly collection: Collection;
    readonly completeness: Completeness;
    readonly doubts: Pick<Doubts, "isSure">;
    readonly adoptedEpoch: () => number;
  },
  request: RepairRequest,
): Promise<RepairReply> {
  // Whose disk was exchanged while it was being compared lacks what its answers of before named.
  const isSure = (partition: number) => completeness.isComplete(partition) && doubts.isSure(partition);
  const doubtOf = (partition: number): { readonly inDoubt?: true } => (isSure(partition) ? {} : { inDoubt: true });
  switch (request.kind) {
    case "roots": {
      const epoch = adoptedEpoch();
      const roots = request.partitions.map((partition) => {
        // Half-way through collecting, a tree would differ for no reason.
        const tree = horizons.isSettled(partition) ? trees.ready(partition) : undefined;
        return tree === undefined ? undefined : { bits: tree.bits, sum: tree.root(), isComplete: isSure(partition) };
      });
      const marks = request.partitions.map((partition) => ({
        digest: horizons.digest(partition),
        vouches: collection.vouches(partition),
      }));
      return { kind: "roots", roots, epoch, horizons: marks };
    }
    case "horizons":
      return { kind: "horizons", horizons: request.partitions.map(horizons.encoded) };
    case "branches":
      return { kind: "branches", sums: sumsUnder(trees, request), ...doubtOf(request.partition) };
    case "leaves": {
      const keys = await trees.list(request.partition, request.depth, request.nodes);
      // Last: the listing itself may have found a record damaged, which then is not on the list.
      return { kind: "leaves", keys, ...doubtOf(request.partition) };
    }
  }
}

function sumsUnder(trees: Trees, { partition, depth, step, nodes }: BranchesRequest): Uint8Array {
  const tree = trees.ready(partition);
  if (tree === undefined || depth + step > tree.bits) throw notReady({ partition, depth });
  return tree.sums(depth + step, childrenOf(nodes, step));
}

function notReady({ partition, depth }: Pick<LeavesRequest, "partition" | "depth">): KvError {
  return new KvError(
    "NOT_READY",
    `Cannot compare partition ${partition} at depth ${depth}: its tree is not built yet.`,
  );
}
