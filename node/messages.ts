/**
 * What members say to each other, as one closed union.
 *
 * A message crosses the wire as a flat array whose first element is its kind's number (small, quick, and it leaves
 * no place for keys like `__proto__`). `decodeRequest` and `decodeReply` check every field before anything else
 * sees it, so that no peer can reach an assertion.
 */
import type { ErrorCode, Outcome } from "./core/errors.ts";
import type { MemberNews } from "./core/membership/news.ts";
import type { LeafKey } from "./core/merkle/difference.ts";
import type { PartitionRoot } from "./core/merkle/packed.ts";

/**
 * The newest form of the messages that this release speaks, and the oldest. Two members speak the newest that both know,
 * and refuse each other in the handshake when there is none: docs/formats.md says what raises them.
 */
export const PROTOCOL = { newest: 1, oldest: 1 } as const;

/** What a client's write replaces: what its context covers, what the stamping replica holds, or nothing. */
export type WriteBase =
  | { readonly kind: "context"; readonly context: Uint8Array }
  | { readonly kind: "overwrite" }
  | { readonly kind: "sibling" };

/** The new content. Without `value` the write is a tombstone. */
export type WriteContent = {
  readonly value: Uint8Array | undefined;
  readonly contentType: string;
  /** Wall-clock instant in ms from which the value counts as a tombstone. */
  readonly expiresAtMs: number | undefined;
};

/**
 * The name of a write that may be sent more than once: the client's Idempotency-Key, or the coordinator's own id for
 * a write that it passes on. Two dots with one name are one event (design §4).
 */
export type EventName = { readonly kind: "client" | "forward"; readonly id: Uint8Array };

/** Has the receiver keep a record as a hint instead of as its own: it stands in for a home replica that missed it. */
export type HintOrder = {
  /** The home replica that the record is for. */
  readonly target: string;
  /** Whether the write's quorum counts the copy: such a hint neither expires nor is dropped (design §6). */
  readonly counts: boolean;
};

/**
 * Where in a trace the one who asks stands, as W3C Trace Context has it: trace id (16 bytes), span id (8), flags (1). Requests
 * of a trace that is not sampled, which is nearly all of them, do not have it.
 */
export type TraceContext = Uint8Array;

export type StampRequest = {
  readonly kind: "stamp";
  readonly epoch: number;
  readonly key: Uint8Array;
  readonly base: WriteBase;
  readonly content: WriteContent;
  readonly event: EventName | undefined;
  /** The home replica that the receiver stands in for: no home could be reached. What it keeps is a hint that counts. */
  readonly hintFor?: string;
  readonly trace?: TraceContext;
};
export type MergeRequest = {
  readonly kind: "merge";
  readonly epoch: number;
  readonly key: Uint8Array;
  /** Encoded record, see core/version/record-codec.ts. */
  readonly record: Uint8Array;
  readonly hint?: HintOrder;
  readonly trace?: TraceContext;
};
export type ReadRequest = {
  readonly kind: "read";
  readonly epoch: number;
  readonly key: Uint8Array;
  /** Asks for what the receiver holds as hints for the key, whoever they are for. */
  readonly asStandIn?: true;
  /** It is repair that asks, and takes what there is: a replica that is being rebuilt answers too. */
  readonly forRepair?: true;
  readonly trace?: TraceContext;
};
export type RingRequest = { readonly kind: "ring" };
/** Asks for a replica's own records of one partition, in storage order, page by page. */
export type ScanRequest = {
  readonly kind: "scan";
  readonly epoch: number;
  readonly partition: number;
  /** Keys up to and with this one are left out. */
  readonly after: Uint8Array | undefined;
  /** At most this many, 1 .. 1_000; the replica may send fewer to keep the reply small. */
  readonly limit: number;
};

