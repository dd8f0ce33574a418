/**
 * Which change of the ring to ask for. One at a time: while one runs, the only thing that may be asked is to give it
 * up, when the spec no longer wants any of it. Everything wanted since is folded into the next.
 *
 * Joining takes pods that answer; a scale-in is held while any member is missing, for it takes the highest ordinal and
 * cannot choose another. Whether a change is safe is decided by the nodes: a refusal is shown and asked again later. What
 * cannot be asked for may stay so for good (disks that are too full, a quota), and holds nothing else up.
 */
import { whyCooling } from "../cool-down.ts";
import { isFounded, labelledZoneOfPod, weightOf, ZONE_DEFAULT, zoneOfPod } from "../founding.ts";
import { readInstant } from "../instant.ts";
import { whyUncertified } from "../issued.ts";
import { ordinalOf, peerAddress, podName } from "../names.ts";
import { answerOf, isChanging, isRenewed, type RingView, ringOf, unsettled, whyStrange } from "../ring-view.ts";
import type { Change, ChangeRequest, Hold, StepResult, World } from "../world.ts";
import { diskPercentMax, fullestPercent, type Placed, whyTooFewZones, whyTooFull } from "./room.ts";
import { isUndone } from "./undone.ts";

/** How long pods that answer wait for others that are being made, to join in one change. */
const JOIN_PATIENCE_MS = 60_000;
/** How soon a change that was refused is asked for again. */
export const REFUSAL_PAUSE_MS = 10_000;

/** Asks for a change, for the end of one, or says why not. */
export function changeRing(world: World): StepResult {
  if (!isFounded(world)) return {};
  const ring = ringOf(world);
  if (ring === undefined)
    return hold("RingUnknown", whyStrange(world) ?? "no node tells the ring as new as it was last seen");
  if (isChanging(ring)) return followChange(world, ring);
  const wanted = wantedChange(world, ring);
  if (wanted.kind === "nothing") return {};
  if (wanted.kind === "hold") return { hold: wanted.hold, isAside: wanted.isAside };
  const through = spokesman(world, ring);
  if (through === undefined) return hold("RingUnknown", "no active member answers at the newest epoch");
  const { refusal } = world;
  if (refusal !== undefined && Math.abs(world.nowMs - refusal.atMs) < REFUSAL_PAUSE_MS)
    return { ...hold("ChangeRefused", `the nodes refuse: ${refusal.why}`), isAside: true };
  const { request, why } = wanted;
  return { actions: [{ kind: "askChange", through, request, why }], ...hold("ChangeAsked", why) };
}

type Wanted =
  | { readonly kind: "nothing" }
  | { readonly kind: "hold"; readonly hold: Hold; readonly isAside: boolean }
  | { readonly kind: "change"; readonly request: ChangeRequest; readonly why: string };

/** The next change, by the difference between the spec and the ring. */
export function wantedChange(world: World, ring: RingView): Wanted {
  const renewed = ring.present.flatMap(({ name, actor }) => (isRenewed(actor, answerOf(world, name)) ? [name] : []));
  if (renewed.length > 0) {
    // The members list it by themselves. To ask for it as a change would take the member out of the ring.
    const message = `the new disk of ${renewed.join(", ")} is not listed in the ring yet`;
    return { kind: "hold", hold: { reason: "WaitingForMembers", message }, isAside: false };
  }
  const size = wantedSize(world, ring);
  if (size.hold?.isPassing === true) return { kind: "hold", hold: size.hold, isAside: true };
  const { weights, hold: weightsHold } = wantedWeights(world, ring, size);
  const quorum = changedQuorum(world, ring);
  const request: ChangeRequest = {
    ...(size.join === undefined ? {} : { join: size.join }),
    ...(size.leave === undefined ? {} : { leave: size.leave }),
    ...(Object.keys(weights).length > 0 ? { weights } : {}),
    ...(quorum === undefined ? {} : { quorum }),
  };
  const parts = [
    request.join && `join ${request.join.map(({ name }) => name).join(", ")}`,
    request.leave && `let ${request.leave.join(", ")} leave`,
    request.weights &&
      `weigh ${Object.entries(weights)
        .map(([name, weight]) => `${name} ${weight}`)
        .join(", ")}`,
    request.quorum && `ask for R=${request.quorum.r}, W=${request.quorum.w}, ${request.quorum.mode}`,
  ].filter((part) => part !== undefined);
  if (parts.length > 0) return { kind: "change", request, why: parts.join("; ") };
  const zones = changedZones(world, ring);
  const moved = Object.entries(zones).map(([name, zone]) => `${name} in ${zone}`);
  if (moved.length > 0) return { kind: "change", request: { zones }, why: `list ${moved.join(", ")}` };
  const lasting = size.hold ?? weightsHold;
  return lasting === undefined ? { kind: "nothing" } : { kind: "hold", hold: lasting, isAside: true };
}

/** Who is to come and to go, or why not. One that is passing is waited for with everything else, to change all at once. */
type Size = {
  readonly join?: ChangeRequest["join"] & object;
  readonly leave?: readonly string[];
  readonly hold?: Hold & { readonly isPassing: boolean };
};

