/** Looks at one KVBackup: its cluster, what it owns, its runs and their pods. As for clusters, a list that cannot be read fails the look. */
import { type Backup, parseBackup } from "../api/kvbackup.ts";
import { type Cluster, parseCluster } from "../api/kvcluster.ts";
import { readRun, readTry } from "../core/backup/facts.ts";
import { rivalOf } from "../core/backup/place.ts";
import type { BackupWorld } from "../core/backup/world.ts";
import { readStatefulSet } from "../core/facts.ts";
import { BACKUP_OWNED_KINDS, BACKUPS, CLUSTERS, CRON_JOBS, JOBS, PODS, STATEFUL_SETS } from "../core/kinds.ts";
import { labelText, runLabels, runName } from "../core/names.ts";
import { type KubeObject, textAt } from "../core/objects.ts";
import type { Policy } from "../core/world.ts";
import { type Kube, KubeError, type Time } from "../ports.ts";

export type BackupObserver = (backup: Backup) => Promise<BackupWorld>;

/** @param ports The API server, and the clock that stamps what is seen. */
export function createBackupObserver(
  { kube, time }: { readonly kube: Kube; readonly time: Time },
  policy: Policy,
): BackupObserver {
  async function clusterOf({ metadata, spec }: Backup): Promise<Cluster | undefined> {
    const object = await kube.read(CLUSTERS, { namespace: metadata.namespace, name: spec.cluster });
    if (object === undefined || object.metadata.deletionTimestamp !== undefined) return undefined;
    const parsed = parseCluster(object, policy);
    if (!parsed.ok) throw new KubeError("refused", `cannot read the KVCluster: ${parsed.problems.join("; ")}`);
    return parsed.cluster;
  }

  async function isAdminSecure({ metadata, spec }: Backup, cluster: Cluster | undefined): Promise<boolean> {
    const set = await kube.read(STATEFUL_SETS, { namespace: metadata.namespace, name: spec.cluster });
    return set === undefined ? cluster?.spec.tls.admin === true : readStatefulSet(set).isAdminSecure;
  }

  async function neededObjects({ metadata: { namespace, name } }: Backup): Promise<Map<string, KubeObject>> {
    const place = { namespace, name: runName(name) };
    const found = await Promise.all(BACKUP_OWNED_KINDS.map((kind) => kube.read(kind, place)));
    return new Map(
      found.flatMap((object, index) =>
        object === undefined ? [] : [[`${BACKUP_OWNED_KINDS[index]?.kind}/${place.name}`, object]],
      ),
    );
  }

  /** Others that cannot be read are none that write: this operator makes no runs for them. */
  async function rival(backup: Backup): Promise<string | undefined> {
    const objects = await kube.list(BACKUPS, { namespace: backup.metadata.namespace });
    const others = objects.flatMap((object) => {
      const parsed = parseBackup(object);
      return parsed.ok && parsed.backup.metadata.deletionTimestamp === undefined ? [parsed.backup] : [];
    });
    return rivalOf(backup, others);
  }

  return async (backup) => {
    const { namespace, name, uid } = backup.metadata;
    const own = { namespace, selector: labelText(runLabels(backup)) };
    const [cluster, objects, jobs, pods, other] = await Promise.all([
      clusterOf(backup),
      neededObjects(backup),
      kube.list(JOBS, own),
      kube.list(PODS, own),
      rival(backup),
    ]);
    const nowMs = time.wallMs();
    const cronJob = objects.get(`${CRON_JOBS.kind}/${runName(name)}`);
    const owners = new Set([uid, cronJob?.metadata.uid]);
    const isOwn = ({ metadata }: KubeObject) =>
      metadata.ownerReferences?.some((owner) => owner.controller === true && owners.has(owner.uid)) ?? false;
    return {
      nowMs,
      policy,
      backup,
      cluster,
      isAdminSecure: await isAdminSecure(backup, cluster),
      objects,
      runs: jobs
        .filter(isOwn)
        .map(readRun)
        .sort((a, b) => b.createdAtMs - a.createdAtMs),
      tries: pods.map((pod) => readTry(pod, nowMs)),
      lastScheduledTime: textAt(cronJob, "status", "lastScheduleTime"),
      rival: other,
    };
  };
}
