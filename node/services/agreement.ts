/**
 * Has the members choose the next ring document, and takes part in the choice (design §3).
 *
 *     propose ── promise? ──> voters ── a majority ── accept? ──> voters ── a majority ──> adopted here, the others told
 *        ▲                                  │
 *        └──── waits a random while ──── a higher ballot, or silence
 *
 * The document of epoch e is chosen by the voters of the document of epoch e − 1, which all of them have, so that there
 * is never a second one. Ballots are core/paxos/proposer.ts, the own vote voter.ts: the proposer's own goes through the
 * same door as everybody's. The others learn what was chosen as they learn of every ring, by a newer epoch in gossip.
 */
import { KvError } from "../core/errors.ts";
import {
  beginProposal,
  documentOf,
  hearWord,
  isAnswered,
  majorityOf,
  type Proposal,
  type Word,
} from "../core/paxos/proposer.ts";
import { type MemberId, type RingDocument, serializeRing } from "../core/ring/document.ts";
import { parseRing } from "../core/ring/parse-document.ts";
import type { Ring } from "../core/ring/ring.ts";
import { votersOf } from "../core/ring/transition.ts";
import type { AgreementRequest, VotedReply } from "../messages.ts";
import type { Engine, Random, Telemetry, Time, Transport } from "../ports.ts";
import type { Identity } from "./identity.ts";
import { createVoter } from "./voter.ts";

export type Agreement = {
  /** Reads the vote that was given last. */
  open(): Promise<void>;
  /**
   * Has the members choose the document after the present one; whatever is chosen is adopted here.
   *
   * @returns Whether it was `next`. If not, `next` is not chosen and never will be: its epoch has another document.
   * @throws {KvError} STALE_RING: `next` is not for the next epoch; NOT_READY: there is no ring, or another directory took the place of this one; QUORUM_UNAVAILABLE: no
   *   majority of the voters answered, nothing was asked to be accepted; TIMED_OUT: no ballot was won, and with outcome
   *   "unknown" `next` may still be chosen by somebody who carries it on, or was chosen and replaced already. Or the engine's error on adopting.
   */
  propose(next: RingDocument): Promise<boolean>;
  /**
   * Voters that have no vote for this epoch, as they said, and whose directories the ring does not name: it does not tell that of
   * them. Who has no vote for an epoch never gets one.
   */
  barredFrom(epoch: number): ReadonlySet<MemberId>;
  /** A voter's word to a proposer. Rejects as `Voter.answer`. */
  answer(request: AgreementRequest): Promise<VotedReply>;
  /** Begins no ballot any more: a proposal under way rejects with NOT_READY, and its outcome may be unknown. */
  close(): void;
};

export type AgreementParts = {
  readonly rings: {
    current(): Ring | undefined;
    /** Persists a document, then lets it come into force; does nothing with one that is not newer. */
    adopt(document: RingDocument, origin: string): Promise<void>;
  };
  readonly identity: Pick<Identity, "actor" | "isSuccessor" | "isSuperseded">;
  readonly engine: Engine;
  readonly transport: Pick<Transport, "request" | "isLinked">;
  readonly time: Time;
  readonly random: Random;
  readonly telemetry: Telemetry;
};

/** How long a voter may take to answer; it syncs its disk. */
const VOTE_TIMEOUT_MS = 1_000;
/** Ballots of one proposal. More: two proposers that meet again and again are likelier to end. */
const BALLOTS_MAX = 8;
/** Ballots to which no majority answered: it will not come soon. */
const UNANSWERED_MAX = 3;
/** A proposer waits a random part of this before its second ballot, of twice as much before its third, and so on. */
const BACK_OFF_MS = 100;
const BACK_OFF_DOUBLINGS_MAX = 3;

const NOBODY: ReadonlySet<MemberId> = new Set();

/** Told of one who may not vote, and says so: with another directory than the ring lists, or where it may have forgotten a vote. */
type OnBarred = (name: MemberId) => void;

/** What came of one ballot. */
type End =
  | { readonly kind: "ended"; readonly proposal: Proposal }
  /** Somebody has the epoch already. */
  | { readonly kind: "newer"; readonly document: RingDocument };