function wantedSize(world: World, ring: RingView): Size {
  const leave = unwanted(world, ring);
  const joiners = awaited(world, ring);
  // Where too few would stay, others come first: a person may have let one leave that the spec wants.
  if (leave.length === 0 || (isTooFew(world, ring, leave) && joiners.length > 0))
    return wantedJoin(world, ring, joiners);
  const trouble = unsettled(world, ring) ?? whyCool(world, ring);
  if (trouble !== undefined) return { hold: { reason: "ScaleInHeld", message: trouble, isPassing: true } };
  const held = whyHoldScaleIn(world, ring, leave);
  return held === undefined ? { leave } : { hold: { reason: "ScaleInHeld", message: held, isPassing: false } };
}

function wantedJoin(world: World, ring: RingView, joiners: readonly Joiner[]): Size {
  if (joiners.length === 0) return {};
  const waitFor = joiners.filter(({ answers }) => !answers);
  const isLate = waitFor.every(({ ageMs }) => ageMs >= JOIN_PATIENCE_MS);
  if (!isLate || waitFor.length === joiners.length) {
    const names = waitFor.map(({ name, trouble }) => (trouble === undefined ? name : `${name} (${trouble})`));
    const message = `${names.join(", ")} must answer to join`;
    return { hold: { reason: "WaitingForPods", message, isPassing: !isLate } };
  }
  const cool = whyCool(world, ring);
  if (cool !== undefined) return { hold: { reason: "ScaleOutHeld", message: cool, isPassing: true } };
  const join = joiners.filter(({ answers }) => answers).map(({ name }) => joinOf(world, name));
  const full = whyFuller(world, ring, [...ring.present, ...join]);
  return full === undefined ? { join } : { hold: { reason: "ScaleOutHeld", message: full, isPassing: false } };
}

/**
 * Why members may not come, or be weighed, so: a disk would be too full, and fuller than the fullest is now. What takes
 * data off a disk that is too full already goes on.
 */
function whyFuller(world: World, ring: RingView, after: readonly Placed[]): string | undefined {
  const percentMax = Math.max(diskPercentMax(world), fullestPercent(world, ring));
  return whyTooFull(world, ring, { after, percentMax });
}

/** Present members beyond the spec's replicas. */
function unwanted(world: World, ring: RingView): string[] {
  const { metadata, spec } = world.cluster;
  const beyond = (name: string) => (ordinalOf(metadata.name, name) ?? Number.POSITIVE_INFINITY) >= spec.replicas;
  return ring.present.map(({ name }) => name).filter(beyond);
}

type Joiner = {
  readonly name: string;
  readonly answers: boolean;
  readonly ageMs: number;
  readonly trouble: string | undefined;
};

/** Pods that the spec wants in the ring and that are not: with whether they can be joined now. */
function awaited(world: World, ring: RingView): Joiner[] {
  const { metadata, spec } = world.cluster;
  const present = new Set(ring.present.map(({ name }) => name));
  const joiners: (Omit<Joiner, "ageMs"> & { readonly ageMs: number | undefined })[] = [];
  for (let ordinal = 0; ordinal < spec.replicas; ordinal += 1) {
    const name = podName(metadata.name, ordinal);
    if (present.has(name)) continue;
    const pod = world.pods.find((other) => other.name === name);
    const answers = pod !== undefined && !pod.isDeleting && answerOf(world, name) !== undefined;
    const ageMs = pod === undefined ? undefined : world.nowMs - pod.createdAtMs;
    const trouble = whyUncertified(world, name) ?? (pod === undefined ? UNMADE : pod.trouble);
    joiners.push({ name, answers: answers && zoneOfPod(world, name) !== undefined, ageMs, trouble });
  }
  // All are made at once: one that is not has been waited for as long as any other.
  const waitedMs = Math.max(waitingMs(world), ...joiners.map(({ ageMs }) => ageMs ?? 0));
  return joiners.map((joiner) => ({ ...joiner, ageMs: joiner.ageMs ?? waitedMs }));
}

/** A quota may be in the way, or an admission webhook; the StatefulSet's events tell. */
const UNMADE = "it is not made: kubectl describe statefulset tells why";

/** How long the status has been saying that pods are waited for. */
function waitingMs({ cluster, nowMs }: World): number {
  const told = cluster.status.conditions?.find(({ type }) => type === "Progressing");
  if (told?.reason !== "WaitingForPods") return 0;
  return nowMs - (readInstant(told.lastTransitionTime) ?? nowMs);
}

function joinOf(world: World, name: string) {
  const zone = zoneOfPod(world, name) ?? ZONE_DEFAULT;
  return { name, address: peerAddress(world.cluster, name), zone, weight: weightOf(world.cluster, name, zone) };
}

