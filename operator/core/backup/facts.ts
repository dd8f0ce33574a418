/** Jobs and their pods as they come, read into the facts that decisions use. */
import { Report } from "../../api/kvbackup.ts";
import { readInstant } from "../instant.ts";
import { at, type KubeObject, listAt, textAt } from "../objects.ts";
import type { RunFacts, TryFacts } from "./world.ts";

const JOB_LABEL = "batch.kubernetes.io/job-name";
/** A pod whose container waits for longer for what usually takes seconds waits for something that is not there. */
const WAIT_MS_MAX = 120_000;
const WORDS_LENGTH_MAX = 600;

/** Reads a Job. */
export function readRun(job: KubeObject): RunFacts {
  const conditions = listAt(job, "status", "conditions");
  const ended = (type: string) => conditions.find((one) => at(one, "type") === type && at(one, "status") === "True");
  const [complete, failed] = [ended("Complete"), ended("Failed")];
  return {
    name: job.metadata.name,
    createdAtMs: readInstant(job.metadata.creationTimestamp) ?? 0,
    state: complete !== undefined ? "complete" : failed !== undefined ? "failed" : "active",
    endedAtMs:
      readInstant(textAt(job, "status", "completionTime")) ??
      readInstant(textAt(complete ?? failed, "lastTransitionTime")),
    reason: textAt(failed, "reason"),
  };
}

/** Reads a pod of a run. */
export function readTry(pod: KubeObject, nowMs: number): TryFacts {
  const state = at(pod, "status", "containerStatuses", 0, "state");
  const terminated = at(state, "terminated");
  const phase = textAt(pod, "status", "phase");
  const message = textAt(terminated, "message") ?? "";
  const report = reportIn(message);
  return {
    name: pod.metadata.name,
    run: pod.metadata.labels?.[JOB_LABEL],
    isOver: phase === "Succeeded" || phase === "Failed",
    trouble: terminated === undefined ? troubleOf(pod, nowMs) : undefined,
    endedAtMs: readInstant(textAt(terminated, "finishedAt")),
    report,
    lastWords: report === undefined ? lastWordsOf(message) : undefined,
  };
}

/** What `annulus backup --report` wrote, or undefined. */
function reportIn(message: string): Report | undefined {
  if (!message.startsWith("{")) return undefined;
  try {
    return Report.safeParse(JSON.parse(message)).data;
  } catch {
    return undefined;
  }
}

/** The last thing that the program said in its log, in one line. */
function lastWordsOf(message: string): string | undefined {
  const lines = message.split("\n").map((line) => line.replace(/\p{Cc}/gu, " ").trim());
  const told = lines.filter((line) => line !== "");
  const own = told
    .filter((line) => line.startsWith("annulus: "))
    .at(-1)
    ?.slice("annulus: ".length);
  return (own ?? told.at(-1))?.slice(0, WORDS_LENGTH_MAX);
}

/** Reasons of a waiting container that pass by themselves, as a rule. */
const PASSING = new Set(["ContainerCreating", "PodInitializing"]);

function troubleOf(pod: KubeObject, nowMs: number): string | undefined {
  const unscheduled = listAt(pod, "status", "conditions").find(
    (one) => at(one, "type") === "PodScheduled" && at(one, "status") === "False",
  );
  if (unscheduled !== undefined) return (textAt(unscheduled, "message") ?? "it cannot be scheduled").slice(0, 300);
  const waiting = at(pod, "status", "containerStatuses", 0, "state", "waiting");
  const reason = textAt(waiting, "reason");
  if (reason === undefined) return undefined;
  const message = textAt(waiting, "message")?.slice(0, 300);
  if (!PASSING.has(reason)) return message === undefined ? reason : `${reason}: ${message}`;
  const waitsMs = nowMs - (readInstant(pod.metadata.creationTimestamp) ?? nowMs);
  if (waitsMs < WAIT_MS_MAX) return undefined;
  return "a Secret or a volume that it mounts may be missing; kubectl describe tells which";
}
