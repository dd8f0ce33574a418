/**
 * What the admin port needs to know of a node: types only. The node's composition root implements them.
 *
 * Every function may throw a `KvError`, which becomes a problem document: NOT_READY where there is no ring yet,
 * INVALID_REQUEST for a partition that the ring does not have.
 */
import type { MemberId, MemberState, RingView } from "../../core/ring/document.ts";
import type { Sibling } from "../../core/version/record.ts";

/** Whether this node may coordinate requests now; answered from memory. The reason goes on a sentence. */
export type Readiness = { readonly ready: true } | { readonly ready: false; readonly reason: string };

/** How far anti-entropy of this node has come. */
export type RepairView = {
  /** Whether a round is under way. */
  readonly running: boolean;
  /** Rounds that ended since the start. */
  readonly rounds: number;
  /** Partitions of this node, and those whose Merkle tree is built. */
  readonly owned: number;
  readonly built: number;
  readonly partitions: readonly {
    readonly partition: number;
    /** When it was found equal to each of its other homes; the earliest of those. */
    readonly equalAtMs: number | undefined;
  }[];
};

/** `GET /v1/cluster`. */
export type ClusterView = {
  /** The cluster's id. */
  readonly id: string;
  /** This node's member name. */
  readonly node: MemberId;
  /** 0 before there is a ring. */
  readonly ringEpoch: number;
  readonly members: readonly {
    readonly name: MemberId;
    /** The data directory's id; undefined until it has been heard of. */
    readonly actor?: string | undefined;
    /** `host:port` of the peer listener. */
    readonly address: string;
    readonly zone: string;
    readonly weight: number;
    readonly state: MemberState;
    /** As this node sees it. */
    readonly health: "up" | "suspect" | "down";
  }[];
  /** Hints that this node keeps for others; too few until `complete`. */
  readonly hints: {
    readonly complete: boolean;
    readonly waiting: readonly { readonly target: MemberId; readonly count: number; readonly bytes: number }[];
  };
  /** The ring change in progress: none, as the ring is made once. */
  readonly transition: null;
  readonly repair: RepairView;
};

/** `GET /v1/ring/{key}`. */
export type KeyPlace = {
  readonly epoch: number;
  readonly partition: number;
  /** The key's hash, 16 hex digits. */
  readonly token: string;
  /** The key's home replicas, in order. */
  readonly homes: readonly { readonly name: MemberId; readonly zone: string; readonly address: string }[];
};

/** One key of an export: what a read of it would show. */
export type ExportEntry = {
  readonly key: Uint8Array;
  readonly siblings: readonly Sibling[];
  /** Token of everything shown, as `KV-Context`. */
  readonly context: string;
};

export type ExportPage = {
  /** In storage order. Empty only when the partition ends here. */
  readonly entries: readonly ExportEntry[];
  readonly done: boolean;
  /** Epoch of the ring under which the page was read. */
  readonly epoch: number;
};

export type Admin = {
  readiness(): Readiness;
  cluster(): ClusterView;
  ring(): RingView;
  /** Begins a round of anti-entropy over all partitions of the node. */
  repair(): void;
  locate(key: Uint8Array): KeyPlace;
  /** @param after Starts behind this key; undefined starts at the partition's first. */
  exportPage(partition: number, after: Uint8Array | undefined, entriesMax: number): Promise<ExportPage>;
  /** All metrics as Prometheus text. */
  metricsText(): Promise<string>;
};
