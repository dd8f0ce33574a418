/**
 * Acceptors and proposers of one epoch without time: a bag of messages from which any may arrive next, twice or never,
 * and a record of all that was ever accepted.
 */
import assert from "node:assert/strict";
import {
  type Accepted,
  accept,
  blankVote,
  parseVote,
  promise,
  serializeVote,
  type Vote,
} from "../../../node/core/paxos/acceptor.ts";
import type { Ballot } from "../../../node/core/paxos/ballot.ts";
import {
  beginProposal,
  documentOf,
  hearWord,
  majorityOf,
  type Proposal,
  type Word,
} from "../../../node/core/paxos/proposer.ts";

/** What an acceptor does with a ballot; the shipped rules, or broken ones for the proof that breaking them shows. */
export type Rules = { readonly promise: typeof promise; readonly accept: typeof accept };
export const SHIPPED: Rules = { promise, accept };

type Message =
  | { readonly kind: "promise"; readonly to: string; readonly attempt: number; readonly ballot: Ballot }
  | { readonly kind: "accept"; readonly to: string; readonly attempt: number; readonly accepted: Accepted }
  | {
      readonly kind: "word";
      readonly from: string;
      readonly attempt: number;
      readonly asked: "promise" | "accept";
      readonly word: Word;
    };

const EPOCH = 2;

export class PaxosWorld {
  readonly voters: readonly string[];
  readonly bag: Message[] = [];
  /** Documents that a majority has accepted by one ballot, at any time. */
  readonly chosen = new Set<string>();
  /** Proposals whose proposer went on with a document that was not its own. */
  carriedOn = 0;
  /** The document that each ballot asked to accept. */
  readonly #byBallot = new Map<string, string>();
  /** Ballots that asked to accept two. */
  ambiguous = 0;
  readonly #rules: Rules;
  readonly #disks = new Map<string, string>();
  readonly #proposals: Proposal[] = [];
  /** Newest attempt of each proposer that it still remembers. */
  readonly #rounds = new Map<string, number>();
  /** By ballot and document: who ever accepted it. */
  readonly #accepted = new Map<string, Set<string>>();

  constructor(acceptors: number, rules: Rules = SHIPPED) {
    this.#rules = rules;
    this.voters = Array.from({ length: acceptors }, (_, index) => `v${index}`);
    for (const voter of this.voters) this.#disks.set(voter, serializeVote(blankVote(EPOCH)));
  }

  /** A proposer's next ballot, for a document of its own. */
  begin(proposer: string): number {
    const round = (this.#rounds.get(proposer) ?? 0) + 1;
    this.#rounds.set(proposer, round);
    const attempt = this.#proposals.length;
    const ballot = { round, proposer };
    this.#proposals.push(beginProposal(ballot, this.voters, `document ${attempt} of ${proposer}`));
    for (const to of this.voters) this.bag.push({ kind: "promise", to, attempt, ballot });
    return attempt;
  }

  stageOf(attempt: number): Proposal["stage"] {
    return this.#proposal(attempt).stage;
  }

  /** The proposer's process ends: it forgets its rounds, and hears no more words to what it asked. */
  forget(proposer: string): void {
    this.#rounds.delete(proposer);
    for (const [attempt, { ballot }] of this.#proposals.entries()) {
      if (ballot.proposer === proposer) this.#forgotten.add(attempt);
    }
  }

  readonly #forgotten = new Set<number>();

  deliver(message: Message): void {
    if (message.kind === "word") return this.#hear(message);
    // The disk is all that an acceptor has: it may have been started anew before any message.
    const vote = parseVote(this.#disks.get(message.to) ?? "");
    assert(vote !== undefined, "a vote comes back from the disk");
    const next =
      message.kind === "promise"
        ? this.#rules.promise(vote, message.ballot)
        : this.#rules.accept(vote, message.accepted);
    if (next !== undefined) this.#disks.set(message.to, serializeVote(next));
    if (next !== undefined && message.kind === "accept") this.#record(message.to, message.accepted);
    const { promised, accepted }: Vote = next ?? vote;
    const word = { isYes: next !== undefined, promised, accepted };
    const { attempt, to: from, kind: asked } = message;
    this.bag.push({ kind: "word", from, attempt, asked, word });
  }

  #hear({ attempt, from, asked, word }: Extract<Message, { kind: "word" }>): void {
    if (this.#forgotten.has(attempt)) return;
    const before = this.#proposal(attempt);
    const after = hearWord(before, { from, asked, word });
    this.#proposals[attempt] = after;
    const { proposer } = after.ballot;
    this.#rounds.set(proposer, Math.max(this.#rounds.get(proposer) ?? 0, after.highestRound));
    if (before.stage === after.stage) return;
    if (after.stage === "accept") {
      const accepted = { ballot: after.ballot, document: documentOf(after) };
      if (accepted.document !== after.mine) this.carriedOn += 1;
      for (const to of this.voters) this.bag.push({ kind: "accept", to, attempt, accepted });
    }
    if (after.stage === "chosen") assert(this.chosen.has(documentOf(after)), "a majority did accept what is chosen");
  }

  #record(voter: string, { ballot, document }: Accepted): void {
    const turn = `${ballot.round} ${ballot.proposer}`;
    if (this.#byBallot.has(turn) && this.#byBallot.get(turn) !== document) this.ambiguous += 1;
    this.#byBallot.set(turn, document);
    const id = `${turn} ${document}`;
    const by = this.#accepted.get(id) ?? new Set();
    this.#accepted.set(id, by.add(voter));
    if (by.size >= majorityOf(this.voters)) this.chosen.add(document);
  }

  #proposal(attempt: number): Proposal {
    const proposal = this.#proposals[attempt];
    assert(proposal !== undefined, "an attempt that was made");
    return proposal;
  }
}
