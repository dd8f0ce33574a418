/** The ring document: who the members are and which of them is home to each partition. */

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
};

export type RingDocument = {
  /** Grows by one with each agreed change; the higher epoch wins, rings are never merged. */
  readonly epoch: number;
  /** Equal parts of the hash space, a power of two, 1 .. 65_536, fixed at creation. */
  readonly partitions: number;
  readonly replicationFactor: number;
  readonly readQuorum: number;
  readonly writeQuorum: number;
  readonly mode: Mode;
  /** Sorted by name. */
  readonly members: readonly RingMember[];
  /** `homes[p]` are the home replicas of partition p, in order, as indexes into `members`. */
  readonly homes: readonly (readonly number[])[];
};
