/**
 * The ring document: who the members are and which of them is home to each partition.
 *
 * It is JSON with a fixed order of keys, so that equal documents are equal texts, and small enough to be sent whole
 * (a test bounds its size). How a text from outside is read: `parse-document.ts`.
 */
import { tokenOf } from "./hash.ts";

/** A member's stable name (the pod's name), 1 .. 63 of `[a-z0-9-.]`. */
export type MemberId = string;

/** What the ring says of a member. Liveness is not here: it is gossiped, never agreed. */
export type MemberState = "joining" | "active" | "rebuilding" | "leaving" | "left";

export type Mode = "strict" | "sloppy";

export type RingMember = {
  readonly name: MemberId;
  /** `host:port` of the peer listener. */
  readonly address: string;
  readonly zone: string;
  /** Share of replicas relative to the others, 0 .. 10_000; 0 is present but home to nothing. */
  readonly weight: number;
  readonly state: MemberState;
  /** Data directory's id, 32 hex digits, once it is known. */
  readonly actor?: string;
  /** Removed while it could not be reached: its disk counts as destroyed, whatever it says when it comes back. */
  readonly isDestroyed?: true;
};

/** The two phases in which a partition has two sets of homes; see `transition.ts`. */
export type Phase = "prepare" | "switch";

/** A change under way: from the homes of the document to those of here. */
export type Transition = {
  /** 16 hex digits. */
  readonly id: string;
  readonly phase: Phase;
  /** Epoch with which the phase began. */
  readonly phaseEpoch: number;
  /** When it was asked for, by the wall clock of who was asked. For people. */
  readonly startedAtMs: number;
  /** The homes to be, as `RingDocument.homes`. */
  readonly homes: readonly (readonly number[])[];
  /** Who leaves by it, sorted. */
  readonly leaving: readonly MemberId[];
  /** Weights that hold once it has ended, of members whose weight changes; sorted by name. */
  readonly weights: readonly (readonly [MemberId, number])[];
  /** Figures that hold once it has ended. */
  readonly readQuorum: number;
  readonly writeQuorum: number;
  readonly mode: Mode;
};

/** How a change ended. */
export type PastChange = {
  readonly id: string;
  readonly outcome: "done" | "cancelled";
  /** Epoch with which it ended. */
  readonly epoch: number;
};

export type RingDocument = {
  /** Grows by one with each agreed change; the higher epoch wins, rings are never merged. */
  readonly epoch: number;
  /** Equal parts of the hash space, a power of two, 1 .. `PARTITIONS_MAX`, fixed at creation. */
  readonly partitions: number;
  readonly replicationFactor: number;
  readonly readQuorum: number;
  readonly writeQuorum: number;
  readonly mode: Mode;
  /** Sorted by name. */
  readonly members: readonly RingMember[];
  /** `homes[p]` are the home replicas of partition p, in order, as indexes into `members`. */
  readonly homes: readonly (readonly number[])[];
  readonly transition?: Transition;
  /** The last changes, the newest last. */
  readonly past?: readonly PastChange[];
};

/** Most partitions of a ring. */
export const PARTITIONS_MAX = 65_536;

/** How many changes a document remembers. */
export const PAST_MAX = 16;

function orderMember({ name, address, zone, weight, state, actor, isDestroyed }: RingMember): RingMember {
  const member = { name, address, zone, weight, state };
  return { ...member, ...(actor === undefined ? {} : { actor }), ...(isDestroyed === true ? { isDestroyed } : {}) };
}

function orderTransition(transition: Transition): Transition {
  const { id, phase, phaseEpoch, startedAtMs, homes, leaving, weights, readQuorum, writeQuorum, mode } = transition;
  return { id, phase, phaseEpoch, startedAtMs, homes, leaving, weights, readQuorum, writeQuorum, mode };
}

/** The document as JSON without spaces; equal documents give equal texts. */
export function serializeRing(document: RingDocument): string {
  const { epoch, partitions, replicationFactor, readQuorum, writeQuorum, mode, members, homes } = document;
  const { transition, past } = document;
  return JSON.stringify({
    epoch,
    partitions,
    replicationFactor,
    readQuorum,
    writeQuorum,
    mode,
    members: members.map(orderMember),
    homes,
    ...(transition === undefined ? {} : { transition: orderTransition(transition) }),
    ...(past === undefined ? {} : { past: past.map(({ id, outcome, epoch: at }) => ({ id, outcome, epoch: at })) }),
  });
}

/** The document as people and tools see it (`GET /v1/ring`): names instead of indexes, and each partition's token. */
export type RingView = {
  readonly epoch: number;
  readonly partitions: number;
  readonly n: number;
  readonly r: number;
  readonly w: number;
  readonly mode: Mode;
  readonly members: readonly RingMember[];
  /** First hash of each partition, 16 hex digits. */
  readonly tokens: readonly string[];
  /** Names of the home replicas of each partition, in order. */
  readonly preferenceLists: readonly (readonly MemberId[])[];
  /** The change under way, with the home replicas to be. */
  readonly transition?: {
    readonly id: string;
    readonly phase: Phase;
    readonly preferenceLists: readonly (readonly MemberId[])[];
  };
};

/** Makes the view that the admin API shows. */
export function ringView(document: RingDocument): RingView {
  const { epoch, partitions, replicationFactor, readQuorum, writeQuorum, mode, members, homes, transition } = document;
  const namesOf = (table: RingDocument["homes"]) => table.map((row) => row.map((index) => members[index]?.name ?? ""));
  return {
    epoch,
    partitions,
    n: replicationFactor,
    r: readQuorum,
    w: writeQuorum,
    mode,
    members: members.map(orderMember),
    tokens: homes.map((_, partition) => tokenOf(partition, partitions)),
    preferenceLists: namesOf(homes),
    ...(transition === undefined
      ? {}
      : {
          transition: { id: transition.id, phase: transition.phase, preferenceLists: namesOf(transition.homes) },
        }),
  };
}
