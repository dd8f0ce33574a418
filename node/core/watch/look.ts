/**
 * What one look at a cluster finds, whoever looks: the command line through the admin ports that it was told, or a node
 * for the console that it serves. Types only.
 */
import type { Sample } from "./metrics-text.ts";

/** A member, as the node that was asked sees it. */
export type SeenMember = {
  readonly name: string;
  /** Id of the data directory that it has, or with which it was met last. */
  readonly actor?: string | null | undefined;
  readonly zone: string;
  readonly weight: number;
  readonly state: string;
  readonly health: "up" | "suspect" | "down";
  readonly phi?: number | undefined;
};

/** The cluster, as the node that was asked sees it. */
export type SeenCluster = {
  readonly id: string;
  /** The node that was asked. */
  readonly node: string;
  /** 0 before there is a ring. */
  readonly ringEpoch: number;
  readonly members: readonly SeenMember[];
  /** What that node keeps for others. */
  readonly hints: {
    readonly waiting: readonly { readonly target: string; readonly count: number; readonly bytes: number }[];
  };
  readonly transition?:
    | {
        readonly id: string;
        readonly kind: string;
        readonly phase: string;
        /** Since 1970, by the wall clock of the member that was asked for the change. */
        readonly startedAtMs: number;
        readonly movedPartitions: number;
        readonly totalPartitions: number;
        readonly movedBytes: number;
        readonly totalBytes: number;
      }
    | null
    | undefined;
};

/** The ring, as far as a look needs it. */
export type SeenRing = {
  readonly epoch: number;
  readonly partitions: number;
  readonly n: number;
  readonly r: number;
  readonly w: number;
  readonly members: readonly {
    readonly name: string;
    readonly zone: string;
    readonly state: string;
    /** Id of the data directory that it lists, once it lists one. */
    readonly actor?: string | undefined;
    readonly isDestroyed?: boolean | undefined;
  }[];
  readonly preferenceLists: readonly (readonly string[])[];
};

/** What one node said. */
export type NodeView = {
  /** Base URL of its admin port; empty where a node looks at itself. */
  readonly url: string;
  readonly cluster: SeenCluster;
  readonly metrics: readonly Sample[];
  /** Why it does not serve clients, in its own words; undefined: it does. */
  readonly notReady: string | undefined;
  /** How far its wall clock is ahead of the one who looks, in ms, to about a second: `Date` has no more. */
  readonly aheadMs: number | undefined;
};

/** A node that gave no view of itself, and why. */
export type Silence = {
  readonly url: string;
  readonly why: string;
  /** It answered, and asks for a token, or another one. */
  readonly isRefusal?: boolean;
};

export type Look = {
  /** Ms since 1970. */
  readonly atMs: number;
  readonly views: readonly NodeView[];
  readonly silent: readonly Silence[];
  /** The newest ring that a node told. */
  readonly ring: SeenRing | undefined;
};
