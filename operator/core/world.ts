/**
 * What the operator sees of one cluster at one moment: the input of every decision.
 *
 * Nothing here is remembered from an earlier run but what the object's status holds. What could not be learnt is said
 * to be unknown (`silent`, undefined) and is never taken for "no", "none" or "done".
 */
import type { Cluster, Presets } from "../api/kvcluster.ts";
import type { KubeObject } from "./objects.ts";

/** The operator's own settings that a decision needs. */
export type Policy = Presets & {
  /** Image of a cluster that names none. */
  readonly nodeImage: string;
  /** Where the operator runs: let through to the admin ports. */
  readonly operatorNamespace: string;
};

export type StatefulSetFacts = {
  readonly uid: string;
  readonly replicas: number;
  /** Whether its controller has seen the newest template: only then is `updateRevision` the newest. */
  readonly isObserved: boolean;
  readonly updateRevision: string | undefined;
  /** Of its template. */
  readonly image: string | undefined;
  /** Whether nodes started from its template ask for tokens. */
  readonly asksForToken: boolean;
  /** Whether the admin ports of nodes started from its template speak TLS. */
  readonly isAdminSecure: boolean;
  /** The size in its claim template, which cannot change. */
  readonly claimSize: string | undefined;
};

/** Whether a member speaks TLS to its peers: not, to whoever does, or to nobody who does not. */
export type PeerTls = "off" | "allow" | "require";

export type PodFacts = {
  readonly name: string;
  readonly uid: string;
  /** Uid of the StatefulSet that made it; undefined where it has none now. */
  readonly owner: string | undefined;
  /** Changes with every change of the pod. */
  readonly resourceVersion: string;
  readonly ordinal: number;
  readonly ip: string | undefined;
  /** The machine it is bound to; undefined until it has been scheduled. */
  readonly machine: string | undefined;
  readonly revision: string | undefined;
  readonly isReady: boolean;
  readonly isDeleting: boolean;
  readonly createdAtMs: number;
  /** When its container was last started, if it runs. */
  readonly startedAtMs: number | undefined;
  /** Why its container waits (ImagePullBackOff, CrashLoopBackOff), or why it cannot be scheduled. */
  readonly trouble: string | undefined;
  /** As its node was started. */
  readonly peerTls: PeerTls;
  /** Whether its admin port speaks TLS. */
  readonly isAdminSecure: boolean;
  /** Whether its node was started to ask for tokens. */
  readonly asksForToken: boolean;
  /** Somebody asks for it to be rebuilt on a new volume. */
  readonly replaceAsked: boolean;
  /** Somebody says that its disk is gone for good. */
  readonly isSaidLost: boolean;
  /** Whether it has not been ready yet since it came. */
  readonly isStarting: boolean;
  /** The CPU that all its containers together are promised, in cores; undefined where one is promised none. */
  readonly requestedCores: number | undefined;
};

export type ClaimFacts = {
  readonly name: string;
  readonly uid: string;
  readonly resourceVersion: string;
  /** The pod whose volume it is. */
  readonly pod: string;
  readonly ordinal: number;
  /**
   * The one machine that its volume lives on, or its host name where no such machine is listed; undefined for a volume
   * that can move, or is not bound yet.
   */
  readonly machine: string | undefined;
  /** Whether it does not follow its pod to any other machine of the zone, as far as it says. */
  readonly isLocal: boolean;
  /** The size that it asks for, as it is written. */
  readonly requested: string | undefined;
  readonly requestedBytes: number | undefined;
  /** The UIDs of those that it goes with. */
  readonly owners: readonly string[];
  /** Whether it has its volume: only then may it grow. */
  readonly isBound: boolean;
  readonly isDeleting: boolean;
  /** Its volume is gone. */
  readonly isLost: boolean;
};

