/**
 * From what is heard of to which KVBackup is looked at: of itself, of what it owns, of its runs' pods, and of its cluster. Only the
 * leader works.
 *
 * Where the kind is not known to the API server (an operator came without its resource definition) nothing is watched, and it is looked
 * for again now and then: everything else goes on.
 */
import { BACKUP_OWNED_KINDS, BACKUPS, CLUSTERS, PODS } from "../core/kinds.ts";
import { BACKUP_NAME, INSTANCE_LABEL, NAME_LABEL } from "../core/names.ts";
import { type KubeObject, textAt } from "../core/objects.ts";
import { Recent } from "../core/recent.ts";
import { type Kube, KubeError, type Random, type Telemetry, type Time, type Timer, type Watching } from "../ports.ts";
import type { BackupReconciler } from "./backup-reconciler.ts";
import type { Controller } from "./controller.ts";
import { createWorkQueue, type WorkQueue } from "./work-queue.ts";

/** How often everything is listed anew, whatever the watches said. */
const RESYNC_MS = 300_000;
/** What is there is heard of that often at least. */
const HEARD_MS = 3 * RESYNC_MS;
/** How often the kind is looked for while it is not known. */
const UNKNOWN_MS = 60_000;
const QUEUE = { workersMax: 2, backoffMsMin: 500, backoffMsMax: 60_000 };

type Known = { cluster: string; isFailing: boolean };

/** Makes the controller of one spell of leadership. */
export function createBackupController(parts: {
  readonly kube: Kube;
  readonly time: Time;
  readonly random: Random;
  readonly telemetry: Telemetry;
  readonly reconciler: BackupReconciler;
  /** The one namespace to see to; empty: all. */
  readonly watchNamespace: string;
}): Controller {
  const { kube, time, telemetry, reconciler, watchNamespace: namespace } = parts;
  const watches: Watching[] = [];
  const backups = new Map<string, Known>();
  const queue: WorkQueue = createWorkQueue(parts, work, report, QUEUE);
  let timer: Timer | undefined;
  let isOver = false;

  async function work(key: string): Promise<number | undefined> {
    const [namespaceOf = "", name = ""] = key.split("/");
    telemetry.count("annulus.operator.backup_runs");
    const found = await reconciler.reconcile({ namespace: namespaceOf, name });
    const known = backups.get(key);
    if (found === undefined) backups.delete(key);
    else if (known !== undefined) known.isFailing = found.isFailing;
    return found?.againMs;
  }

  function report(key: string, error: unknown, againMs: number): void {
    telemetry.count("annulus.operator.backup_runs_failed");
    // A bug. As with clusters, it ends that run, and not the process that all others need.
    if (!(error instanceof KubeError))
      return telemetry.log("error", "operator.bug", { backup: key, cause: error, againMs });
    const level = error.failure === "refused" ? "error" : "warn";
    telemetry.log(level, "operator.run_failed", { backup: key, failure: error.failure, why: error.message, againMs });
  }

  function hearOfBackup(object: KubeObject): void {
    const key = `${object.metadata.namespace}/${object.metadata.name}`;
    const known = backups.get(key) ?? { cluster: "", isFailing: false };
    known.cluster = `${object.metadata.namespace}/${textAt(object, "spec", "cluster")}`;
    backups.set(key, known);
    queue.add(key);
    // One that is gone, or done, may have kept a place from another.
    for (const [other, { isFailing }] of backups) if (isFailing && other !== key) queue.add(other);
  }

  function hearOfPart({ metadata }: KubeObject): void {
    const key = `${metadata.namespace}/${metadata.labels?.[INSTANCE_LABEL]}`;
    if (backups.has(key)) queue.add(key);
  }

  function hearOfCluster(): (cluster: KubeObject) => void {
    const seen = new Recent<string>(time, HEARD_MS);
    return ({ metadata, status }) => {
      const key = `${metadata.namespace}/${metadata.name}`;
      // Its status changes all the time; what runs are made from seldom does.
      const isFounded = ((status as { ringEpoch?: number } | undefined)?.ringEpoch ?? 0) > 0;
      const digest = `${metadata.uid} ${metadata.generation} ${metadata.deletionTimestamp} ${isFounded}`;
      if (seen.get(key) === digest) return;
      seen.set(key, digest);
      for (const [backup, { cluster }] of backups) if (cluster === key) queue.add(backup);
    };
  }

  /** Why the kind cannot be watched, or undefined. A server that is away is no reason: watches wait for it by themselves. */
  async function whyUnknown(): Promise<string | undefined> {
    try {
      await kube.list(BACKUPS, { namespace });
    } catch (error) {
      if (!(error instanceof KubeError)) throw error;
      if (error.failure === "not-found") return "its resource definition is not installed";
      if (error.failure === "refused") return error.message;
    }
    return undefined;
  }

  async function begin(): Promise<void> {
    const why = await whyUnknown();
    if (isOver) return;
    if (why !== undefined) {
      telemetry.log("warn", "operator.kind_unknown", { kind: BACKUPS.kind, why, againMs: UNKNOWN_MS });
      timer = time.after(UNKNOWN_MS, () => void begin());
      return;
    }
    const own = { namespace, resyncMs: RESYNC_MS, selector: `${NAME_LABEL}=${BACKUP_NAME}` };
    watches.push(kube.watch(BACKUPS, { namespace, resyncMs: RESYNC_MS }, hearOfBackup));
    for (const kind of [PODS, ...BACKUP_OWNED_KINDS]) watches.push(kube.watch(kind, own, hearOfPart));
    watches.push(kube.watch(CLUSTERS, { namespace, resyncMs: RESYNC_MS }, hearOfCluster()));
  }

  return {
    start() {
      telemetry.gauge("annulus.operator.backups", () => backups.size);
      telemetry.gauge("annulus.operator.backups_failing", () => {
        return [...backups.values()].filter(({ isFailing }) => isFailing).length;
      });
      void begin();
    },
    async stop() {
      isOver = true;
      timer?.cancel();
      for (const watch of watches) watch.end();
      watches.length = 0;
      await queue.stop();
    },
  };
}
