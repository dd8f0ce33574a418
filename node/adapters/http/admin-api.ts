/**
 * What the admin port needs to know of a node: types only. The node's composition root implements them.
 *
 * Every function may throw a `KvError`, which becomes a problem document: NOT_READY where there is no ring yet,
 * INVALID_REQUEST for a partition that the ring does not have.
 */
import type { HeldLeaf, LeafSums } from "../../core/merkle/brief.ts";
import type { ChangeRequest } from "../../core/ring/change.ts";
import type { ChangeReport, Moved } from "../../core/ring/change-report.ts";
import type { MemberId, MemberState, Phase, RingView } from "../../core/ring/document.ts";
import type { ChangePlan } from "../../core/ring/plan-report.ts";
import type { KeyVersions } from "../../core/version/key-versions.ts";
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

/** The change under way as `GET /v1/cluster` shows it. */
export type TransitionView = Moved & {
  /** 16 hex digits. */
  readonly id: string;
  readonly phase: Phase;
  /** What it does, in words: `join n4; leave n2`. */
  readonly kind: string;
  /** By the wall clock of the member that was asked. */
  readonly startedAtMs: number;
};

/** How far one change is, or how it ended; `GET /v1/cluster/changes/{id}`. */
export type ChangeView = ChangeReport & {
  readonly id: string;
  /** `cleaning`: its homes hold, members that give something up have not dropped all of it yet. */
  readonly state: "prepare" | "switch" | "cleaning" | "done" | "cancelled";
  /** What holds it up, for a person. */
  readonly waitsFor?: string | undefined;
};

/** Changes of the ring, as they are asked for. */
export type Changes = {
  /**
   * Asks for a change.
   *
   * @param options `dryRun` plans only: nothing begins, and there is no id.
   * @throws {KvError} INVALID_REQUEST; CHANGE_REFUSED, naming the change that runs or what would be unsafe;
   *   QUORUM_UNAVAILABLE: too few members can be reached to agree on it.
   */
  begin(
    request: ChangeRequest,
    options: { readonly dryRun: boolean },
  ): Promise<{ readonly id: string | undefined; readonly plan: ChangePlan }>;
  /** @throws {KvError} NOT_FOUND; CHANGE_REFUSED once it has switched or ended; QUORUM_UNAVAILABLE. */
  cancel(id: string): Promise<void>;
  /** @throws {KvError} NOT_FOUND. */
  progress(id: string): Promise<ChangeView>;
};

/** `GET /v1/cluster`. */
export type ClusterView = {
  /** The cluster's id. */
  readonly id: string;
  /** This node's member name. */
  readonly node: MemberId;
  /** Whether its ports know tokens, or let everybody do everything. Operators learn from it that a release knows them. */
  readonly access: "open" | "tokens";
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
  /** The ring change under way, if there is one. */
  readonly transition: TransitionView | null;
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

/** A key with its record as replicas keep it, encoded. */
export type BackupEntry = { readonly key: Uint8Array; readonly record: Uint8Array };

/** What became of each record of a batch: how many; the places in the batch of those that this node cannot judge. */
export type RestoreOutcome = {
  /** Held by W homes now. */
  readonly merged: number;
  /** Left out: deleted or replaced since the backup. */
  readonly outdated: number;
  readonly unjudged: readonly number[];
};

export type Admin = {
  readiness(): Readiness;
  cluster(): ClusterView | Promise<ClusterView>;
  ring(): RingView;
  readonly changes: Changes;
  /** Begins a round of anti-entropy over all partitions of the node. */
  repair(): void;
  locate(key: Uint8Array): KeyPlace;
  /** Asks each home replica of a key what it holds of it. */
  versions(key: Uint8Array): Promise<KeyVersions>;
  /** @param after Starts behind this key; undefined starts at the partition's first. */
  exportPage(partition: number, after: Uint8Array | undefined, entriesMax: number): Promise<ExportPage>;
  /** The same keys as records, for a backup. */
  backupPage(
    partition: number,
    after: Uint8Array | undefined,
    entriesMax: number,
  ): Promise<{ readonly entries: readonly BackupEntry[]; readonly done: boolean; readonly epoch: number }>;
  /** Sums of a partition's leaves, for a backup to compare itself with. */
  backupTree(partition: number): Promise<LeafSums>;
  /** Gives the records of some leaves that a backup lacks, and returns the briefs that it is to drop. */
  backupDifference(
    partition: number,
    bits: number,
    leaves: readonly HeldLeaf[],
  ): AsyncGenerator<readonly BackupEntry[], { readonly epoch: number; readonly gone: readonly bigint[] }>;
  /** Merges records of a backup. Repeating it changes nothing. */
  restore(entries: readonly BackupEntry[]): Promise<RestoreOutcome>;
  /** All metrics as Prometheus text. */
  metricsText(): Promise<string>;
};