export type MachineFacts = {
  readonly name: string;
  /** What volumes call it. */
  readonly host: string;
  readonly zone: string | undefined;
  readonly isReady: boolean;
  /** Since when it has not been ready. */
  readonly unreadySinceMs: number | undefined;
  /** When its kubelet last told its state, by its own clock: every five minutes at least. */
  readonly heardAtMs: number | undefined;
};

export type MemberState = "joining" | "active" | "rebuilding" | "leaving" | "left";
export type Health = "up" | "suspect" | "down";

/** A member as the ring document of one epoch lists it. */
export type RingMember = {
  readonly name: string;
  readonly actor: string | undefined;
  readonly zone: string;
  readonly weight: number;
  readonly state: MemberState;
  /** Partitions that it is home to. */
  readonly owned: number;
};

export type RingDocument = {
  readonly epoch: number;
  readonly n: number;
  readonly r: number;
  readonly w: number;
  readonly mode: string;
  readonly members: readonly RingMember[];
  /** No partition has two homes in one zone. */
  readonly isSpread: boolean;
};

/** A ring change in progress, as a node tells it. */
export type Change = {
  readonly id: string;
  /** `prepare`, `switch`, `finish`, or what a later release calls it. */
  readonly phase: string;
  /** What it does, in words. */
  readonly kind: string | undefined;
  readonly movedBytes: number | undefined;
  readonly totalBytes: number | undefined;
  readonly startedAt: string | undefined;
};

/** What one node said of itself and of the others. */
export type NodeAnswer = {
  readonly kind: "answer";
  readonly clusterId: string;
  readonly name: string;
  /** Its data directory's id; undefined where it does not say. */
  readonly actor: string | undefined;
  /** Whether its release knows of tokens. */
  readonly knowsTokens: boolean;
  /** 0: it has no ring. */
  readonly ringEpoch: number;
  readonly health: ReadonlyMap<string, Health>;
  /** What its own part of the ring looks like to itself: it alone knows that it is being rebuilt. */
  readonly ownState: MemberState | undefined;
  /** Hints that it keeps; undefined until all on its disk are counted. */
  readonly hints: ReadonlyMap<string, number> | undefined;
  readonly change: Change | undefined;
  /** Since when, by its own clock, all its partitions were found equal to their other homes; undefined while one was not. */
  readonly equalSinceMs: number | undefined;
  readonly disk: { readonly usedBytes: number; readonly freeBytes: number } | undefined;
  /** Undefined when it has none, did not send it, or knows an older one than others. */
  readonly ring: RingDocument | undefined;
};

export type Silence = { readonly kind: "silent"; readonly why: string };

/** What pods use of CPU, in cores by name, or why that is not known. */
export type CpuUse =
  | { readonly kind: "told"; readonly cores: ReadonlyMap<string, number> }
  | { readonly kind: "unknown"; readonly why: string };

/** A size that the load called for when it was looked at. */
export type SizeWanted = { readonly atMs: number; readonly replicas: number };

/** What one process remembers of a cluster between two looks. */
export type Remembered = {
  /** What the nodes last refused, and when. */
  readonly refusal: { readonly atMs: number; readonly why: string } | undefined;
  /** When a change was first seen to have ended, at which epoch. */
  readonly ended: { readonly epoch: number; readonly atMs: number } | undefined;
  /** Where a size is recommended: what the load called for, oldest first. */
  readonly sizesWanted: readonly SizeWanted[];
};

export type World = Remembered & {
  readonly nowMs: number;
  readonly policy: Policy;
  readonly cluster: Cluster;
  /** Owned objects by `kind/name`. */
  readonly objects: ReadonlyMap<string, KubeObject>;
  /** Secrets that the manifest names as those of tokens, by name; they belong to others. */
  readonly tokenSecrets: ReadonlyMap<string, KubeObject>;
  /** Secrets with what cert-manager made, by pod. */
  readonly issued: ReadonlyMap<string, KubeObject>;
  readonly statefulSet: StatefulSetFacts | undefined;
  readonly pods: readonly PodFacts[];
  readonly claims: readonly ClaimFacts[];
  /** Those that pods are bound to, and that hold volumes. */
  readonly machines: ReadonlyMap<string, MachineFacts>;
  /** By pod name; every pod that has an address was asked. */
  readonly answers: ReadonlyMap<string, NodeAnswer | Silence>;
  /** Undefined where no size is recommended, so that nobody asks. */
  readonly cpuUse: CpuUse | undefined;
};

