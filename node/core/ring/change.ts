/**
 * What is asked of the ring, and the first document of the change that does it: phase *prepare*.
 *
 * A pure function of the last document, of what is asked, and of who can be reached: members agree on the document that
 * comes out, nobody installs it (design §3). What would be unsafe is refused with the reason. The documents that follow
 * are in `transition.ts`.
 */
import { KvError } from "../errors.ts";
import {
  type MemberId,
  type Mode,
  type RingDocument,
  type RingMember,
  serializeRing,
  type Transition,
} from "./document.ts";
import { checkMember, parseRing } from "./parse-document.ts";
import { byName, planPlacement } from "./placement.ts";
import { asksAllHomes } from "./ring.ts";
import { givenUp, refuseIfTooManyLost } from "./transition.ts";

/** A change as a person or the operator asks for it. */
export type ChangeRequest = {
  /** Members to be, or to be again. */
  readonly join: readonly {
    readonly name: MemberId;
    readonly address: string;
    readonly zone: string;
    readonly weight: number;
  }[];
  /** Members that go: they hand over what they hold. */
  readonly leave: readonly MemberId[];
  /** Members that go whatever their state is: one that cannot be reached counts as destroyed. */
  readonly replace: readonly MemberId[];
  readonly weights: Readonly<Record<MemberId, number>>;
  /** Zones that members are in from now on: where a machine went, or a lost volume was made anew. */
  readonly zones: Readonly<Record<MemberId, string>>;
  readonly quorum: {
    readonly readQuorum?: number | undefined;
    readonly writeQuorum?: number | undefined;
    readonly mode?: Mode | undefined;
  };
  /** Accepts that a member that cannot be reached counts as destroyed, and that the change may have to wait. */
  readonly force: boolean;
};

/** What the one who was asked knows besides the document. */
export type ChangeFacts = {
  /** 16 hex digits, random. */
  readonly id: string;
  readonly nowMs: number;
  /** Whether the member can be reached, one that joins included. */
  readonly isReachable: (name: MemberId) => boolean;
  /** The data directory of a member, if it is known. */
  readonly actorOf: (name: MemberId) => string | undefined;
  /** The data directory that a member was first met with, also where it is silent. */
  readonly metActorOf: (name: MemberId) => string | undefined;
  /** Whether a member says that its disk was lost and is not filled again yet. */
  readonly isRebuilding: (name: MemberId) => boolean;
};

/** A change that asks for nothing; to be filled in. */
export const NO_CHANGE: ChangeRequest = {
  join: [],
  leave: [],
  replace: [],
  weights: {},
  zones: {},
  quorum: {},
  force: false,
};

/**
 * The document that begins a change. It is checked as one from outside is, so that nobody agrees on what nobody can read.
 *
 * @throws {KvError} INVALID_REQUEST when it cannot be meant so; CHANGE_REFUSED when another one runs, or it would be unsafe.
 */
export function beginChange(document: RingDocument, request: ChangeRequest, facts: ChangeFacts): RingDocument {
  const { transition } = document;
  if (transition !== undefined) {
    throw refusal(`the change ${transition.id} is under way. Wait for its end, or cancel it before it switches`);
  }
  checkNames(document, request, facts);
  const removed = new Set([...request.leave, ...request.replace]);
  const destroyed = new Set([...removed].filter((name) => isDeclared(document, name) || !facts.isReachable(name)));
  const weights = changed(document, request.weights, {
    now: ({ weight }) => weight,
    withIt: (member, weight) => ({ ...member, weight }),
  });
  // They hold at once, for that is where the members are; the table follows.
  const zones = new Map(
    changed(document, request.zones, { now: ({ zone }) => zone, withIt: (member, zone) => ({ ...member, zone }) }),
  );
  const figures = figuresToBe(document, request);
  const isQuorumChange = figures.readQuorum !== document.readQuorum || figures.writeQuorum !== document.writeQuorum;
  const isSame = removed.size + request.join.length + weights.length + zones.size === 0;
  if (isSame && !isQuorumChange && figures.mode === document.mode) throw invalid("it is what was asked for");
  refuseSilentLeavers(request, destroyed);
  const members = membersToBe(document, { request, removed, destroyed, zones, facts });
  const homes = tableOf(document, members);
  const next = plan(document, members, new Map(weights));
  const asksAll = asksAllHomes(document, figures);
  const leastAcks = Math.min(document.writeQuorum, figures.writeQuorum);
  const move = { members, homes, next, destroyed, isQuorumChange, asksAll, leastAcks, isForced: request.force, facts };
  refuseUnsafe(document, move);
  // Who is leaving already is only declared destroyed: cancelling that makes nobody a member again.
  const leaving = [...removed].filter((name) =>
    document.members.some((member) => member.name === name && !isGone(member)),
  );
  const epoch = document.epoch + 1;
  const begun = { id: facts.id, phase: "prepare" as const, phaseEpoch: epoch, startedAtMs: facts.nowMs, homes: next };
  return parseRing(
    serializeRing({
      ...document,
      ...{ epoch, members, homes },
      transition: { ...begun, leaving: leaving.sort(), weights, ...figures },
    }),
  );
}

