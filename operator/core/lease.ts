/**
 * Who leads, by a Lease (as client-go does it): pure steps over what is written there.
 *
 * Clocks of machines differ, so a lease is judged by how long *this* process has seen it unchanged, never by the times
 * written in it. A leader stops to act before others may think it gone: `renewDeadlineMs` < `durationMs`.
 */

export type LeaseRecord = {
  readonly holder: string;
  /** How often the holder changed. */
  readonly transitions: number;
  /** Changes with each renewal: an opaque mark (the resourceVersion). */
  readonly mark: string;
};

export type LeaseState = {
  /** The mark last seen, and when it was first seen, by the monotonic clock. */
  readonly seenMark: string | undefined;
  readonly seenAtMs: number;
  /** When this process last began a renewal that succeeded; undefined while it does not lead. */
  readonly renewedAtMs: number | undefined;
};

export type LeaseOptions = {
  readonly identity: string;
  /** How long a lease that is not renewed keeps others away. */
  readonly durationMs: number;
  /** How long after its last renewal a leader may act. */
  readonly renewDeadlineMs: number;
};

export const NO_LEASE: LeaseState = { seenMark: undefined, seenAtMs: 0, renewedAtMs: undefined };

/** What to write: nothing, a first lease, a renewal, or the lease of one who has been silent for too long. */
export type LeaseMove = "none" | "create" | "renew" | "take";

/** Judges what was read. */
export function stepLease(
  state: LeaseState,
  found: LeaseRecord | undefined,
  nowMs: number,
  options: LeaseOptions,
): { readonly state: LeaseState; readonly move: LeaseMove } {
  if (found === undefined) return { state: { ...state, seenMark: undefined, seenAtMs: nowMs }, move: "create" };
  const seen = found.mark === state.seenMark ? state : { ...state, seenMark: found.mark, seenAtMs: nowMs };
  if (found.holder === options.identity) return { state: seen, move: "renew" };
  const next = { ...seen, renewedAtMs: undefined };
  // An empty holder has given it up.
  if (found.holder === "" || nowMs - next.seenAtMs >= options.durationMs) return { state: next, move: "take" };
  return { state: next, move: "none" };
}

/** A write succeeded that was begun at `startedMs`. */
export function renewed(state: LeaseState, mark: string, startedMs: number): LeaseState {
  return { ...state, seenMark: mark, seenAtMs: startedMs, renewedAtMs: startedMs };
}

/** Whether this process leads at this moment. */
export function leads(state: LeaseState, nowMs: number, options: LeaseOptions): boolean {
  return state.renewedAtMs !== undefined && nowMs - state.renewedAtMs < options.renewDeadlineMs;
}
