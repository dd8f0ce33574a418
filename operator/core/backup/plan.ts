/**
 * From what is seen of a KVBackup to what should be done now, and what is said about it. As `../plan.ts`: an ordered list of
 * questions, nothing remembered but what the status holds.
 *
 * A schedule's CronJob is there only while its runs could do something; a single run's Job until it is looked at by a person. What was
 * backed up is never touched: volumes and buckets belong to others.
 */
import type { Backup, BackupStatus } from "../../api/kvbackup.ts";
import { KIND } from "../../api/kvcluster.ts";
import { CRON_JOBS, JOBS } from "../kinds.ts";
import { runName } from "../names.ts";
import { isApplied, isMadeFrom, type KubeObject } from "../objects.ts";
import type { Hold } from "../world.ts";
import { passage, type RunParts, scheduledRuns, singleRun } from "./resources.ts";
import { rightsOf } from "./rights.ts";
import { describeBackup, isCalm, isTaken } from "./status.ts";
import type { BackupAction, BackupWorld } from "./world.ts";

export type BackupPlan = {
  readonly actions: readonly BackupAction[];
  readonly hold: Hold | undefined;
  readonly status: BackupStatus;
  /** When to look again though nothing was heard of. */
  readonly againMs: number;
};

/** How soon to look again while something is under way or waited for, and when nothing is. */
const BUSY_MS = 10_000;
const CALM_MS = 60_000;

type Decision = { readonly actions: readonly BackupAction[]; readonly hold?: Hold | undefined };

/** Decides. The backup is one that is not being deleted: what is owned goes with it by itself. */
export function planBackup(world: BackupWorld): BackupPlan {
  const { actions, hold } = decide(world);
  const status = describeBackup(world, hold);
  return { actions, hold, status, againMs: isCalm(world, hold) ? CALM_MS : BUSY_MS };
}

function decide(world: BackupWorld): Decision {
  const foreign = foreignObject(world);
  if (foreign !== undefined)
    return {
      actions: [],
      hold: { reason: "NameTaken", message: `${foreign} exists and belongs to somebody else: delete or rename it` },
    };
  if (isTaken(world)) return { actions: [] };
  const parts = partsOf(world);
  if ("reason" in parts) return { actions: withoutSchedule(world, parts.message), hold: parts };
  const wanted = passage(parts);
  const actions: BackupAction[] = isThere(world, wanted) ? [] : [{ kind: "apply", object: wanted }];
  const decision = world.backup.spec.schedule === undefined ? single(world, parts) : scheduled(world, parts);
  return { actions: [...actions, ...decision.actions], hold: decision.hold };
}

/** What runs can be made from, or why there can be none now. */
function partsOf({ backup, cluster, isAdminSecure, policy, rival }: BackupWorld): RunParts | Hold {
  if (cluster === undefined)
    return {
      reason: "ClusterMissing",
      message: `there is no ${clusterText(backup)}: make it, or delete this KVBackup`,
    };
  if (rival !== undefined) {
    const message = `the KVBackup ${rival} writes into the same place: name another path or prefix, or delete that one`;
    return { reason: "PlaceTaken", message };
  }
  const rights = rightsOf(cluster, backup);
  if (rights.kind === "wanting") return { reason: "TokenNeeded", message: rights.why };
  return { backup, cluster, isAdminSecure, policy, rights };
}

function scheduled(world: BackupWorld, parts: RunParts): Decision {
  const object = scheduledRuns(parts);
  return { actions: isThere(world, object) ? [] : [{ kind: "apply", object }] };
}

function single(world: BackupWorld, parts: RunParts): Decision {
  const { backup, cluster, objects, tries } = { ...world, ...parts };
  const object = singleRun(parts);
  const found = objects.get(`Job/${object.metadata.name}`);
  const removing = (job: KubeObject, why: string): BackupAction[] => {
    const { name, uid } = job.metadata;
    return uid === undefined ? [] : [{ kind: "remove", objectKind: "Job", name, uid, why }];
  };
  if (found !== undefined) {
    if (backup.spec.suspend && isActive(world)) return { actions: removing(found, "the spec says suspend") };
    const isOther = !backup.spec.suspend && !isMadeFrom(object, found);
    return { actions: isOther ? removing(found, "the spec or the cluster has changed: it is begun anew") : [] };
  }
  if (backup.spec.suspend) return { actions: [] };
  if ((cluster.status.ringEpoch ?? 0) === 0) {
    const message = `the first members of ${clusterText(backup)} have not made their ring yet`;
    return { actions: [], hold: { reason: "ClusterNotFounded", message } };
  }
  const left = tries.find(({ isOver }) => !isOver);
  if (left !== undefined)
    return { actions: [], hold: { reason: "PodStopping", message: `${left.name} of an earlier run is stopping` } };
  return { actions: [{ kind: "create", object, why: "one backup is asked for" }] };
}

function isActive({ backup, runs }: BackupWorld): boolean {
  return runs.some(({ name, state }) => name === runName(backup.metadata.name) && state === "active");
}

/** Runs that cannot succeed are not begun. */
function withoutSchedule({ backup, objects }: BackupWorld, why: string): BackupAction[] {
  const found = objects.get(`${CRON_JOBS.kind}/${runName(backup.metadata.name)}`);
  const { name, uid } = found?.metadata ?? {};
  return name === undefined || uid === undefined ? [] : [{ kind: "remove", objectKind: "CronJob", name, uid, why }];
}

function isThere({ objects }: BackupWorld, wanted: KubeObject): boolean {
  return isApplied(wanted, objects.get(`${wanted.kind}/${wanted.metadata.name}`));
}

/** An object of a name that is needed and that somebody else owns, or nobody: a Job of a person's is not taken over. */
function foreignObject({ backup, objects }: BackupWorld): string | undefined {
  for (const [key, { kind, metadata }] of objects) {
    const owner = metadata.ownerReferences?.find(({ controller }) => controller === true);
    const isNobodys = owner === undefined && kind !== JOBS.kind;
    if (!isNobodys && owner?.uid !== backup.metadata.uid) return key;
  }
  return undefined;
}

function clusterText({ metadata, spec }: Backup): string {
  return `${KIND} ${spec.cluster} in namespace ${metadata.namespace}`;
}
