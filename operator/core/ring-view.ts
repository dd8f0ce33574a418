/**
 * What the nodes' answers, taken together, say of the ring.
 *
 * The newest document among the answers counts, and none older than the newest that the status remembers: an epoch
 * never falls. Anything that takes a pod or a volume away asks `unsettled` first, which demands the word of every
 * member: silence, an older epoch and a figure that is still being counted are all reasons to wait.
 */
import { ADOPT_ANNOTATION, type Cluster } from "../api/kvcluster.ts";
import type { Change, Health, NodeAnswer, RingDocument, RingMember, World } from "./world.ts";

export type RingView = {
  readonly document: RingDocument;
  /** By name, members that left included. */
  readonly members: ReadonlyMap<string, RingMember>;
  /** Members that have not left. */
  readonly present: readonly RingMember[];
  /** As the witnesses tell it: whoever knows an older ring may tell of a change that has long ended. */
  readonly change: Change | undefined;
  /** Answers of this cluster's nodes at the document's epoch. */
  readonly witnesses: readonly NodeAnswer[];
};

/** The id that the nodes of a cluster bear: the object's UID, or that of the cluster whose volumes it takes over. */
export function clusterId(cluster: Cluster): string {
  return cluster.metadata.annotations[ADOPT_ANNOTATION] ?? cluster.metadata.uid;
}

/** The answer of a pod's node, if it gave one and belongs to this cluster. */
export function answerOf(world: World, pod: string): NodeAnswer | undefined {
  const answer = world.answers.get(pod);
  return answer?.kind === "answer" && answer.clusterId === clusterId(world.cluster) ? answer : undefined;
}

/** All answers of this cluster's nodes, by pod name. */
export function allAnswers(world: World): readonly NodeAnswer[] {
  return [...world.answers.keys()].sort().flatMap((pod) => answerOf(world, pod) ?? []);
}

/** That the nodes are those of another cluster, and what to do about it; undefined where none says so. */
export function whyStrange(world: World): string | undefined {
  const own = clusterId(world.cluster);
  const others = [...world.answers.values()].flatMap((answer) => (answer.kind === "answer" ? [answer.clusterId] : []));
  const id = others.find((other) => other !== own);
  if (id === undefined) return undefined;
  return `they are nodes of the cluster ${id}: to take them over, make the KVCluster anew with ${ADOPT_ANNOTATION}: ${id}`;
}

/** The ring, or undefined when no answer is as new as what was seen before. */
export function ringOf(world: World): RingView | undefined {
  const answers = allAnswers(world);
  let document: RingDocument | undefined;
  for (const { ring } of answers) if (ring !== undefined && ring.epoch > (document?.epoch ?? 0)) document = ring;
  if (document === undefined || document.epoch < (world.cluster.status.ringEpoch ?? 0)) return undefined;
  const { epoch, members } = document;
  // A node that knows a newer epoch than any document that was sent: the document is being replaced right now.
  if (answers.some(({ ringEpoch }) => ringEpoch > epoch)) return undefined;
  const witnesses = answers.filter(({ ringEpoch }) => ringEpoch === epoch);
  return {
    document,
    members: new Map(members.map((member) => [member.name, member])),
    present: members.filter(({ state }) => state !== "left"),
    change: witnesses.find(({ change }) => change !== undefined)?.change,
    witnesses,
  };
}

/** Whether a change is under way, by what the nodes say or by the members' states in the document. */
export function isChanging(ring: RingView): boolean {
  return ring.change !== undefined || ring.present.some(({ state }) => state === "joining" || state === "leaving");
}

/**
 * Why the ring is not whole and at rest, or undefined when every member says that it is.
 *
 * @param except Members that may be missing: those that are about to be dealt with.
 */
export function unsettled(world: World, ring: RingView, except: readonly string[] = []): string | undefined {
  if (isChanging(ring)) return "a ring change is running";
  return missing(world, ring, except);
}

/**
 * Why not every member is present and whole, or undefined. Unlike `unsettled` it lets members come and go: a change that
 * waits for a member that is lost would wait for ever, if that member were not made anew before the change has ended.
 */