/** A ring change to ask for, as the admin API takes it. */
export type ChangeRequest = {
  readonly join?: readonly {
    readonly name: string;
    readonly address: string;
    readonly zone: string;
    readonly weight: number;
  }[];
  readonly leave?: readonly string[];
  readonly replace?: readonly string[];
  readonly weights?: Readonly<Record<string, number>>;
  readonly zones?: Readonly<Record<string, string>>;
  readonly quorum?: { readonly r: number; readonly w: number; readonly mode: string };
};

/** What the removal of something that is lost rests on. */
export type Proof = {
  /** The machine that is gone, or not ready; undefined where the loss is another. */
  readonly machine: string | undefined;
  /** The pod whose member is given up, as it was seen. */
  readonly pod: { readonly name: string; readonly uid: string; readonly resourceVersion: string };
};

/** What a smaller number of pods rests on, and a restart: all members tell this epoch, and no change. */
export type RingProof = { readonly epoch: number; readonly members: readonly string[] };

/** A certificate to make for a pod. */
export type Wish = {
  readonly pod: string;
  /** All DNS names in it; the first is the member's. */
  readonly names: readonly string[];
};

/** Something to do. Each is safe to do twice, and safe to be killed after. */
export type Action =
  | {
      readonly kind: "apply";
      readonly object: KubeObject;
      /** What must still be so right before: a member may have joined since. */
      readonly proof?: RingProof;
      /** Only if there is none of its name yet: another's stays as it is. */
      readonly isFirst?: boolean;
      /** Nothing rests on it: that it is refused is told, and holds nothing else up. */
      readonly isAside?: boolean;
    }
  /** Makes certificates; and the authority that they come from, where there is none. */
  | {
      readonly kind: "issue";
      readonly certificates: readonly Wish[];
      /** How many pods there are to be: the files of others go, but of those that still stand. */
      readonly count: number;
      readonly why: string;
    }
  /** Makes what is missing of the administrator's tokens. */
  | { readonly kind: "makeTokens"; readonly why: string }
  | {
      readonly kind: "remove";
      readonly apiVersion: string;
      readonly objectKind: "Pod" | "PersistentVolumeClaim" | "HorizontalPodAutoscaler" | "ServiceMonitor";
      readonly name: string;
      /** Only this very object, never a successor of its name. */
      readonly uid: string;
      /** 0 for a pod on a machine that is lost: nobody is there to confirm its end. */
      readonly graceSeconds?: number;
      /** What must still be so right before: a machine or a pod that comes back meanwhile is lost no more. */
      readonly proof?: Proof;
      /** What must still be so right before, of a ring that loses nothing by it. */
      readonly ring?: RingProof;
      /** What must still be so right before, of a volume: no pod of this name is there, or is to be. */
      readonly vacant?: { readonly pod: string; readonly ordinal: number };
      readonly why: string;
    }
  | { readonly kind: "askChange"; readonly through: string; readonly request: ChangeRequest; readonly why: string }
  | { readonly kind: "cancelChange"; readonly through: string; readonly id: string; readonly why: string };

/** Why the run goes no further: a constant and a sentence for people. */
export type Hold = { readonly reason: string; readonly message: string };

/** What one step found. Actions so far are done. */
export type StepResult = {
  readonly actions?: readonly Action[];
  /** Ends the run, unless it is aside. */
  readonly hold?: Hold;
  /** The hold is the step's own: what comes after it does not rest on what is held. */
  readonly isAside?: boolean;
};
export type Step = (world: World) => StepResult;
