/**
 * How a change goes on: each next document, and when it may be published (design §3).
 *
 *     prepare ── N − W + 1 present homes adopted it, every gaining member is complete ──> switch
 *     switch  ── N − R + 1 present homes adopted it ──> finish (no transition any more)
 *     prepare ── asked for, or a gaining member was given up ──> cancelled
 *
 * A disk that was declared destroyed adopts nothing, and counts only where a gate could not open without it: of N homes
 * with d destroyed (d < W always) N − R + 1 may be more than are left, and then all that are left will do. Whoever still
 * reads by the old ring then reads from the destroyed disk alone.
 *
 * Each document is a function of the last one, and each gate reads facts that only grow: that somebody persisted an
 * epoch, that somebody is complete. So any member can drive a change, several may at once, and a new one goes on where the
 * last one died. Source: the online schema change of F1 (Rae et al. 2013), whose neighbouring states are compatible.
 */
import assert from "node:assert/strict";
import { KvError } from "../errors.ts";
import {
  type MemberId,
  PAST_MAX,
  type PastChange,
  type RingDocument,
  type RingMember,
  type Transition,
} from "./document.ts";
import { createRing, type Ring } from "./ring.ts";

/** What a member says of itself; nothing of it is ever taken back while its data directory is the same. */
export type MemberFacts = {
  /** Data directory's id. */
  readonly actor: string;
  /** Newest epoch that it has persisted and refuses by. */
  readonly epoch: number;
  /** The change for which it is complete: it has merged all that it gets by it. */
  readonly completeFor: string | undefined;
  /** It holds nothing of partitions that are not its own, as of `epoch`, and keeps no hints. */
  readonly isEmptied: boolean;
};

export type FactsOf = (name: MemberId) => MemberFacts | undefined;

/** Members that choose the next document: those with homes or a right to them, whose disks are not given up. */
export function votersOf(document: RingDocument): readonly RingMember[] {
  return document.members.filter((member, index) => {
    if (member.isDestroyed === true) return false;
    if (member.state === "active" || member.state === "rebuilding") return true;
    return member.state === "leaving" && document.homes.some((row) => row.includes(index));
  });
}

/** The next document that the facts allow, or undefined while they do not; see the file's head. */
export function nextDocument(document: RingDocument, facts: FactsOf): RingDocument | undefined {
  const { transition } = document;
  if (transition === undefined) return emptiedDocument(document, facts);
  const ring = createRing(document);
  if (transition.phase === "prepare" && document.members.some((member) => isLostGainer(ring, member))) {
    return cancelledDocument(document);
  }
  if (transition.phase === "prepare" && maySwitch(ring, transition, facts)) return switched(document, transition);
  if (transition.phase === "switch" && mayFinish(ring, transition, facts)) return finished(document, transition);
  return undefined;
}

/** Why a change waits, for a person; undefined when nothing holds it. */
export function waitsFor(document: RingDocument, facts: FactsOf): string | undefined {
  const { transition } = document;
  if (transition === undefined) return undefined;
  const ring = createRing(document);
  const incomplete = transition.phase === "prepare" ? incompleteOf(ring, transition, facts) : [];
  if (incomplete.length > 0) return `${incomplete.join(", ")} to have all of what they get`;
  const needed = transition.phase === "prepare" ? switchNeeds(ring) : finishNeeds(ring);
  const lagging = laggingOf(ring, transition, { facts, needed });
  return lagging.length === 0 ? undefined : `${lagging.join(", ")} to know of it`;
}

/** Whether the change waits for somebody who will never be complete. */
function isLostGainer(ring: Ring, { name, isDestroyed }: RingMember): boolean {
  return isDestroyed === true && ring.gains(name).length > 0;
}

function maySwitch(ring: Ring, transition: Transition, facts: FactsOf): boolean {
  if (incompleteOf(ring, transition, facts).length > 0) return false;
  return laggingOf(ring, transition, { facts, needed: switchNeeds(ring) }).length === 0;
}

function mayFinish(ring: Ring, transition: Transition, facts: FactsOf): boolean {
  return laggingOf(ring, transition, { facts, needed: finishNeeds(ring) }).length === 0;
}

