/**
 * What is said about a KVBackup.
 *
 *     Ready     whether what a run needs is there: False says what is missing and what to do
 *     Complete  whether the newest run that ended left a whole backup; of one without a schedule it stays True for good
 *     Failed    whether that run left none, and why
 */
import type { BackupStatus } from "../../api/kvbackup.ts";
import { condition, sentence, type Verdict } from "../conditions.ts";
import { formatInstant, readInstant } from "../instant.ts";
import { runName } from "../names.ts";
import type { Hold } from "../world.ts";
import { isOver } from "./place.ts";
import type { BackupWorld, RunFacts, TryFacts } from "./world.ts";

/** Whether the one backup of a KVBackup without a schedule has been taken. */
export function isTaken({ backup, runs }: Pick<BackupWorld, "backup" | "runs">): boolean {
  return isOver(backup) || (backup.spec.schedule === undefined && runs.some(({ state }) => state === "complete"));
}

/** The whole status. */
export function describeBackup(world: BackupWorld, hold: Hold | undefined): BackupStatus {
  const { backup, runs, nowMs } = world;
  const before = backup.status;
  const newest = runs.find(({ state }) => state !== "active");
  const whole = runs.find(({ state }) => state === "complete");
  const verdicts = {
    Ready: ready(world, hold),
    Complete: complete(world, newest),
    Failed: failed(world, newest),
  };
  const report = whole === undefined ? undefined : reportOf(world, whole);
  const lastBackup =
    report === undefined
      ? before.lastBackup
      : { name: report.backup, keys: report.keys, bytes: report.bytes, newBytes: report.newBytes };
  const lastSuccessfulTime = latest(
    before.lastSuccessfulTime,
    whole?.endedAtMs === undefined ? undefined : formatInstant(whole.endedAtMs),
  );
  const began = runs[0] === undefined ? undefined : formatInstant(runs[0].createdAtMs);
  const lastScheduledTime = latest(before.lastScheduledTime, latest(world.lastScheduledTime, began));
  const occasion = { before: before.conditions, generation: backup.metadata.generation, nowMs };
  return {
    observedGeneration: backup.metadata.generation,
    summary: summary(world, verdicts, hold),
    ...(lastScheduledTime === undefined ? {} : { lastScheduledTime }),
    ...(lastSuccessfulTime === undefined ? {} : { lastSuccessfulTime }),
    ...(lastBackup === undefined ? {} : { lastBackup }),
    conditions: Object.entries(verdicts).map(([type, verdict]) => condition(occasion, type, verdict)),
  };
}

/** Whether somebody should look at it: a run failed, or none can be begun though none is held back on purpose. */
export function isFailing({ conditions = [] }: BackupStatus): boolean {
  return conditions.some(
    ({ type, status, reason }) =>
      (type === "Failed" && status === "True") || (type === "Ready" && status === "False" && reason !== "Suspended"),
  );
}

function ready(world: BackupWorld, hold: Hold | undefined): Verdict {
  const { backup, tries } = world;
  if (isTaken(world)) return { status: "True", reason: "BackupTaken", message: "The backup has been taken." };
  if (hold !== undefined) return { status: "False", reason: hold.reason, message: sentence(hold.message) };
  const active = activeRun(world);
  const stuck = tries.find(({ run, trouble }) => trouble !== undefined && run === active?.name);
  if (active !== undefined && stuck !== undefined)
    return { status: "False", reason: "PodStuck", message: sentence(`${stuck.name} does not start: ${stuck.trouble}`) };
  if (backup.spec.suspend)
    return { status: "False", reason: "Suspended", message: "The spec says suspend: no run is begun." };
  if (active !== undefined) return { status: "True", reason: "Running", message: `${active.name} runs.` };
  const { schedule, timeZone } = backup.spec;
  if (schedule === undefined)
    return world.runs.length === 0
      ? { status: "True", reason: "Begun", message: "The run is being made." }
      : { status: "True", reason: "RunEnded", message: "The run has ended: the other conditions say how." };
  const where = timeZone === undefined ? "" : ` in ${timeZone}`;
  return { status: "True", reason: "Scheduled", message: `Runs begin by the schedule ${schedule}${where}.` };
}