export function missing(world: World, ring: RingView, except: readonly string[] = []): string | undefined {
  const witnesses = new Map(ring.witnesses.map((answer) => [answer.name, answer]));
  for (const member of ring.present) {
    if (except.includes(member.name)) continue;
    const answer = witnesses.get(member.name);
    if (answer === undefined) return `member ${member.name} ${silenceOf(world, member.name, ring)}`;
    if (isRenewed(member.actor, answer)) return `member ${member.name} came back with another disk`;
    if (answer.ownState === "rebuilding") return `member ${member.name} is rebuilding`;
    const doubter = ring.witnesses.find(
      ({ name, health }) => !except.includes(name) && (health.get(member.name) ?? "up") !== "up",
    );
    if (doubter !== undefined) return `member ${member.name} is ${doubter.health.get(member.name)} to ${doubter.name}`;
  }
  return undefined;
}

/**
 * Why a member is lost while the ring changes, or undefined. What is ordinary then counts for nothing: that one has yet to
 * hear of the newest epoch, or that those who join are suspect to the others, and the others to them, until they are heard of.
 */
export function lost(world: World, ring: RingView): string | undefined {
  for (const { name, actor } of ring.present) {
    const answer = answerOf(world, name);
    if (answer === undefined) return `member ${name} ${silenceOf(world, name, ring)}`;
    if (isRenewed(actor, answer)) return `member ${name} came back with another disk`;
    if (answer.ownState === "rebuilding") return `member ${name} is rebuilding`;
    const doubter = ring.witnesses.find(({ health }) => health.get(name) === "down");
    if (doubter !== undefined) return `member ${name} is down to ${doubter.name}`;
  }
  return undefined;
}

/** Whether a member's pod answers with another disk than the ring lists. */
export function isRenewed(actor: string | undefined, answer: NodeAnswer | undefined): boolean {
  return actor !== undefined && answer?.actor !== undefined && answer.actor !== actor;
}

function silenceOf(world: World, name: string, ring: RingView): string {
  const answer = world.answers.get(name);
  if (answer === undefined) return "has no pod that could be asked";
  if (answer.kind === "silent") return `does not answer: ${answer.why}`;
  if (answer.clusterId !== clusterId(world.cluster)) return "belongs to another cluster";
  return `knows epoch ${answer.ringEpoch} only, not ${ring.document.epoch}`;
}

/** Why hints may be waiting somewhere, or undefined when every member counted all of its own and has none. */
export function hintsWaiting({ witnesses }: Pick<RingView, "witnesses">): string | undefined {
  for (const { name, hints } of witnesses) {
    if (hints === undefined) return `${name} is still counting the hints on its disk`;
    for (const [target, count] of hints) if (count > 0) return `${name} keeps ${count} hints for ${target}`;
  }
  return undefined;
}

/**
 * Why a pod may not go, or undefined: the ring, as every one of its members sees it, lists its member as `left` and
 * home to nothing, or does not list it. What the pod says itself may only speak against it.
 *
 * That a name is not listed is no absence of information here: it is what all members answered, at one epoch. The
 * node makes a member `left` only once its hints are gone and its successors complete. Which disk the pod has says
 * nothing: a new one, in place of one that was lost after its member had left, is in nobody's ring.
 */
export function whyNotGo(world: World, ring: RingView, name: string): string | undefined {
  const member = ring.members.get(name);
  if (member !== undefined && member.state !== "left") return `member ${name} is ${member.state} in the ring`;
  if (member !== undefined && member.owned > 0) return `member ${name} is home to ${member.owned} partitions`;
  const trouble = unsettled(world, ring);
  if (trouble !== undefined) return trouble;
  const own = answerOf(world, name);
  if (own === undefined) return undefined;
  if (own.ringEpoch > ring.document.epoch) return `${name} knows a newer ring`;
  if (own.hints !== undefined)
    for (const [target, count] of own.hints) if (count > 0) return `${name} keeps hints for ${target}`;
  return undefined;
}

/** A member's health as the others and its own answer show it. */
export function healthOf(world: World, ring: RingView, name: string): Health | "unknown" {
  const opinions = ring.witnesses.flatMap((answer) => (answer.name === name ? [] : (answer.health.get(name) ?? [])));
  const speaks = answerOf(world, name) !== undefined;
  if (opinions.includes("down")) return speaks ? "suspect" : "down";
  if (opinions.includes("suspect")) return "suspect";
  return speaks ? "up" : opinions.length === 0 ? "unknown" : "suspect";
}