/**
 * What really changes of what is asked for, by name.
 *
 * @param asked By name, of any members.
 * @param now What a member has.
 * @param withIt The member as it would be.
 */
function changed<Value>(
  { members }: RingDocument,
  asked: Readonly<Record<MemberId, Value>>,
  {
    now,
    withIt,
  }: {
    readonly now: (member: RingMember) => Value;
    readonly withIt: (member: RingMember, value: Value) => RingMember;
  },
): (readonly [MemberId, Value])[] {
  return members.flatMap((member) => {
    const value = Object.hasOwn(asked, member.name) ? asked[member.name] : undefined;
    if (value === undefined || value === now(member)) return [];
    checkMember(withIt(member, value));
    return [[member.name, value] as const];
  });
}

type Figures = Pick<Transition, "readQuorum" | "writeQuorum" | "mode">;

function figuresToBe(document: RingDocument, { quorum }: ChangeRequest): Figures {
  const { replicationFactor } = document;
  const readQuorum = quorum.readQuorum ?? document.readQuorum;
  const writeQuorum = quorum.writeQuorum ?? document.writeQuorum;
  for (const [name, figure] of [
    ["r", readQuorum],
    ["w", writeQuorum],
  ] as const) {
    if (Number.isInteger(figure) && figure >= 1 && figure <= replicationFactor) continue;
    throw invalid(`${name} is from 1 to ${replicationFactor}, not ${figure}`);
  }
  return { readQuorum, writeQuorum, mode: quorum.mode ?? document.mode };
}

function invalid(what: string): KvError {
  return new KvError("INVALID_REQUEST", `Cannot change the ring: ${what}.`);
}

function refusal(why: string): KvError {
  return new KvError("CHANGE_REFUSED", `Cannot change the ring: ${why}.`);
}

/** Whether its disk was declared destroyed before. */
function isDeclared({ members }: RingDocument, name: MemberId): boolean {
  return members.some((member) => member.name === name && member.isDestroyed === true);
}

function isGone({ state }: RingMember): boolean {
  return state === "left" || state === "leaving";
}

function checkNames(document: RingDocument, request: ChangeRequest, facts: ChangeFacts): void {
  const known = new Map(document.members.map((member) => [member.name, member]));
  const weighed = Object.keys(request.weights);
  const named = [...request.join.map(({ name }) => name), ...request.leave, ...request.replace, ...weighed];
  for (const [index, name] of named.entries()) {
    if (named.indexOf(name) !== index) throw invalid(`${name} is named twice`);
  }
  const staying = [...weighed, ...Object.keys(request.zones)];
  const twice = Object.keys(request.zones).find((name) => named.includes(name) && !weighed.includes(name));
  if (twice !== undefined) throw invalid(`${twice} is named twice`);
  for (const name of [...request.leave, ...request.replace, ...staying]) {
    const member = known.get(name);
    if (member === undefined) throw invalid(`there is no member ${name}`);
    if (!isGone(member)) continue;
    // One that died on its way out never says that it is empty: it may be declared destroyed, and has left then.
    if (member.state === "leaving" && !staying.includes(name) && !facts.isReachable(name)) continue;
    throw invalid(`${name} is ${member.state === "left" ? "gone" : "leaving"} already`);
  }
  for (const { name } of request.join) {
    const member = known.get(name);
    if (member !== undefined && !isGone(member)) throw invalid(`${name} is a member already`);
  }
}

function refuseSilentLeavers({ leave, force }: ChangeRequest, destroyed: ReadonlySet<MemberId>): void {
  const silent = leave.find((name) => destroyed.has(name));
  if (silent === undefined || force) return;
  throw refusal(
    `${silent} cannot be reached, or its disk was declared destroyed: it cannot hand over what it holds. Bring it back, or give its disk up with force`,
  );
}

type Parts = {
  readonly request: ChangeRequest;
  readonly removed: ReadonlySet<MemberId>;
  readonly destroyed: ReadonlySet<MemberId>;
  readonly zones: ReadonlyMap<MemberId, string>;
  readonly facts: ChangeFacts;
};

