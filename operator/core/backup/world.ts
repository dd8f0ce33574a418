/** What the operator sees of one KVBackup at one moment, and what it may do about it. As for clusters, nothing is remembered. */
import type { Backup, Report } from "../../api/kvbackup.ts";
import type { Cluster } from "../../api/kvcluster.ts";
import type { KubeObject } from "../objects.ts";
import type { Policy } from "../world.ts";

/** One Job: a run, which is tried several times. */
export type RunFacts = {
  readonly name: string;
  readonly createdAtMs: number;
  readonly state: "active" | "complete" | "failed";
  /** When it ended; undefined while it is active. */
  readonly endedAtMs: number | undefined;
  /** Why it failed, a constant of Kubernetes: BackoffLimitExceeded, DeadlineExceeded, PodFailurePolicy. */
  readonly reason: string | undefined;
};

/** One pod of a run: a try. */
export type TryFacts = {
  readonly name: string;
  /** The name of its Job. */
  readonly run: string | undefined;
  /** Whether its container runs no more, and never will. */
  readonly isOver: boolean;
  /** Why its container does not start. */
  readonly trouble: string | undefined;
  readonly endedAtMs: number | undefined;
  /** What its container left when it ended: the report, or the last words of its log. */
  readonly report: Report | undefined;
  readonly lastWords: string | undefined;
};

export type BackupWorld = {
  readonly nowMs: number;
  readonly policy: Policy;
  readonly backup: Backup;
  /** Undefined: there is none of that name, or it is being deleted. */
  readonly cluster: Cluster | undefined;
  /**
   * Whether its members' admin ports speak TLS: as they were last told to be started, and as the spec has it where none was. The two
   * differ while the cluster is paused.
   */
  readonly isAdminSecure: boolean;
  /** Objects of the names that are needed, whoever made them, by `kind/name`. */
  readonly objects: ReadonlyMap<string, KubeObject>;
  /** The newest first. */
  readonly runs: readonly RunFacts[];
  readonly tries: readonly TryFacts[];
  /** When its CronJob last began a run. */
  readonly lastScheduledTime: string | undefined;
  /** The name of an older KVBackup that writes into the same place. */
  readonly rival: string | undefined;
};

/** Something to do. Each is safe to do twice, and safe to be killed after. */
export type BackupAction =
  | { readonly kind: "apply"; readonly object: KubeObject }
  /** Only if there is none of its name: the run that is there stays. */
  | { readonly kind: "create"; readonly object: KubeObject; readonly why: string }
  | {
      readonly kind: "remove";
      readonly objectKind: "Job" | "CronJob";
      readonly name: string;
      /** Only this very object, never a successor of its name. */
      readonly uid: string;
      readonly why: string;
    };