/** @param parts The ring keeper and ports; `member` is this node's name. */
export function createAgreement(parts: AgreementParts, { member }: { readonly member: MemberId }): Agreement {
  const { rings, transport, time, random, telemetry } = parts;
  const voter = createVoter(parts, member);
  /** The highest that was used or heard of here: two proposals of this node are two proposers. */
  let round = 0;
  let isClosed = false;
  /** Of the newest epoch of which somebody said that it has no vote. */
  let barredUnnamed: { readonly epoch: number; readonly names: Set<MemberId> } = { epoch: 0, names: new Set() };

  /** Only tells the epoch: who does not have it asks for the ring. */
  async function tell(name: MemberId): Promise<void> {
    const epoch = rings.current()?.epoch ?? 0;
    try {
      await transport.request(name, { kind: "gossip", news: [], epoch }, VOTE_TIMEOUT_MS);
    } catch (error) {
      if (!(error instanceof KvError)) throw error;
      // It hears of it by the next gossip.
      telemetry.count("annulus.gossip.failed");
    }
  }

  function tellAll(document: RingDocument): void {
    for (const { name, state } of document.members) {
      if (name !== member && state !== "left" && transport.isLinked(name)) void tell(name);
    }
  }

  async function ask(name: MemberId, request: AgreementRequest): Promise<VotedReply | undefined> {
    try {
      const reply =
        name === member ? await voter.answer(request) : await transport.request(name, request, VOTE_TIMEOUT_MS);
      if (reply.kind === "voted") return understood(reply, request.epoch);
    } catch (error) {
      if (!(error instanceof KvError)) throw error;
      telemetry.log("debug", "agreement.no_vote", { name, reason: error.message });
    }
    return undefined;
  }

  /** Asks all voters, until the stage is over or somebody turns out to be ahead. */
  function poll(proposal: Proposal, request: AgreementRequest, onBarred: OnBarred): Promise<Proposal | RingDocument> {
    return new Promise((resolve) => {
      let heard = proposal;
      let isOver = false;
      const listen = async (from: MemberId): Promise<void> => {
        const reply = await ask(from, request);
        if (reply?.vote === "not a voter") onBarred(from);
        if (isOver) return;
        if (reply?.vote === "behind" && from !== member) void tell(from);
        heard = hearWord(heard, { from, asked: request.kind, word: wordOf(reply) });
        const newer = reply?.newer === undefined ? undefined : parseRing(reply.newer);
        isOver = newer !== undefined || heard.stage !== proposal.stage;
        if (isOver) resolve(newer ?? heard);
      };
      for (const name of proposal.voters) void listen(name);
    });
  }

  /** One ballot from its first request to its end. */
  async function ballot(
    epoch: number,
    begun: Proposal,
    hooks: { readonly onAccept: (document: string) => void; readonly onBarred: OnBarred },
  ): Promise<End> {
    telemetry.count("annulus.agreement.ballots");
    let proposal = begun;
    while (proposal.stage === "promise" || proposal.stage === "accept") {
      const { ballot, stage } = proposal;
      if (stage === "accept") hooks.onAccept(documentOf(proposal));
      const request: AgreementRequest =
        stage === "promise"
          ? { kind: "promise", epoch, ballot }
          : { kind: "accept", epoch, ballot, document: documentOf(proposal) };
      const polled = await poll(proposal, request, hooks.onBarred);
      if (!("stage" in polled)) return { kind: "newer", document: polled };
      proposal = polled;
    }
    round = Math.max(round, proposal.highestRound);
    return { kind: "ended", proposal };
  }

  function backOff(doublings: number): Promise<void> {
    const mostMs = BACK_OFF_MS * 2 ** Math.min(doublings, BACK_OFF_DOUBLINGS_MAX);
    return new Promise((resolve) => {
      time.after(random.uint32() % mostMs, resolve);
    });
  }

  async function propose(ring: Ring, next: RingDocument): Promise<boolean> {
    const { epoch } = next;
    const mine = serializeRing(next);
    const voters = votersOf(ring.document).map(({ name }) => name);
    const barred = new Set<MemberId>();
    let mayBeChosen = false;
    let unanswered = 0;
    const wasChosen = (document: RingDocument) => {
      // What the epoch's own document was is not told any more.
      if (document.epoch > epoch && mayBeChosen) throw passedBy(epoch, document.epoch);
      return serializeRing(document) === mine;
    };
    for (let count = 0; count < BALLOTS_MAX && unanswered < UNANSWERED_MAX; count++) {
      if (count > 0) await backOff(count - 1);
      if (isClosed) throw stopping(mayBeChosen);
      const present = rings.current();
      if (present !== undefined && present.epoch >= epoch) return wasChosen(present.document);
      round = Math.max(round, voter.promisedRound(epoch)) + 1;
      const end = await ballot(epoch, beginProposal({ round, proposer: member }, voters, mine), {
        onAccept: (document) => {
          mayBeChosen ||= document === mine;
        },
        onBarred(name) {
          barred.add(name);
          if (ring.member(name)?.actor !== undefined || epoch < barredUnnamed.epoch) return;
          if (epoch > barredUnnamed.epoch) barredUnnamed = { epoch, names: new Set() };
          barredUnnamed.names.add(name);
        },
      });
      if (end.kind === "newer") {
        await rings.adopt(end.document, "a voter");
        return wasChosen(end.document);
      }
      const { proposal } = end;
      if (proposal.stage === "chosen") return adoptChosen(proposal, next);
      if (!isAnswered(proposal)) unanswered += 1;
    }
    throw notChosen(epoch, { voters, barred: [...barred], mayBeChosen, wasAnswered: unanswered < UNANSWERED_MAX });
  }

  async function adoptChosen(proposal: Proposal, next: RingDocument): Promise<boolean> {
    const isOwn = documentOf(proposal) === proposal.mine;
    telemetry.count("annulus.agreement.chosen");
    telemetry.log("info", "agreement.chosen", { epoch: next.epoch, round: proposal.ballot.round, carriedOn: !isOwn });
    const chosen = isOwn ? next : parseRing(documentOf(proposal));
    await rings.adopt(chosen, "agreement");
    tellAll(chosen);
    return isOwn;
  }

  return {
    open: voter.open,
    answer: voter.answer,
    barredFrom: (epoch) => (barredUnnamed.epoch === epoch ? barredUnnamed.names : NOBODY),
    close() {
      isClosed = true;
    },
    async propose(next) {
      const ring = rings.current();
      if (ring === undefined) throw new KvError("NOT_READY", "Cannot propose a ring: this node has none yet.");
      // It would list itself again. Its peers may not know it for what it is: they remember the last few rings only.
      if (parts.identity.isSuperseded()) throw superseded();
      if (next.epoch === ring.epoch + 1) return propose(ring, next);
      throw new KvError(
        "STALE_RING",
        `Cannot propose a ring: expected one of epoch ${ring.epoch + 1}, found one of epoch ${next.epoch}.`,
      );
    },
  };
}

