/**
 * Machines that do not come back.
 *
 * A volume that a dead machine holds would keep its pod waiting for ever. After a set time, or when a person says so,
 * the volume and the pod are given up; the StatefulSet makes both anew, and the node rebuilds its member from the
 * peers. That is done to one member at a time, and only while every other member is present and at rest: they hold all
 * that is left. A change of the ring may run meanwhile: it would wait for the member that is lost.
 *
 * Of a zone that is lost several members are missing at once. Where no partition has two homes in one zone, the members of the
 * others hold all that is left; but a zone that went is a zone that may come back, so there a person has to say so.
 */
import { claimName } from "../names.ts";
import { answerOf, hintsWaiting, missing, type RingView, ringOf, unsettled } from "../ring-view.ts";
import type { Action, ClaimFacts, PodFacts, RingMember, StepResult, World } from "../world.ts";

/** Some kubelet has told its machine's state since. */
const HEARD_MS_MAX = 600_000;

/** Gives up what is lost, one member at a time, where that may be. */
export function recoverLost(world: World): StepResult {
  for (const { pod, loss, held } of losses(world)) {
    if (held !== undefined) continue;
    return { actions: removals(pod, loss), ...hold("Replacing", `${pod.name} is made anew: ${loss.why}`) };
  }
  return {};
}

/**
 * Says what may not be given up. A step of its own, behind ring changes: what is waited for may be one, the change that
 * lists the new disk of a member that was replaced before.
 */
export function sayHeldRecovery(world: World): StepResult {
  const [first] = losses(world);
  return first?.held === undefined
    ? {}
    : hold("ReplacementHeld", `${first.pod.name} (${first.loss.why}): ${first.held}`);
}

/** Every loss, and why it must wait. */
function losses(world: World): { readonly pod: PodFacts; readonly loss: Loss; readonly held: string | undefined }[] {
  return world.pods.flatMap((pod) => {
    const loss = whatIsLost(world, pod);
    return loss === undefined ? [] : [{ pod, loss, held: whyHeld(world, pod, loss) }];
  });
}

/** What a person asks for waits until the ring is at rest. What is lost cannot: a running change may wait for it. */
function whyHeld(world: World, pod: PodFacts, loss: Loss): string | undefined {
  const ring = ringOf(world);
  if (ring === undefined) return "it is not replaced while no node tells the ring";
  const isMember = ring.present.some(({ name }) => name === pod.name);
  // By its own word. Of one that is silent all members must say so: a ring from before it joined lists it no less.
  if (!isMember && answerOf(world, pod.name) !== undefined) return undefined;
  const trouble = (loss.isWish ? unsettled : missing)(world, ring, mayBeMissing(ring, pod, loss));
  if (trouble !== undefined) return `it is not replaced before the others are whole: ${trouble}`;
  // What it keeps for others may be on no other disk, and while it runs it can still deliver it.
  const own = loss.isWish ? answerOf(world, pod.name) : undefined;
  const hints = own === undefined ? undefined : hintsWaiting({ witnesses: [own] });
  if (hints !== undefined) return `it is not replaced before its hints are delivered: ${hints}`;
  const seer = loss.isForced && !pod.replaceAsked ? seerOf(ring, pod.name) : undefined;
  if (seer !== undefined)
    return `neither Kubernetes nor the operator reaches it, but ${seer} sees it up: annotate the pod to replace it all the same`;
  return isMember && ring.document.n < 2 ? "it holds the only copy of its data, which is not given up" : undefined;
}

/**
 * Besides the member itself those of its zone, among them others that are lost with it, or are made anew already. Not where half
 * of those that vote are in it: without their disks no ring is ever chosen again, and with them they may come back.
 */
function mayBeMissing({ document, members, present }: RingView, pod: PodFacts, loss: Loss): readonly string[] {
  const zone = members.get(pod.name)?.zone;
  const isVoter = ({ state, owned }: RingMember) => state !== "joining" && (state !== "leaving" || owned > 0);
  const voters = present.filter(isVoter);
  const isMinority = voters.filter((member) => member.zone === zone).length * 2 < voters.length;
  if (!pod.isSaidLost || loss.isWish || !document.isSpread || !isMinority) return [pod.name];
  return [pod.name, ...present.flatMap((member) => (member.zone === zone ? [member.name] : []))];
}

/** A member that has heard of it lately: what runs is not lost. */
function seerOf({ witnesses }: RingView, pod: string): string | undefined {
  return witnesses.find(({ name, health }) => name !== pod && health.get(pod) === "up")?.name;
}