function complete(world: BackupWorld, newest: RunFacts | undefined): Verdict {
  if (newest?.state === "complete") {
    const report = reportOf(world, newest);
    const told = report === undefined ? "a whole backup" : `backup ${report.backup}, ${report.keys} keys`;
    return { status: "True", reason: "BackupTaken", message: `${newest.name} took ${told}.` };
  }
  if (newest !== undefined && !isOver(world.backup))
    return { status: "False", reason: "RunFailed", message: `${newest.name} took none.` };
  return remembered(world, "Complete") ?? { status: "False", reason: "NoRunEnded", message: "No run has ended yet." };
}

function failed(world: BackupWorld, newest: RunFacts | undefined): Verdict {
  const good: Verdict = {
    status: "False",
    reason: "AsWanted",
    message: "No run has failed since the last whole backup.",
  };
  if (newest?.state === "complete" || isTaken(world)) return good;
  if (newest === undefined) {
    // A single one that is tried anew has not failed yet; of scheduled ones the last that ended counts.
    const isTriedAnew = world.backup.spec.schedule === undefined && activeRun(world) !== undefined;
    return isTriedAnew ? good : (remembered(world, "Failed") ?? good);
  }
  return { status: "True", reason: newest.reason ?? "RunFailed", message: whyFailed(world, newest) };
}

function whyFailed({ backup, tries }: BackupWorld, run: RunFacts): string {
  const last = newestTry(tries.filter((one) => one.run === run.name && one.lastWords !== undefined));
  const words = last?.lastWords === undefined ? "" : `: ${last.lastWords.replace(/\.$/, "")}`;
  const isLate = run.reason === "DeadlineExceeded";
  const late = isLate ? ` It had not ended after timeoutSeconds, ${backup.spec.timeoutSeconds}.` : "";
  const next =
    backup.spec.schedule === undefined
      ? `To try again, delete the Job ${runName(backup.metadata.name)}, or change the spec`
      : "The next run goes on where it ended";
  return `${run.name} failed${words}.${late} ${next}.`;
}

/** What a condition said before, where what it rests on may have been swept away since. */
function remembered({ backup }: BackupWorld, type: string): Verdict | undefined {
  return backup.status.conditions?.find((one) => one.type === type);
}

function activeRun({ runs }: BackupWorld): RunFacts | undefined {
  return runs.find(({ state }) => state === "active");
}

function reportOf({ tries }: BackupWorld, run: RunFacts): TryFacts["report"] {
  return newestTry(tries.filter((one) => one.run === run.name && one.report !== undefined))?.report;
}

function newestTry(tries: readonly TryFacts[]): TryFacts | undefined {
  return [...tries].sort((a, b) => (b.endedAtMs ?? 0) - (a.endedAtMs ?? 0))[0];
}

function latest(a: string | undefined, b: string | undefined): string | undefined {
  return (readInstant(b) ?? 0) > (readInstant(a) ?? 0) ? b : a;
}

/** The printer column: what a person wants to know first. */
function summary(world: BackupWorld, verdicts: Record<string, Verdict>, hold: Hold | undefined): string {
  const { backup } = world;
  if (isTaken(world)) return "Complete";
  const words: string[] = [];
  if (verdicts.Failed?.status === "True") words.push("Failed");
  if (hold !== undefined || verdicts.Ready?.status === "False") words.push(verdicts.Ready?.reason ?? "");
  else if (activeRun(world) !== undefined) words.push("Running");
  else if (backup.spec.schedule !== undefined) words.push("Scheduled");
  return words.length === 0 ? "Begun" : words.join(", ");
}

/** Whether nothing of a backup's is under way or can be expected soon. */
export function isCalm(world: BackupWorld, hold: Hold | undefined): boolean {
  return isTaken(world) || (hold === undefined && activeRun(world) === undefined);
}
