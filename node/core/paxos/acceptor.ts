/**
 * One voter's part in choosing the document of one epoch: single-decree Paxos (Lamport 2001, "Paxos Made Simple", §2.2;
 * Rystsov 2018, "CASPaxos", §2).
 *
 *     promise(b):    b above all that was promised ──> promised = b, and says what it has accepted
 *     accept(b, d):  b at least what was promised  ──> promised = b, accepted = d by b
 *
 * A vote is on the disk before the proposer hears of it: an acceptor that forgets is the end of agreement. What is kept
 * is for one epoch only, since whoever votes for the next one knows that the last one is chosen.
 */
import { type Ballot, compareBallots } from "./ballot.ts";

export type Accepted = {
  readonly ballot: Ballot;
  /** Text of a ring document. */
  readonly document: string;
};

/** What an acceptor must never forget. */
export type Vote = {
  readonly epoch: number;
  readonly promised: Ballot | undefined;
  readonly accepted: Accepted | undefined;
};

/** The vote of who was not asked yet. */
export function blankVote(epoch: number): Vote {
  return { epoch, promised: undefined, accepted: undefined };
}

/** The vote after a promise to take part in no lower ballot, or undefined: it is refused. Each is promised once. */
export function promise(vote: Vote, ballot: Ballot): Vote | undefined {
  if (vote.promised !== undefined && compareBallots(ballot, vote.promised) <= 0) return undefined;
  return { ...vote, promised: ballot };
}

/** The vote after a document was accepted, or undefined: a higher ballot was promised. */
export function accept(vote: Vote, accepted: Accepted): Vote | undefined {
  if (vote.promised !== undefined && compareBallots(accepted.ballot, vote.promised) < 0) return undefined;
  return { ...vote, promised: accepted.ballot, accepted };
}

/** For the disk. */
export function serializeVote({ epoch, promised, accepted }: Vote): string {
  return JSON.stringify([
    epoch,
    promised?.round ?? null,
    promised?.proposer ?? null,
    accepted?.ballot.round ?? null,
    accepted?.ballot.proposer ?? null,
    accepted?.document ?? null,
  ]);
}

/** What `serializeVote` wrote, or undefined for anything else. */
export function parseVote(text: string): Vote | undefined {
  let fields: unknown;
  try {
    fields = JSON.parse(text);
  } catch {
    // It is not what was written, which is all that the caller wants to know.
    return undefined;
  }
  if (!Array.isArray(fields)) return undefined;
  const [epoch, promisedRound, promisedBy, acceptedRound, acceptedBy, document] = fields as unknown[];
  const promised = toBallot(promisedRound, promisedBy);
  const ballot = toBallot(acceptedRound, acceptedBy);
  if (typeof epoch !== "number" || promised === "wrong" || ballot === "wrong") return undefined;
  if (ballot === undefined) return { epoch, promised, accepted: undefined };
  return typeof document === "string" ? { epoch, promised, accepted: { ballot, document } } : undefined;
}

function toBallot(round: unknown, proposer: unknown): Ballot | undefined | "wrong" {
  if (round === null && proposer === null) return undefined;
  return typeof round === "number" && typeof proposer === "string" ? { round, proposer } : "wrong";
}