type Loss = {
  readonly why: string;
  readonly claim: ClaimFacts | undefined;
  /** Nobody is there to confirm the pod's end. */
  readonly isForced: boolean;
  /** Nothing is lost yet: a person asks for it, or the node runs on what will be. */
  readonly isWish: boolean;
  /** The machine with which it is lost, or that must be gone for the pod to be taken away by force. */
  readonly machine: string | undefined;
};

function whatIsLost(world: World, pod: PodFacts): Loss | undefined {
  const claim = world.claims.find(({ name }) => name === claimName(pod.name));
  const isSilent = answerOf(world, pod.name) === undefined;
  const gone = isSilent ? lostWithMachine(world, pod, claim) : undefined;
  if (gone !== undefined) return gone;
  const loss = { claim, isForced: false, isWish: false, machine: undefined };
  // Kubernetes lost sight of it: a node that has it mounted serves on, with hints that may be nowhere else.
  if (claim?.isLost === true) return { ...loss, why: `the volume of ${claim.name} is lost`, isWish: !isSilent };
  if (pod.replaceAsked) {
    const isForced = isMachineGone(world, pod);
    const why = "it was asked for by annotation";
    const isLost = pod.isSaidLost && isSilent && isNowhere(world, pod, claim);
    const machine = isForced ? pod.machine : isLost ? claim?.machine : undefined;
    return { ...loss, why, isWish: !isLost, isForced, machine };
  }
  if (claim?.isDeleting !== true) return undefined;
  const why = `the volume of ${claim.name} is being deleted`;
  // Nothing is started on a claim that is marked: it was given up, and then its machine came back.
  if (isSilent) return pod.startedAtMs === undefined ? { ...loss, why } : undefined;
  // It runs on until its pod goes, whenever that is, and its volume with it: better now, while all others are whole.
  return { ...loss, why, isWish: true };
}

function lostWithMachine(world: World, pod: PodFacts, claim: ClaimFacts | undefined): Loss | undefined {
  const afterMs = world.cluster.spec.recovery.replaceAfterSeconds * 1000;
  if (afterMs === 0) return undefined;
  const held = claim?.machine;
  const name = held ?? pod.machine;
  if (name === undefined) return undefined;
  const machine = world.machines.get(name);
  // Of one that is no longer listed it is not known since when. Kubernetes takes its pods away soon; the successor's age
  // is what surely has passed.
  const waitsSinceMs = pod.machine === undefined ? pod.createdAtMs : undefined;
  const goneSinceMs = machine === undefined ? waitsSinceMs : machine.unreadySinceMs;
  const nowMs = provenNow(world);
  if (goneSinceMs === undefined || nowMs - goneSinceMs < afterMs) return undefined;
  const why = `machine ${name} has been gone for ${Math.floor((nowMs - goneSinceMs) / 1000)} s`;
  return { why, claim: held === undefined ? undefined : claim, isForced: true, isWish: false, machine: name };
}

/** How late it is at least: an operator whose clock is ahead would take for long gone what went a moment ago. */
function provenNow({ machines, nowMs }: World): number {
  const heard = [...machines.values()].flatMap(({ heardAtMs }) => heardAtMs ?? []);
  return heard.length === 0 ? nowMs : Math.min(nowMs, Math.max(...heard) + HEARD_MS_MAX);
}

function isMachineGone(world: World, pod: PodFacts): boolean {
  return pod.machine !== undefined && !isThere(world, pod.machine);
}

/** Neither it nor its volume is on a machine that is there. */
function isNowhere(world: World, pod: PodFacts, claim: ClaimFacts | undefined): boolean {
  return !isThere(world, pod.machine) && !isThere(world, claim?.machine);
}

function isThere({ machines }: World, machine: string | undefined): boolean {
  return machine !== undefined && machines.get(machine)?.isReady === true;
}

/** The volume first: once it is marked, the pod's successor waits for a new one. */
function removals(pod: PodFacts, { claim, why, isForced, machine }: Loss): readonly Action[] {
  const { name, uid, resourceVersion } = pod;
  const proof = { machine, pod: { name, uid, resourceVersion } };
  const remove = { kind: "remove", apiVersion: "v1", proof, why } as const;
  const actions: Action[] = [];
  if (claim !== undefined && !claim.isDeleting)
    actions.push({ ...remove, objectKind: "PersistentVolumeClaim", name: claim.name, uid: claim.uid });
  if (!pod.isDeleting || isForced)
    actions.push({ ...remove, objectKind: "Pod", name, uid, ...(isForced ? { graceSeconds: 0 } : {}) });
  return actions;
}

function hold(reason: string, message: string): StepResult {
  return { hold: { reason, message } };
}