function membersToBe(document: RingDocument, { request, removed, destroyed, zones, facts }: Parts): RingMember[] {
  const joining = request.join.map((asked): RingMember => {
    const { name, address, zone, weight } = asked;
    const before = document.members.find((member) => member.name === name);
    const actor = facts.actorOf(name);
    if (before?.isDestroyed === true && before.actor !== undefined && before.actor === actor) {
      throw refusal(
        `${name} was removed as destroyed and comes with the same data directory. Start it with an empty one`,
      );
    }
    if (before?.isDestroyed === true && actor === undefined) {
      throw refusal(
        `${name} was removed as destroyed, and which data directory it comes with is not known. Start it first`,
      );
    }
    if (!facts.isReachable(name)) {
      throw refusal(`${name} cannot be reached at ${address}. Start it first, with ANNULUS_SEEDS naming a member`);
    }
    const member = checkMember({ name, address, zone, weight, state: "joining" });
    return actor === undefined ? member : { ...member, actor };
  });
  const staying = document.members
    .filter(({ name }) => !joining.some((member) => member.name === name))
    .map((member): RingMember => {
      if (!removed.has(member.name)) return { ...member, zone: zones.get(member.name) ?? member.zone };
      const leaving: RingMember = { ...member, state: "leaving" };
      return destroyed.has(member.name) ? givenUp(leaving, facts.metActorOf(member.name)) : leaving;
    });
  return [...staying, ...joining].sort(byName);
}

/** The present table, as indexes into the members to be. */
function tableOf(document: RingDocument, members: readonly RingMember[]): RingDocument["homes"] {
  const indexOf = new Map(members.map(({ name }, index) => [name, index]));
  const moved = document.members.map(({ name }) => indexOf.get(name) ?? -1);
  return document.homes.map((row) => row.map((home) => moved[home] ?? -1));
}

/** The table to be, as indexes into `members`. */
function plan(
  document: RingDocument,
  members: readonly RingMember[],
  weights: ReadonlyMap<MemberId, number>,
): RingDocument["homes"] {
  const able = members.filter((member) => !isGone(member));
  const { partitions, replicationFactor } = document;
  const holding = able.map((member) => ({ ...member, weight: weights.get(member.name) ?? member.weight }));
  const left = holding.filter(({ weight }) => weight > 0).length;
  if (left < replicationFactor) {
    throw refusal(`N = ${replicationFactor} needs as many members with a weight above 0, and ${left} would be left`);
  }
  const planned = planPlacement({ partitions, replicationFactor, members: holding, previous: document });
  const indexOf = new Map(members.map(({ name }, index) => [name, index]));
  return planned.homes.map((row) => row.map((home) => indexOf.get(planned.members[home]?.name ?? "") ?? -1));
}

type Move = {
  readonly members: readonly RingMember[];
  readonly homes: RingDocument["homes"];
  readonly next: RingDocument["homes"];
  readonly destroyed: ReadonlySet<MemberId>;
  readonly isQuorumChange: boolean;
  /** Whether present homes have to be made complete as well. */
  readonly asksAll: boolean;
  /** W of now or to be, whichever is less: by that number of lost homes a change is unsafe, or the next one would be. */
  readonly leastAcks: number;
  readonly isForced: boolean;
  readonly facts: ChangeFacts;
};

/** What may not be, whoever asks for it, and what only `force` may begin. */
function refuseUnsafe(document: RingDocument, move: Move): void {
  const { members, homes, next, destroyed, isForced, facts } = move;
  const { replicationFactor, readQuorum, writeQuorum } = document;
  refuseIfTooManyLost({ homes, members, writeQuorum: move.leastAcks }, (member) => isLost(member, move));
  // The most that a gate of `transition.ts` asks for.
  const needed = replicationFactor - Math.min(readQuorum, writeQuorum) + 1;
  const named = (row: readonly number[]) => row.flatMap((home) => members[home] ?? []);
  for (const [partition, row] of homes.entries()) {
    const present = named(row);
    const gaining = named(next[partition] ?? []).filter((member) => move.asksAll || !present.includes(member));
    const lost = gaining.find(({ isDestroyed }) => isDestroyed === true);
    if (lost !== undefined) {
      throw refusal(
        `the disk of ${lost.name} was declared destroyed, and it would get partition ${partition}. Replace it`,
      );
    }
    if (isForced || (gaining.length === 0 && !move.isQuorumChange)) continue;
    const left = present.filter(({ name }) => !destroyed.has(name));
    const live = left.filter(({ name }) => facts.isReachable(name)).length;
    if (live < Math.min(needed, left.length)) {
      throw refusal(
        `of partition ${partition} only ${live} of ${replicationFactor} homes can be reached and ${Math.min(needed, left.length)} are needed to move it. Bring one back, or begin with force and let the change wait`,
      );
    }
    const away = gaining.find(({ name }) => !facts.isReachable(name));
    if (away === undefined) continue;
    throw refusal(
      `${away.name} cannot be reached and would ${present.includes(away) ? "have to hold all of" : "get"} partition ${partition}. Bring it back, replace it or set its weight to 0, or begin with force and let the change wait`,
    );
  }
}

/** Whether what a member held counts as gone: its disk was given up, exchanged, or is being filled anew. */
function isLost({ name, actor, isDestroyed }: RingMember, { destroyed, facts }: Move): boolean {
  if (isDestroyed === true) return true;
  const now = facts.actorOf(name);
  const isExchanged = actor !== undefined && now !== undefined && now !== actor;
  // Without a disk that is given up by this change, nothing is lost by it.
  return destroyed.size > 0 && (isExchanged || facts.isRebuilding(name));
}
