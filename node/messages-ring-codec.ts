/**
 * The messages of ring changes as flat arrays: the ballots of an agreement and a member's progress; see messages-codec.ts.
 *
 * A ring document travels as its text and is parsed by who uses it, so that a voter passes on what it does not look into.
 */
import type { AgreementRequest, Ballot, ProgressReply, ProgressRequest, VotedReply } from "./messages.ts";
import { invalid, toCount, toText } from "./messages-fields.ts";

/** Requests and replies have numbers of their own, so that neither is ever taken for the other. */
const KIND = { promise: 30, accept: 31, voted: 32, progress: 33 } as const;
/** What was added at the end of a progress, in a word, for what else may stand there is a later release's. */
const REBUILDING = "rebuilding";
const VOTES: readonly VotedReply["vote"][] = ["yes", "no", "not a voter", "behind"];

const NAME = /^[a-z0-9.-]{1,63}$/;
const ACTOR = /^[0-9a-f]{32}$/;
const CHANGE_ID = /^[0-9a-f]{16}$/;

/** Bounds of the fields, the same for what is sent and what is taken. */
export const RING_BOUNDS = {
  /** A ring document; the frame's own bound is tighter. */
  bodyBytesMax: 16 * 1_024 * 1_024,
} as const;

/** Whether the first element of an array is a kind of request that is read here. */
export function isRingRequestKind(kind: unknown): boolean {
  return kind === KIND.promise || kind === KIND.accept || kind === KIND.progress;
}

/** Whether the first element of an array is a kind of reply that is read here. */
export function isRingReplyKind(kind: unknown): boolean {
  return kind === KIND.voted || kind === KIND.progress;
}

/** The array for `request`. */
export function encodeRingRequest(request: AgreementRequest | ProgressRequest): unknown[] {
  switch (request.kind) {
    case "promise":
      return [KIND.promise, request.epoch, request.ballot.round, request.ballot.proposer];
    case "accept":
      return [KIND.accept, request.epoch, request.ballot.round, request.ballot.proposer, request.document];
    case "progress":
      return [KIND.progress];
  }
}

/** @throws {KvError} INVALID_REQUEST. */
export function decodeRingRequest(fields: readonly unknown[]): AgreementRequest | ProgressRequest {
  if (fields[0] === KIND.progress) return { kind: "progress" };
  const epoch = toCount(fields[1], "epoch");
  const ballot = toBallot(fields[2], fields[3]);
  if (fields[0] === KIND.promise) return { kind: "promise", epoch, ballot };
  return { kind: "accept", epoch, ballot, document: toDocument(fields[4]) };
}

/** The array for `reply`. */
export function encodeRingReply(reply: VotedReply | ProgressReply): unknown[] {
  if (reply.kind === "voted") {
    const { vote, promised, accepted, newer } = reply;
    return [
      KIND.voted,
      VOTES.indexOf(vote),
      promised?.round ?? null,
      promised?.proposer ?? null,
      accepted?.ballot.round ?? null,
      accepted?.ballot.proposer ?? null,
      accepted?.document ?? null,
      newer ?? null,
    ];
  }
  const { actor, epoch, completeFor, isEmptied, totalPartitions, movedPartitions, totalBytes, movedBytes } = reply;
  const figures = [totalPartitions, movedPartitions, totalBytes, movedBytes];
  const fields = [KIND.progress, actor, epoch, completeFor ?? null, isEmptied, ...figures];
  return reply.isRebuilding === true ? [...fields, REBUILDING] : fields;
}

/** @throws {KvError} INVALID_REQUEST. */
export function decodeRingReply(fields: readonly unknown[]): VotedReply | ProgressReply {
  if (fields[0] === KIND.voted) {
    return {
      kind: "voted",
      vote: toVote(fields[1]),
      promised: fields[2] === null ? undefined : toBallot(fields[2], fields[3]),
      accepted:
        fields[4] === null ? undefined : { ballot: toBallot(fields[4], fields[5]), document: toDocument(fields[6]) },
      newer: fields[7] === null ? undefined : toDocument(fields[7]),
    };
  }
  return {
    kind: "progress",
    actor: toActor(fields[1]),
    epoch: toCount(fields[2], "epoch"),
    completeFor: fields[3] === null ? undefined : toMatching(fields[3], CHANGE_ID, "id of a change"),
    isEmptied: fields[4] === true,
    totalPartitions: toCount(fields[5], "count of partitions"),
    movedPartitions: toCount(fields[6], "count of partitions"),
    totalBytes: toCount(fields[7], "count of bytes"),
    movedBytes: toCount(fields[8], "count of bytes"),
    ...(fields[9] === REBUILDING ? { isRebuilding: true as const } : {}),
  };
}

/** The id of a data directory. */
export function toActor(value: unknown): string {
  return toMatching(value, ACTOR, "actor");
}

/** The text of a ring document, not looked into. */
export function toDocument(value: unknown): string {
  return toText(value, RING_BOUNDS.bodyBytesMax, "ring document");
}

function toBallot(round: unknown, proposer: unknown): Ballot {
  const number = toCount(round, "round of a ballot");
  if (number === 0) throw invalid("round of a ballot", "1 or more", round);
  return { round: number, proposer: toMatching(proposer, NAME, "proposer") };
}

function toVote(value: unknown): VotedReply["vote"] {
  const vote = VOTES[toCount(value, "vote")];
  if (vote === undefined) throw invalid("vote", `0..${VOTES.length - 1}`, value);
  return vote;
}

function toMatching(value: unknown, pattern: RegExp, name: string): string {
  if (typeof value === "string" && pattern.test(value)) return value;
  throw invalid(name, `a string of the form ${pattern.source}`, value);
}
