/**
 * What members tell each other of liveness: one entry for each member, newest wins.
 *
 * A member's heartbeat counts within a generation, which names one run of its process. Its entry also carries whom it
 * suspects and whether it has announced that it is leaving, so that one rule, the newer entry replaces the older,
 * spreads all three. Source: van Renesse et al. 1998, "A gossip-style failure detection service".
 */
import type { MemberId } from "../ring/document.ts";

export type MemberNews = {
  readonly name: MemberId;
  /** Grows with every start of the member's process. */
  readonly generation: number;
  /** Grows with every gossip interval of that run. */
  readonly heartbeat: number;
  /** It stops, and said so. */
  readonly isLeaving: boolean;
  /** Whom it suspects, sorted. */
  readonly suspects: readonly MemberId[];
};

/** Whether `a` tells of a later moment of the member than `b`. */
export function isNewer(a: MemberNews, b: MemberNews): boolean {
  if (a.generation !== b.generation) return a.generation > b.generation;
  return a.heartbeat > b.heartbeat;
}
