/**
 * What a change of the ring costs: which replicas have to be copied to whom.
 *
 * A member that stays home to a partition has its data, in whatever place it comes; one that becomes home has to get
 * all of it. What members may drop is no movement.
 */
import assert from "node:assert/strict";
import type { MemberId } from "./document.ts";
import type { PlacementTable } from "./placement.ts";

/** One replica that has to be copied. */
export type Move = { readonly partition: number; readonly to: MemberId };

/**
 * The replicas that members have in `to` and not in `from`, by partition, then in home order.
 *
 * @param change Two tables (or ring documents) with the same partitions.
 */
export function movement({ from, to }: { from: PlacementTable; to: PlacementTable }): Move[] {
  assert.equal(from.homes.length, to.homes.length, "partitions are fixed at creation");
  const moves: Move[] = [];
  for (const [partition, row] of to.homes.entries()) {
    const before = from.homes[partition]?.map((home) => from.members[home]?.name) ?? [];
    for (const home of row) {
      const name = to.members[home]?.name;
      assert(name !== undefined, "a home is one of the members");
      if (!before.includes(name)) moves.push({ partition, to: name });
    }
  }
  return moves;
}

/**
 * Bytes that the moves of a change copy.
 *
 * @param partitionSizesBytes What one replica of each partition holds, as its present homes report it.
 */
export function movedBytes(moves: readonly Move[], partitionSizesBytes: readonly number[]): number {
  return moves.reduce((sum, { partition }) => sum + (partitionSizesBytes[partition] ?? 0), 0);
}
