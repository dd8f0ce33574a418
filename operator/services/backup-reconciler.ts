/** Brings one KVBackup a step nearer to its spec: observe, plan, carry out, say so. As `reconciler.ts` does for clusters. */
import { type Backup, type BackupStatus, parseBackup } from "../api/kvbackup.ts";
import { planBackup } from "../core/backup/plan.ts";
import { isFailing } from "../core/backup/status.ts";
import type { BackupAction } from "../core/backup/world.ts";
import { condition } from "../core/conditions.ts";
import { BACKUPS, kindOf } from "../core/kinds.ts";
import { isEqual, plain, statusOf } from "../core/objects.ts";
import { type Kube, KubeError, type Telemetry, type Time } from "../ports.ts";
import type { Events } from "./events.ts";
import type { BackupObserver } from "./observe-backup.ts";

export type BackupReconciler = {
  /**
   * One run.
   *
   * @returns When to look again, and whether somebody should look at it; undefined when the KVBackup is gone.
   * @throws {KubeError} What the API server would not do.
   */
  reconcile(place: {
    readonly namespace: string;
    readonly name: string;
  }): Promise<{ readonly againMs: number; readonly isFailing: boolean } | undefined>;
};

const MESSAGE_LENGTH_MAX = 1_000;

/** @param parts `mayAct`: whether this process still leads; asked before every action. */
export function createBackupReconciler(parts: {
  readonly kube: Kube;
  readonly time: Time;
  readonly telemetry: Telemetry;
  readonly events: Events;
  readonly observe: BackupObserver;
  readonly mayAct: () => boolean;
}): BackupReconciler {
  const { kube, time, telemetry, events, observe } = parts;

  async function read(place: { namespace: string; name: string }): Promise<Backup | undefined> {
    const object = await kube.read(BACKUPS, place);
    if (object === undefined || object.metadata.deletionTimestamp !== undefined) return undefined;
    const parsed = parseBackup(object);
    if (!parsed.ok) throw new KubeError("refused", `cannot read the KVBackup: ${parsed.problems.join("; ")}`);
    return parsed.backup;
  }

  async function carryOut(backup: Backup, action: BackupAction): Promise<void> {
    if (!parts.mayAct()) throw new KubeError("unavailable", "this operator does not lead any more");
    telemetry.count(`annulus.operator.actions.${action.kind}`);
    const { namespace } = backup.metadata;
    switch (action.kind) {
      case "apply":
        return kube.apply(kindOf(action.object.kind), action.object);
      case "create": {
        const { kind, metadata } = await kube.create(kindOf(action.object.kind), action.object);
        return tell(backup, `Made${kind}`, { name: metadata.name, why: action.why });
      }
      case "remove": {
        const { objectKind, name, uid, why } = action;
        await kube.remove(kindOf(objectKind), { namespace, name }, { uid });
        return tell(backup, `Removed${objectKind}`, { name, why });
      }
    }
  }

  async function tell(
    backup: Backup,
    reason: string,
    { name, why }: { readonly name: string; readonly why: string },
  ): Promise<void> {
    telemetry.log("info", "operator.backup_runs", { backup: backup.metadata.name, reason, name, why });
    return events.tell(backup, { type: "Normal", reason, message: `${name}: ${why}` });
  }

  async function writeStatus(backup: Backup, status: BackupStatus): Promise<void> {
    const wanted = plain(status);
    if (isEqual(backup.status, wanted) || !parts.mayAct()) return;
    await kube.apply(BACKUPS, statusOf(backup, wanted), { subresource: "status" });
  }

  /** Events tell what a condition newly says; the condition itself stays to be read. */
  async function tellChanges(backup: Backup, status: BackupStatus): Promise<void> {
    for (const { type, status: now, reason, message } of status.conditions ?? []) {
      const before = backup.status.conditions?.find((other) => other.type === type);
      if (before?.status === now && before.reason === reason) continue;
      const isBad = isFailing({ conditions: [{ type, status: now, reason, message, lastTransitionTime: "" }] });
      await events.tell(backup, { type: isBad ? "Warning" : "Normal", reason, message: `${type}=${now}: ${message}` });
    }
  }

  /** What could not be done is said as a condition, so that `kubectl describe` shows it. */
  function withFailure(backup: Backup, status: BackupStatus, failure: unknown): BackupStatus {
    const message = (failure instanceof Error ? failure.message : String(failure)).slice(0, MESSAGE_LENGTH_MAX);
    const isRefused = failure instanceof KubeError && failure.failure === "refused";
    const occasion = {
      before: backup.status.conditions,
      generation: backup.metadata.generation,
      nowMs: time.wallMs(),
    };
    const reason = isRefused ? "ApplyRefused" : "Retrying";
    const ready = condition(occasion, "Ready", { status: "False", reason, message });
    const others = (status.conditions ?? []).filter(({ type }) => type !== "Ready");
    return { ...status, summary: reason, conditions: [ready, ...others] };
  }

  return {
    async reconcile(place) {
      const backup = await read(place);
      if (backup === undefined) return undefined;
      const decided = planBackup(await observe(backup));
      let failure: unknown;
      try {
        for (const action of decided.actions) await carryOut(backup, action);
      } catch (error) {
        failure = error;
      }
      const status = failure === undefined ? decided.status : withFailure(backup, decided.status, failure);
      await writeStatus(backup, status);
      await tellChanges(backup, status);
      if (failure !== undefined) throw failure;
      // What was done has changed the world: it is looked at once more before anybody rests.
      const againMs = decided.actions.length === 0 ? decided.againMs : AFTER_ACTION_MS;
      return { againMs, isFailing: isFailing(status) };
    },
  };
}

const AFTER_ACTION_MS = 2_000;
