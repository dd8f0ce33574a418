/**
 * One ballot of a proposer, as a state machine: each voter's word in, the next stage out.
 *
 *     promise ── a majority promised ──> accept ── a majority accepted ──> chosen
 *        └──── a majority cannot come any more ────┴──> lost
 *
 * The document that it asks to accept is its own only if none of the promises came with another one: what may have been
 * chosen is carried on (Lamport 2001, §2.2). A lost ballot means that this turn is over; what it asked some to accept
 * may still be chosen by somebody's later ballot. Who asks, waits and tries again is services/agreement.ts.
 */
import assert from "node:assert/strict";
import type { Accepted } from "./acceptor.ts";
import { type Ballot, compareBallots } from "./ballot.ts";

export type Stage = "promise" | "accept" | "chosen" | "lost";

export type Proposal = {
  readonly ballot: Ballot;
  /** Names of those whose majority chooses; each once. */
  readonly voters: readonly string[];
  /** The document of who proposes. */
  readonly mine: string;
  readonly stage: Stage;
  /** What a promise came with, by the highest ballot of all. */
  readonly carried: Accepted | undefined;
  /** What each voter said in this stage. */
  readonly words: ReadonlyMap<string, "yes" | "no" | "none">;
  /** The highest round that anybody spoke of. */
  readonly highestRound: number;
};

/** What a voter answered; undefined when it gave no vote: silent, behind, or not to be understood. */
export type Word =
  | {
      readonly isYes: boolean;
      readonly promised: Ballot | undefined;
      readonly accepted: Accepted | undefined;
    }
  | undefined;

/** How many of the voters choose. */
export function majorityOf(voters: readonly string[]): number {
  return Math.floor(voters.length / 2) + 1;
}

/** Whether enough voters for a majority answered in the last stage, or may still have been about to. */
export function isAnswered(proposal: Proposal): boolean {
  return proposal.voters.length - countOf(proposal, "none") >= majorityOf(proposal.voters);
}

/** A ballot before anybody was asked. Nobody is ever chosen by nobody: without voters it is lost. */
export function beginProposal(ballot: Ballot, voters: readonly string[], mine: string): Proposal {
  const stage = voters.length === 0 ? "lost" : "promise";
  return { ballot, voters, mine, stage, carried: undefined, words: new Map(), highestRound: ballot.round };
}

/** The document that voters are asked to accept, in stage *accept* and after it. */
export function documentOf({ carried, mine }: Proposal): string {
  return carried?.document ?? mine;
}

/**
 * Takes one word.
 *
 * @param heard `asked`: the stage of the request that it answers. Words to an earlier stage and second words of one
 *   voter change nothing.
 */
export function hearWord(
  proposal: Proposal,
  heard: { readonly from: string; readonly asked: "promise" | "accept"; readonly word: Word },
): Proposal {
  const { from, asked, word } = heard;
  assert(proposal.voters.includes(from), "only voters are asked");
  if (asked !== proposal.stage || proposal.words.has(from)) return proposal;
  const isYes = word?.isYes === true;
  const words = new Map(proposal.words).set(from, word === undefined ? "none" : isYes ? "yes" : "no");
  const highestRound = Math.max(proposal.highestRound, word?.promised?.round ?? 0);
  const carried = isYes && asked === "promise" ? higher(proposal.carried, word.accepted) : proposal.carried;
  return advance({ ...proposal, words, highestRound, carried });
}

function advance(proposal: Proposal): Proposal {
  const { voters, words, stage } = proposal;
  const needed = majorityOf(voters);
  const yes = countOf(proposal, "yes");
  if (yes >= needed) {
    return stage === "promise" ? { ...proposal, stage: "accept", words: new Map() } : { ...proposal, stage: "chosen" };
  }
  const waiting = voters.length - words.size;
  return yes + waiting < needed ? { ...proposal, stage: "lost" } : proposal;
}

function countOf({ words }: Proposal, wanted: "yes" | "none"): number {
  let count = 0;
  for (const word of words.values()) if (word === wanted) count += 1;
  return count;
}

function higher(a: Accepted | undefined, b: Accepted | undefined): Accepted | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return compareBallots(a.ballot, b.ballot) >= 0 ? a : b;
}