/** Present homes of a partition that meet every write of before the change. */
function switchNeeds({ replicationFactor, document }: Ring): number {
  return replicationFactor - document.writeQuorum + 1;
}

/** Present homes of a partition that meet every read of before the switch. */
function finishNeeds({ replicationFactor, document }: Ring): number {
  return replicationFactor - document.readQuorum + 1;
}

/** Members that get something and are not complete, by name. */
function incompleteOf(ring: Ring, { id }: Transition, facts: FactsOf): MemberId[] {
  return ring.document.members
    .filter((member) => ring.gains(member.name).length > 0 && factsOf(member, facts)?.completeFor !== id)
    .map(({ name }) => name);
}

/** Who has not adopted the phase, of the partitions that change and of which too few present homes have; by name. */
function laggingOf(
  ring: Ring,
  transition: Transition,
  { facts, needed }: { readonly facts: FactsOf; readonly needed: number },
): MemberId[] {
  const { document, partitions } = ring;
  const isQuorumChange =
    transition.readQuorum !== document.readQuorum || transition.writeQuorum !== document.writeQuorum;
  const adopted = new Set(
    document.members.filter((member) => (factsOf(member, facts)?.epoch ?? 0) >= transition.phaseEpoch),
  );
  const lagging = new Set<MemberId>();
  for (let partition = 0; partition < partitions; partition++) {
    if (ring.writeSets(partition).length === 1 && !isQuorumChange) continue;
    const left = ring.presentHomes(partition).filter(({ isDestroyed }) => isDestroyed !== true);
    const without = left.filter((member) => !adopted.has(member));
    if (left.length - without.length >= Math.min(needed, left.length)) continue;
    for (const { name } of without) lagging.add(name);
  }
  return [...lagging].sort();
}

/** What a member says from the disk that the document lists. What was on another one says nothing of this one. */
function factsOf({ name, actor }: RingMember, facts: FactsOf): MemberFacts | undefined {
  const said = facts(name);
  return actor === undefined || said?.actor === actor ? said : undefined;
}

function switched(document: RingDocument, transition: Transition): RingDocument {
  const epoch = document.epoch + 1;
  return { ...document, epoch, transition: { ...transition, phase: "switch", phaseEpoch: epoch } };
}

function finished(document: RingDocument, transition: Transition): RingDocument {
  const { transition: _, ...rest } = document;
  const { homes, readQuorum, writeQuorum, mode } = transition;
  const weights = new Map(transition.weights);
  const members = document.members.map((member): RingMember => {
    const weight = weights.get(member.name) ?? member.weight;
    if (member.state === "joining") return { ...member, weight, state: "active" };
    // What was destroyed has nothing to hand over. One that stays may be home to something yet, by name.
    const hasLeft = member.state === "leaving" && member.isDestroyed === true;
    return { ...member, weight, state: hasLeft ? "left" : member.state };
  });
  const ended = { ...rest, epoch: document.epoch + 1, members, homes, readQuorum, writeQuorum, mode };
  return { ...ended, past: remember(document, { id: transition.id, outcome: "done", epoch: ended.epoch }) };
}

/**
 * The document that takes a change back: who was to leave stays, who was to join leaves again.
 *
 * @param document One in phase *prepare*.
 */
export function cancelledDocument(document: RingDocument): RingDocument {
  const { transition, ...rest } = document;
  assert(transition?.phase === "prepare", "a change is cancelled before it switches");
  const members = document.members.map((member): RingMember => {
    if (member.state === "joining") return { ...member, state: "leaving" };
    // Who was declared destroyed stays so: that was said for good, whatever becomes of the change.
    return transition.leaving.includes(member.name) ? { ...member, state: "active" } : member;
  });
  const epoch = document.epoch + 1;
  return { ...rest, epoch, members, past: remember(document, { id: transition.id, outcome: "cancelled", epoch }) };
}

function remember(document: RingDocument, change: PastChange): readonly PastChange[] {
  return [...(document.past ?? []), change].slice(-PAST_MAX);
}

