/**
 * What is said about a cluster: members, figures, and conditions by the API conventions. A reason is a constant, a
 * message a sentence for people; what is not known is "Unknown", never guessed.
 */
import type { Status } from "../api/kvcluster.ts";
import { tokenProblems } from "./access.ts";
import { condition, sentence, type Verdict } from "./conditions.ts";
import { lastChangeAt } from "./cool-down.ts";
import { isFounded, ZONE_DEFAULT, zoneOfPod } from "./founding.ts";
import { formatInstant } from "./instant.ts";
import { selectorText } from "./names.ts";
import {
  allAnswers,
  answerOf,
  healthOf,
  hintsWaiting,
  isChanging,
  lost,
  type RingView,
  ringOf,
  unsettled,
  whyStrange,
} from "./ring-view.ts";
import { kindOfChange } from "./steps/change.ts";
import type { Hold, World } from "./world.ts";

/** Holds that mean: a person, or time, is waited for; nothing moves. */
const RESTING = new Set([
  "Paused",
  "ScaleInHeld",
  "ScaleOutHeld",
  "WeightsHeld",
  "ReplacementHeld",
  "RollingHeld",
  "RollingStuck",
  "ChangeRefused",
  "RingUnknown",
  "WaitingForMembers",
  "NameTaken",
  "TokensHeld",
  "Overruled",
]);
/** Holds that a person should look at. */
const TROUBLE = new Set(["ReplacementHeld", "RollingHeld", "RollingStuck", "ChangeRefused", "NameTaken", "Overruled"]);

/** The whole status. */
export function describeStatus(world: World, holds: readonly Hold[]): Status {
  const { cluster, pods } = world;
  const ring = ringOf(world);
  const before = cluster.status;
  const isRunning = ring !== undefined && isChanging(ring);
  const epoch = Math.max(before.ringEpoch ?? 0, ring?.document.epoch ?? 0);
  const conditions = {
    Available: available(world, ring),
    Progressing: progressing(holds),
    Degraded: degraded(world, ring, holds),
    ZonesBalanced: zonesBalanced(world, ring),
  };
  const transition = isRunning ? describeChange(world, ring) : undefined;
  const endedAt = lastChangeAt(world, ring);
  const members = ring === undefined ? lastMembers(world) : describeMembers(world, ring);
  const occasion = { before: before.conditions, generation: cluster.metadata.generation, nowMs: world.nowMs };
  return {
    observedGeneration: cluster.metadata.generation,
    summary: summary(conditions, holds),
    replicas: pods.length,
    readyReplicas: pods.filter(({ isReady, isDeleting }) => isReady && !isDeleting).length,
    selector: selectorText(cluster),
    ringEpoch: epoch,
    ...(members === undefined ? {} : { members }),
    ...(transition === undefined ? {} : { transition }),
    ...(endedAt === undefined ? {} : { lastChangeAt: endedAt }),
    conditions: Object.entries(conditions).map(([type, verdict]) => condition(occasion, type, verdict)),
  };
}

function describeMembers(world: World, ring: RingView) {
  return ring.present.map(({ name, zone, weight, state }) => {
    const own = ring.witnesses.find((answer) => answer.name === name)?.ownState;
    return { name, zone, weight, state: own ?? state, health: healthOf(world, ring, name) };
  });
}

/** Who they were when the ring was last seen. How those are that do not answer is not known any more. */
function lastMembers(world: World): Status["members"] {
  return world.cluster.status.members?.map((member) =>
    answerOf(world, member.name) === undefined ? { ...member, health: "unknown" } : member,
  );
}

function describeChange(world: World, ring: RingView): Status["transition"] {
  const { change } = ring;
  const before = world.cluster.status.transition;
  const id = change?.id ?? before?.id ?? `epoch-${ring.document.epoch}`;
  const startedAt =
    change?.startedAt ?? (before?.id === id ? before.startedAt : undefined) ?? formatInstant(world.nowMs);
  return {
    id,
    kind: kindOfChange(ring).slice(0, 64),
    ...(change?.movedBytes === undefined ? {} : { movedBytes: change.movedBytes }),
    ...(change?.totalBytes === undefined ? {} : { totalBytes: change.totalBytes }),
    startedAt,
  };
}

function available(world: World, ring: RingView | undefined): Verdict {
  if (ring === undefined) {
    if (!isFounded(world)) return { status: "False", reason: "Founding", message: "There is no ring yet." };
    const ready = world.pods.filter(({ isReady }) => isReady).length;
    const told = whyStrange(world) ?? "none tells the ring";
    if (ready > 0)
      return { status: "Unknown", reason: "RingUnknown", message: `${ready} pods are ready, but ${told}.` };
    return { status: "False", reason: "NoNodeServes", message: "No pod is ready." };
  }
  const { n, r, w } = ring.document;
  const missing = ring.present.flatMap(({ name }) => {
    const why = whyNotServing(world, name);
    return why === undefined ? [] : [`${name} ${why}`];
  });
  const spare = n - Math.max(r, w);
  const names = missing.join(", ");
  if (missing.length === 0) return { status: "True", reason: "AllMembersServe", message: "All members serve." };
  if (missing.length <= spare)
    return {
      status: "True",
      reason: "QuorumsServe",
      message: `Every key has R and W homes, though ${names}.`,
    };
  return {
    status: "False",
    reason: "QuorumsMissing",
    message: `Some keys may have fewer than R or W homes: ${names}.`,
  };
}