/** Whether a majority is left without so many of the voters. */
function mayVote(voters: readonly MemberId[], barred: number): boolean {
  return voters.length - barred >= majorityOf(voters);
}

function superseded(): KvError {
  return new KvError(
    "NOT_READY",
    "Cannot propose a ring: another data directory took the place of this one. Ask another member.",
  );
}

/**
 * The reply of a voter, if this release can read all of it. What somebody accepted and this release cannot read may be
 * chosen already, so that a promise that comes with it is not to be used without it.
 */
function understood(reply: VotedReply, epoch: number): VotedReply | undefined {
  const { accepted, newer } = reply;
  if (accepted !== undefined && parseRing(accepted.document).epoch !== epoch) return undefined;
  if (newer !== undefined && parseRing(newer).epoch < epoch) return undefined;
  return reply;
}

function wordOf(reply: VotedReply | undefined): Word {
  if (reply === undefined || reply.vote === "behind" || reply.vote === "not a voter") return undefined;
  return { isYes: reply.vote === "yes", promised: reply.promised, accepted: reply.accepted };
}

function passedBy(epoch: number, present: number): KvError {
  return new KvError(
    "TIMED_OUT",
    `Cannot tell which ring of epoch ${epoch} was chosen: some may have accepted this one, and epoch ${present} is in force.`,
    { outcome: "unknown" },
  );
}

function stopping(mayBeChosen: boolean): KvError {
  return new KvError("NOT_READY", "Cannot have a ring chosen: this node stops.", {
    outcome: mayBeChosen ? "unknown" : "none",
  });
}

function notChosen(
  epoch: number,
  {
    voters,
    barred,
    mayBeChosen,
    wasAnswered,
  }: {
    readonly voters: readonly MemberId[];
    readonly barred: readonly MemberId[];
    readonly mayBeChosen: boolean;
    readonly wasAnswered: boolean;
  },
): KvError {
  const what = `Cannot have the ring of epoch ${epoch} chosen`;
  const majority = `${majorityOf(voters)} of the ${voters.length} members that vote`;
  if (mayBeChosen) {
    return new KvError("TIMED_OUT", `${what} for sure: some may have accepted it, ${majority} did not say so.`, {
      outcome: "unknown",
    });
  }
  if (wasAnswered) return new KvError("TIMED_OUT", `${what}: others proposed at the same time, again and again.`);
  const lost =
    barred.length === 0
      ? " and did not answer"
      : `, and ${[...barred].sort().join(", ")} may not vote: the ring lists another data directory, or a vote may be forgotten there`;
  const advice = mayVote(voters, barred.length) ? "" : " Waiting alone mends nothing: see annulus doctor.";
  return new KvError("QUORUM_UNAVAILABLE", `${what}: ${majority} are needed${lost}.${advice}`);
}