/** Who leaves, has adopted that it owns nothing, holds nothing and keeps no hints, has left; so has a destroyed disk. */
function emptiedDocument(document: RingDocument, facts: FactsOf): RingDocument | undefined {
  const isEmptied = (member: RingMember) => {
    if (member.state !== "leaving") return false;
    const said = factsOf(member, facts);
    return member.isDestroyed === true || (said !== undefined && said.epoch >= document.epoch && said.isEmptied);
  };
  if (!document.members.some(isEmptied)) return undefined;
  const members = document.members.map((member) =>
    isEmptied(member) ? { ...member, state: "left" as const } : member,
  );
  return { ...document, epoch: document.epoch + 1, members };
}

/**
 * The document that declares the disks of members destroyed while a change runs, which then need not wait for them.
 *
 * @param rebuilding Members whose disks were lost as well, and are not filled again yet.
 * @throws {KvError} CHANGE_REFUSED when that would be the W-th lost home of a partition.
 */
export function declaredDocument(
  document: RingDocument,
  names: ReadonlySet<MemberId>,
  { rebuilding, metActorOf }: { readonly rebuilding: ReadonlySet<MemberId>; readonly metActorOf: ActorOf },
): RingDocument {
  const members = document.members.map(
    (member): RingMember => (names.has(member.name) ? givenUp(member, metActorOf(member.name)) : member),
  );
  const { homes, writeQuorum, transition } = document;
  const least = Math.min(writeQuorum, transition?.writeQuorum ?? writeQuorum);
  const isLost = ({ name, isDestroyed }: RingMember) => isDestroyed === true || rebuilding.has(name);
  for (const table of [homes, transition?.homes ?? []]) {
    refuseIfTooManyLost({ homes: table, members, writeQuorum: least }, isLost);
  }
  return { ...document, epoch: document.epoch + 1, members };
}

type ActorOf = (name: MemberId) => string | undefined;

/**
 * A member whose disk counts as destroyed.
 *
 * @param met The directory that it was first met with: of a first member that was never listed, for the ring to tell should just
 *   that one come back.
 */
export function givenUp(member: RingMember, met: string | undefined): RingMember {
  const actor = member.actor ?? met;
  return { ...member, ...(actor === undefined ? {} : { actor }), isDestroyed: true };
}

/**
 * @param document Its W is the least that writes of now or of soon are acknowledged by.
 * @param isLost Whether what a member held counts as gone.
 * @throws {KvError} CHANGE_REFUSED when of some partition W homes do.
 */
export function refuseIfTooManyLost(
  { homes, members, writeQuorum }: Pick<RingDocument, "homes" | "members" | "writeQuorum">,
  isLost: (member: RingMember) => boolean,
): void {
  for (const [partition, row] of homes.entries()) {
    const lost = row.flatMap((home) => {
      const member = members[home];
      return member !== undefined && isLost(member) ? [member.name] : [];
    });
    if (lost.length < writeQuorum) continue;
    const isOne = lost.length === 1;
    throw new KvError(
      "CHANGE_REFUSED",
      `Cannot change the ring: the disk${isOne ? "" : "s"} of ${lost.join(" and ")} would count as destroyed, and a write of partition ${partition} may be there alone (W = ${writeQuorum}). Bring ${isOne ? "it" : "one of them"} back.`,
    );
  }
}

/**
 * The document that lists data directories of members as they are now; undefined when it does so already.
 *
 * @param actors By name. A member whose disk was lost comes with another one and does not vote until it is listed.
 */
export function enrolledDocument(
  document: RingDocument,
  actors: ReadonlyMap<MemberId, string>,
): RingDocument | undefined {
  const isNew = ({ name, actor, state, isDestroyed }: RingMember) => {
    const now = actors.get(name);
    return state !== "left" && isDestroyed !== true && now !== undefined && now !== actor;
  };
  if (!document.members.some(isNew)) return undefined;
  const members = document.members.map((member) =>
    isNew(member) ? { ...member, actor: actors.get(member.name) as string } : member,
  );
  return { ...document, epoch: document.epoch + 1, members };
}