/** Asks for the roots of a replica's Merkle trees. */
export type RootsRequest = {
  readonly kind: "roots";
  readonly epoch: number;
  /** At most 4_096. */
  readonly partitions: readonly number[];
};
/** Asks for the sums of the nodes under some nodes of a partition's tree. */
export type BranchesRequest = {
  readonly kind: "branches";
  readonly epoch: number;
  readonly partition: number;
  /** Of the nodes, 0 .. 15. */
  readonly depth: number;
  /** How much further down, 1 .. 4. */
  readonly step: number;
  /** At most 512. */
  readonly nodes: readonly number[];
};
/** Asks for the keys of some leaves with the fingerprints of their records. */
export type LeavesRequest = {
  readonly kind: "leaves";
  readonly epoch: number;
  readonly partition: number;
  /** 0 .. 16; at most what the replica's tree has. */
  readonly depth: number;
  /** At most 64. */
  readonly nodes: readonly number[];
};

/** Asks for the collection horizons of some partitions; see services/horizons.ts. */
export type HorizonsRequest = {
  readonly kind: "horizons";
  readonly epoch: number;
  /** At most 4_096. */
  readonly partitions: readonly number[];
};

export type RepairRequest = RootsRequest | BranchesRequest | LeavesRequest | HorizonsRequest;

/**
 * Asks of which partitions a member keeps nothing besides what their homes hold: no hint, and nothing that it has still to give
 * up. Evidence for collecting tombstones; see services/tombstones.ts.
 */
export type ClearanceRequest = {
  readonly kind: "clearance";
  readonly epoch: number;
  /** At most 4_096. */
  readonly partitions: readonly number[];
  /** Asks that all that was written there so far survive the loss of power before the member answers. */
  readonly isToFlush?: true;
};
/** What the sender knows of everybody's liveness; see core/membership/news.ts. */
export type GossipRequest = {
  readonly kind: "gossip";
  readonly news: readonly MemberNews[];
  /** Of the sender's ring. */
  readonly epoch: number;
};

/** A proposer's turn at the document of one epoch: the higher round wins, then the higher name. */
export type Ballot = {
  /** From 1. */
  readonly round: number;
  readonly proposer: string;
};
/** Asks a voter to take part in no lower ballot; see core/paxos/acceptor.ts. */
export type PromiseRequest = { readonly kind: "promise"; readonly epoch: number; readonly ballot: Ballot };
/** Asks a voter to accept a document for an epoch. */
export type AcceptRequest = {
  readonly kind: "accept";
  readonly epoch: number;
  readonly ballot: Ballot;
  /** As `serializeRing` writes it. */
  readonly document: string;
};
export type AgreementRequest = PromiseRequest | AcceptRequest;

/** Asks about how many bytes a replica holds of some partitions. */
export type SizesRequest = {
  readonly kind: "sizes";
  /** At most 4_096. */
  readonly partitions: readonly number[];
};

/** Asks how far a member is with what the ring asks of it. */
export type ProgressRequest = { readonly kind: "progress" };

export type Request =
  | StampRequest
  | MergeRequest
  | ReadRequest
  | RingRequest
  | ScanRequest
  | GossipRequest
  | AgreementRequest
  | ProgressRequest
  | SizesRequest
  | ClearanceRequest
  | RepairRequest;

export type StampedReply = {
  readonly kind: "stamped";
  /** The key's whole record after the write, encoded; durable at the replica that stamped it. */
  readonly record: Uint8Array;
  /** Encoded causal context that covers exactly the write and what it replaced. */
  readonly context: Uint8Array;
};
export type MergedReply = {
  readonly kind: "merged";
  /** Nothing of the record is kept, for the partition's collection horizon covers it: the key was deleted. */
  readonly isCovered: boolean;
};
export type RecordReply = { readonly kind: "record"; readonly record: Uint8Array | undefined };
export type RingReply = {
  readonly kind: "ring";
  /** The ring document as JSON, or undefined where there is none yet. */
  readonly document: string | undefined;
  /** Whether the directory ever held a ring. */
  readonly hadRing: boolean;
  /** Whether the member that asks was first met with another data directory. */
  readonly knowsAnother: boolean;
  /** Data directory of the member that answers. */
  readonly actor: string;
};
export type ScannedReply = {
  readonly kind: "scanned";
  readonly entries: readonly ScannedEntry[];
  /** Whether the partition ends with these. */
  readonly done: boolean;
};
export type ScannedEntry = { readonly key: Uint8Array; readonly record: Uint8Array };
export type FailureReply = {
  readonly kind: "failure";
  readonly code: ErrorCode;
  readonly message: string;
  readonly outcome: Outcome;
};