/** Why a member does not count as a home now, or undefined. That it knows an older ring is no reason: it hears of the newer one when asked. */
function whyNotServing(world: World, name: string): string | undefined {
  const answer = answerOf(world, name);
  const isReady = world.pods.some((pod) => pod.name === name && pod.isReady);
  if (!isReady || answer === undefined || answer.ringEpoch === 0) return "does not serve";
  if (answer.ownState === "rebuilding") return "is being rebuilt";
  const opinions = allAnswers(world).flatMap((other) => (other.name === name ? [] : (other.health.get(name) ?? [])));
  const isCutOff = opinions.length > 0 && opinions.every((health) => health === "down");
  return isCutOff ? "is down to its peers" : undefined;
}

/** The first thing that moves; where nothing does, the first that is waited for. All are told. */
function progressing(holds: readonly Hold[]): Verdict {
  const moving = holds.find(({ reason }) => !RESTING.has(reason));
  const first = moving ?? holds[0];
  if (first === undefined) return { status: "False", reason: "AsWanted", message: "Nothing is left to do." };
  const told = new Set([first, ...holds].map(({ message }) => sentence(message)));
  return { status: moving === undefined ? "False" : "True", reason: first.reason, message: [...told].join(" ") };
}

function degraded(world: World, ring: RingView | undefined, holds: readonly Hold[]): Verdict {
  const held = holds.find(({ reason }) => TROUBLE.has(reason));
  if (held !== undefined) return { status: "True", reason: held.reason, message: sentence(held.message) };
  const stuck = world.pods.find(({ trouble, isDeleting }) => trouble !== undefined && !isDeleting);
  if (stuck !== undefined)
    return { status: "True", reason: "PodStuck", message: `${stuck.name} does not start: ${stuck.trouble}.` };
  const [problem] = tokenProblems(world);
  if (problem !== undefined) return { status: "True", reason: "TokenUnusable", message: sentence(problem) };
  if (ring === undefined) {
    if (!isFounded(world)) return { status: "False", reason: "Founding", message: "There is no ring yet." };
    return { status: "Unknown", reason: "RingUnknown", message: "No node tells the ring." };
  }
  const trouble = isChanging(ring) ? lost(world, ring) : unsettled(world, ring);
  if (trouble !== undefined) return { status: "True", reason: "MembersMissing", message: sentence(trouble) };
  const hints = hintsWaiting(ring);
  if (hints !== undefined) return { status: "True", reason: "HintsWaiting", message: sentence(hints) };
  return { status: "False", reason: "AsWanted", message: "Every member is present and whole." };
}

function zonesBalanced(world: World, ring: RingView | undefined): Verdict {
  const present = ring?.present ?? world.cluster.status.members;
  if (present === undefined || present.length === 0)
    return { status: "Unknown", reason: "RingUnknown", message: "The members are not known yet." };
  const counts = new Map<string, number>();
  for (const { zone } of present) counts.set(zone, (counts.get(zone) ?? 0) + 1);
  const { minimum = 1 } = world.cluster.spec.zones;
  const told = [...counts]
    .sort()
    .map(([zone, count]) => `${zone}: ${count}`)
    .join(", ");
  if (counts.size < minimum)
    return {
      status: "False",
      reason: "TooFewZones",
      message: `Members in ${counts.size} zones, not ${minimum}: ${told}.`,
    };
  const strayed = present.find(({ name, zone }) => (zoneOfPod(world, name) ?? zone) !== zone);
  if (strayed !== undefined)
    return {
      status: "False",
      reason: "ZoneChanged",
      message: `${strayed.name} runs in zone ${zoneOfPod(world, strayed.name) ?? ZONE_DEFAULT}, the ring has it in ${strayed.zone}.`,
    };
  const spread = Math.max(...counts.values()) - Math.min(...counts.values());
  if (spread > 1) return { status: "False", reason: "Uneven", message: `Members are uneven over zones: ${told}.` };
  return { status: "True", reason: "Even", message: `Members by zone: ${told}.` };
}

/** The printer column: what a person wants to know first. */
function summary(conditions: Record<string, Verdict>, holds: readonly Hold[]): string {
  const words: string[] = [];
  if (conditions.Available?.status === "True") words.push("Available");
  else words.push(conditions.Available?.status === "Unknown" ? "Unknown" : "Unavailable");
  if (conditions.Degraded?.status === "True") words.push("Degraded");
  words.push(...holds.map(({ reason }) => reason));
  return [...new Set(words)].join(", ");
}
