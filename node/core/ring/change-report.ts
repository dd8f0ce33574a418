/**
 * How far a change is, in figures: what is to be moved is in the document, what has come is what members say of
 * themselves. Of one that ended, the document remembers the outcome alone.
 */
import type { MemberId, RingDocument } from "./document.ts";
import { describeChange } from "./plan-report.ts";
import { createRing } from "./ring.ts";

/** What a member says of the change under way. */
export type MemberMoves = {
  /** Newest epoch that it has adopted. */
  readonly epoch: number;
  /** The change for which it is complete. */
  readonly completeFor: string | undefined;
  readonly movedPartitions: number;
  readonly totalBytes: number;
  readonly movedBytes: number;
};

/** Replicas of partitions and bytes that have come, of those that are to come. */
export type Moved = {
  readonly movedBytes: number;
  /** Grows while members find out what there is. */
  readonly totalBytes: number;
  readonly movedPartitions: number;
  readonly totalPartitions: number;
};

export type ChangeReport = Moved & {
  /** In words; undefined where only the outcome is remembered. */
  readonly kind: string | undefined;
  readonly startedAtMs: number | undefined;
  /** Epoch of the document, or the one with which it ended. */
  readonly epoch: number;
  /** Members that get something by it, in the document's order. */
  readonly members: readonly (Moved & {
    readonly name: MemberId;
    readonly epoch: number;
    readonly complete: boolean;
  })[];
};

/**
 * Reports one change.
 *
 * @param document The newest one; the change is its transition, or one of its past ones.
 * @param said By name; who did not answer counts as having nothing.
 */
export function reportChange(
  document: RingDocument,
  id: string,
  said: ReadonlyMap<MemberId, MemberMoves>,
): ChangeReport {
  const { transition, past, epoch } = document;
  if (transition?.id !== id) {
    const ended = past?.find((change) => change.id === id);
    return { kind: undefined, startedAtMs: undefined, epoch: ended?.epoch ?? epoch, ...NOTHING, members: [] };
  }
  const ring = createRing(document);
  const members = document.members.flatMap(({ name }) => {
    const totalPartitions = ring.gains(name).length;
    if (totalPartitions === 0) return [];
    const moves = said.get(name);
    const complete = moves?.completeFor === id;
    const movedPartitions = complete ? totalPartitions : Math.min(totalPartitions, moves?.movedPartitions ?? 0);
    const { totalBytes, movedBytes } = moves ?? NOTHING;
    return [{ name, epoch: moves?.epoch ?? 0, complete, movedBytes, totalBytes, movedPartitions, totalPartitions }];
  });
  const { startedAtMs } = transition;
  return { kind: describeChange(document), startedAtMs, epoch, ...members.reduce(add, NOTHING), members };
}

const NOTHING: Moved = { movedBytes: 0, totalBytes: 0, movedPartitions: 0, totalPartitions: 0 };

function add(a: Moved, b: Moved): Moved {
  return {
    movedBytes: a.movedBytes + b.movedBytes,
    totalBytes: a.totalBytes + b.totalBytes,
    movedPartitions: a.movedPartitions + b.movedPartitions,
    totalPartitions: a.totalPartitions + b.totalPartitions,
  };
}
