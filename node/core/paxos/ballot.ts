/**
 * Ballots: turns of proposers, in one order over all of them.
 *
 * Nothing has to be remembered to keep them apart. An acceptor promises each ballot once, so that a proposer which
 * forgot its last ballot and comes with the same one again is not promised a majority a second time.
 */

/** A proposer's turn at the document of one epoch. */
export type Ballot = {
  /** From 1. */
  readonly round: number;
  /** A member's name. */
  readonly proposer: string;
};

/** Negative when `a` is the lower one: the round decides, then the proposer's name. */
export function compareBallots(a: Ballot, b: Ballot): number {
  if (a.round !== b.round) return a.round - b.round;
  if (a.proposer === b.proposer) return 0;
  return a.proposer < b.proposer ? -1 : 1;
}
