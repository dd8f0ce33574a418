/**
 * What a change of the ring would do, in figures for the one who asks for it: who gets and gives up how much, and how
 * even it is afterwards. It reads two documents, the present one and the one that `beginChange` makes of it; it plans nothing.
 */
import assert from "node:assert/strict";
import type { MemberId, RingDocument, RingMember } from "./document.ts";
import { movedBytes, movement } from "./movement.ts";
import { explainPlacement } from "./placement.ts";

/** What a change does, before it has begun or after. */
export type ChangePlan = {
  /** Replicas of partitions that are copied to a member that did not hold them. */
  readonly movedPartitions: number;
  /** Bytes of those: an estimate, by what a present home holds now. */
  readonly movedBytes: number;
  /** Everybody but who had left before, sorted by name. */
  readonly members: readonly {
    readonly name: MemberId;
    readonly zone: string;
    /** Once the change has ended; of who leaves, as it was. */
    readonly weight: number;
    readonly replicasBefore: number;
    readonly replicasAfter: number;
    /** Replicas afterwards that weights and zones ask for: a fraction, 0 for who leaves. */
    readonly replicasIdeal: number;
    readonly gains: number;
    readonly loses: number;
  }[];
  /** What could not be had as asked, and what is given up, in sentences. */
  readonly notes: readonly string[];
};

/**
 * Reports a change.
 *
 * @param begun The document that begins it, as `beginChange` made it of `present`.
 * @param partitionBytes What one replica of each partition holds; 0 counts where it is not known.
 */
export function reportPlan(present: RingDocument, begun: RingDocument, partitionBytes: readonly number[]): ChangePlan {
  const { members, transition, partitions, replicationFactor } = begun;
  assert(transition !== undefined, "the document begins a change");
  const toBe = { members, homes: transition.homes };
  const moves = movement({ from: present, to: toBe });
  const weights = new Map(transition.weights);
  const staying = members
    .filter(({ state }) => state !== "left" && state !== "leaving")
    .map((member) => ({ ...member, weight: weights.get(member.name) ?? member.weight }));
  const request = { partitions, replicationFactor, members: staying, previous: present };
  const { notes, idealReplicas } = explainPlacement(request, toBe);
  const before = replicasOf(present.members, present.homes);
  const after = replicasOf(members, transition.homes);
  const gained = new Map<MemberId, number>();
  for (const { to } of moves) gained.set(to, (gained.get(to) ?? 0) + 1);
  return {
    movedPartitions: moves.length,
    movedBytes: movedBytes(moves, partitionBytes),
    members: members
      .filter(({ state }) => state !== "left")
      .map(({ name, zone, weight }) => {
        const held = { replicasBefore: before.get(name) ?? 0, replicasAfter: after.get(name) ?? 0 };
        const gains = gained.get(name) ?? 0;
        const loses = held.replicasBefore + gains - held.replicasAfter;
        const replicasIdeal = idealReplicas.get(name) ?? 0;
        return { name, zone, weight: weights.get(name) ?? weight, ...held, replicasIdeal, gains, loses };
      }),
    notes: [...members.flatMap(destructionNote), ...notes],
  };
}

function destructionNote({ name, state, isDestroyed }: RingMember): readonly string[] {
  if (state !== "leaving" || isDestroyed !== true) return [];
  return [
    `${name} cannot be reached: its disk counts as destroyed, and what it holds is set aside should it come back.`,
  ];
}

function replicasOf(members: readonly RingMember[], homes: RingDocument["homes"]): ReadonlyMap<MemberId, number> {
  const counts = new Map<MemberId, number>();
  for (const home of homes.flat()) {
    const name = members[home]?.name;
    assert(name !== undefined, "a home is one of the members");
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  return counts;
}

/**
 * What a change under way does, in words: `join n4; leave n2; weight n1 200; w 3`; `rebalance` where only the table changes,
 * as after members' zones did.
 *
 * @param document One with a transition.
 */
export function describeChange({ members, transition, ...document }: RingDocument): string {
  assert(transition !== undefined, "there is a change to describe");
  const joining = members.filter(({ state }) => state === "joining").map(({ name }) => name);
  const removed = members.filter(({ state, isDestroyed }) => state === "leaving" && isDestroyed === true);
  const destroyed = removed.map(({ name }) => name);
  const leaving = transition.leaving.filter((name) => !destroyed.includes(name));
  const { readQuorum, writeQuorum, mode } = transition;
  const words = [
    ...(joining.length === 0 ? [] : [`join ${joining.join(", ")}`]),
    ...(leaving.length === 0 ? [] : [`leave ${leaving.join(", ")}`]),
    ...(destroyed.length === 0 ? [] : [`give up ${destroyed.join(", ")}`]),
    ...transition.weights.map(([name, weight]) => (weight === 0 ? `drain ${name}` : `weight ${name} ${weight}`)),
    ...(readQuorum === document.readQuorum ? [] : [`r ${readQuorum}`]),
    ...(writeQuorum === document.writeQuorum ? [] : [`w ${writeQuorum}`]),
    ...(mode === document.mode ? [] : [mode]),
  ];
  return words.length === 0 ? "rebalance" : words.join("; ");
}