/** The weights to ask for with this size, which has been looked at together with them where members leave. */
function wantedWeights(world: World, ring: RingView, { join = [], leave }: Size) {
  const weights = changedWeights(world, ring, new Set(leave));
  const isJudged = leave !== undefined || Object.keys(weights).length === 0;
  const full = isJudged ? undefined : whyFuller(world, ring, [...ring.present.map(weighedBy(world)), ...join]);
  return full === undefined ? { weights } : { weights: {}, hold: { reason: "WeightsHeld", message: full } };
}

/** A member as the spec weighs it. */
function weighedBy({ cluster }: World) {
  return ({ name, zone }: Placed): Placed => ({ name, zone, weight: weightOf(cluster, name, zone) });
}

function changedWeights(world: World, ring: RingView, leaving: ReadonlySet<string>): Record<string, number> {
  const changed = ring.present.flatMap(({ name, zone, weight }) => {
    const wanted = weightOf(world.cluster, name, zone);
    return leaving.has(name) || wanted === weight ? [] : [[name, wanted] as const];
  });
  return Object.fromEntries(changed);
}

/**
 * Members that run, by their machines' labels, in another zone than the ring has them in, for their volumes were made anew there.
 * Once all are whole: what moves then needs every copy that there is.
 */
function changedZones(world: World, ring: RingView): Readonly<Record<string, string>> {
  const strayed = ring.present.flatMap((member) => {
    const zone = labelledZoneOfPod(world, member.name);
    return zone === undefined || zone === member.zone ? [] : [{ ...member, zone }];
  });
  if (strayed.length === 0 || unsettled(world, ring) !== undefined) return {};
  const after = ring.present.map((member) => strayed.find(({ name }) => name === member.name) ?? member);
  return whyFuller(world, ring, after) === undefined
    ? Object.fromEntries(strayed.map(({ name, zone }) => [name, zone]))
    : {};
}

function changedQuorum(world: World, { document }: RingView): ChangeRequest["quorum"] {
  const { r, w, mode } = world.cluster.spec.quorum;
  return document.r === r && document.w === w && document.mode === mode ? undefined : { r, w, mode };
}

/** Whether fewer than N members that hold data would stay. */
function isTooFew(world: World, { present }: RingView, leaves: readonly string[]): boolean {
  const rest = present.filter(({ name, weight }) => weight > 0 && !leaves.includes(name));
  return rest.length < world.cluster.spec.quorum.n;
}

/** Why those members would not be let go, whatever else is asked for; undefined where nothing lasting is against it. */
export function whyHoldScaleIn(world: World, ring: RingView, leaves: readonly string[]): string | undefined {
  const { n } = world.cluster.spec.quorum;
  if (isTooFew(world, ring, leaves)) return `fewer than N = ${n} members would hold data`;
  const after = ring.present.filter(({ name }) => !leaves.includes(name)).map(weighedBy(world));
  return whyTooFewZones(world, ring, leaves) ?? whyTooFull(world, ring, { after, percentMax: diskPercentMax(world) });
}

/** Why the number of members stays for now: an autoscaler must not chase its own last change. */
function whyCool(world: World, ring: RingView): string | undefined {
  return world.cluster.spec.autoscaling?.mode === "automatic" ? whyCooling(world, ring) : undefined;
}

/** The active member of the lowest ordinal that knows the newest ring. */
function spokesman(world: World, ring: RingView): string | undefined {
  const active = new Set(ring.present.flatMap(({ name, state }) => (state === "active" ? [name] : [])));
  const ordinal = (name: string) => ordinalOf(world.cluster.metadata.name, name) ?? Number.POSITIVE_INFINITY;
  const able = ring.witnesses.map(({ name }) => name).filter((name) => active.has(name));
  return able.sort((a, b) => ordinal(a) - ordinal(b))[0];
}

function followChange(world: World, ring: RingView): StepResult {
  const { change } = ring;
  const kind = kindOfChange(ring);
  const told = hold("ChangeRuns", `${kind}${change === undefined ? "" : `, ${progressOf(change)}`}`);
  const through = spokesman(world, ring);
  if (change === undefined || through === undefined || !isUndone(world, ring)) return told;
  const why = `the spec does not want this: ${kind}`;
  return { actions: [{ kind: "cancelChange", through, id: change.id, why }], ...told };
}

/** What a running change does, in words: `join a, b`. */
export function kindOfChange(ring: RingView): string {
  const named = (state: string) => ring.present.filter((member) => member.state === state).map(({ name }) => name);
  const joining = named("joining");
  const leaving = named("leaving");
  const parts = [
    ...(joining.length > 0 ? [`join ${joining.join(", ")}`] : []),
    ...(leaving.length > 0 ? [`let ${leaving.join(", ")} leave`] : []),
  ];
  return parts.length > 0 ? parts.join("; ") : (ring.change?.kind ?? "rebalance");
}

function progressOf({ phase, movedBytes, totalBytes }: Change): string {
  return movedBytes === undefined || totalBytes === undefined
    ? phase
    : `${phase}, ${movedBytes} of ${totalBytes} bytes`;
}

function hold(reason: string, message: string): StepResult {
  return { hold: { reason, message } };
}