/** In the order in which they were asked for. */
export type RootsReply = {
  readonly kind: "roots";
  readonly roots: readonly PartitionRoot[];
  /** Newest epoch that the replica has adopted: every write that it took by an earlier one is in the sums. */
  readonly epoch: number;
  /** As many as there are roots; a replica of an older release knows of none. */
  readonly horizons: readonly HorizonMark[];
};

/** What a replica says of a partition's collection horizon beside its root. */
export type HorizonMark = {
  /** Tells horizons apart; 0 where there is none. */
  readonly digest: number;
  /** Whether what the replica lacks and the horizon covers was deleted for sure. */
  readonly vouches: boolean;
};
/** One sum of 16 bytes for each child of each node, in order. `inDoubt`: see `LeavesReply`. */
export type BranchesReply = { readonly kind: "branches"; readonly sums: Uint8Array; readonly inDoubt?: true };
/** `inDoubt`: a record of the partition was in doubt at that moment (services/doubts.ts), and may be missing. */
export type LeavesReply = { readonly kind: "leaves"; readonly keys: readonly LeafKey[]; readonly inDoubt?: true };

/** In the order in which they were asked for, as `encodeHorizon` writes them; undefined where there is none. */
export type HorizonsReply = { readonly kind: "horizons"; readonly horizons: readonly (Uint8Array | undefined)[] };

export type RepairReply = RootsReply | BranchesReply | LeavesReply | HorizonsReply;

/** In the order in which they were asked for. */
export type ClearanceReply = {
  readonly kind: "clearance";
  /** Newest epoch that the member has adopted. */
  readonly epoch: number;
  readonly clear: readonly boolean[];
  /**
   * Under which the member answers, after the flush if one was asked for: while it stays the same nothing was lost. Absent
   * in the answer of an older release, which does not flush either.
   */
  readonly incarnation?: number;
};
/** What the one who was told knows besides. */
export type GossipedReply = {
  readonly kind: "gossiped";
  readonly news: readonly MemberNews[];
  /** Of its ring. */
  readonly epoch: number;
};

/** A voter's word to `promise` and `accept` alike. */
export type VotedReply = {
  readonly kind: "voted";
  /** `yes`; `no`: it has promised a higher ballot; `not a voter`; `behind`: it does not have the epoch before yet. */
  readonly vote: "yes" | "no" | "not a voter" | "behind";
  /** The highest ballot that it has promised, if any. */
  readonly promised: Ballot | undefined;
  /** What it has accepted for the epoch, if anything. */
  readonly accepted: { readonly ballot: Ballot; readonly document: string } | undefined;
  /** Its ring, where that has the epoch already or a later one. */
  readonly newer: string | undefined;
};

/** Bytes of keys and records, estimated, in the order in which they were asked for. */
export type SizesReply = { readonly kind: "sizes"; readonly bytes: readonly number[] };

export type ProgressReply = {
  readonly kind: "progress";
  /** Data directory of the member. */
  readonly actor: string;
  /** Newest epoch that it has persisted and refuses by. */
  readonly epoch: number;
  /** Id of the change for which it is complete. */
  readonly completeFor: string | undefined;
  /** Holds nothing of partitions that are not its own, as of `epoch`, and keeps no hints. */
  readonly isEmptied: boolean;
  /** What it gets by the change under way: all of it as far as it is known, and what has come. */
  readonly totalPartitions: number;
  readonly movedPartitions: number;
  readonly totalBytes: number;
  readonly movedBytes: number;
  /** Its disk was lost, and what that held is not all here yet. Never told by an older release. */
  readonly isRebuilding?: true;
};

export type Reply =
  | StampedReply
  | MergedReply
  | RecordReply
  | RingReply
  | ScannedReply
  | GossipedReply
  | VotedReply
  | ProgressReply
  | SizesReply
  | ClearanceReply
  | RepairReply
  | FailureReply;
