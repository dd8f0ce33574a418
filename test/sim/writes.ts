/** A client's write as a history keeps it, and what follows from how it went. */
import type { CausalContext } from "../../node/core/version/record.ts";
import type { Settlement } from "./contexts.ts";

export type WriteId = number;

/** A coordinator waits longer than this for a home to stamp before it turns to another. */
const RETRY_MS_MIN = 200;
/** A client tries a write four times, and each time one or two members may stamp it. */
const STAMPS_MORE_MAX = 7;

export type Write = {
  readonly id: WriteId;
  readonly key: string;
  readonly kind: "context" | "overwrite" | "sibling";
  readonly isDelete: boolean;
  /** Whether it carries an Idempotency-Key. */
  readonly isNamed: boolean;
  /** What its acknowledgement stands for, where it asked for another than the ring's W of any mode. */
  readonly promise?: Omit<Settlement, "startedMs" | "endedMs">;
  /** After so long it is a deletion by nobody; undefined: never. */
  readonly ttlMs?: number;
  /** All writes that the client's context stood for. */
  readonly past: ReadonlySet<WriteId>;
  readonly startedMs: number;
  endedMs: number;
  /** Earlier tries of it of which nobody can say what became: each may have left a stamp, however quickly it ended. */
  unknownTries: number;
  /** How often at most a coordinator turned to another member to stamp it; undefined: known only from the time it took. */
  restamps: number | undefined;
  /** After this instant no member stamps it any more: what began later it cannot have replaced. It may be *shown* later. */
  stampableUntilMs: number;
  /** Of a blind overwrite that was stamped once: covers what it replaced, and nothing else. */
  token: CausalContext | undefined;
  /** `unknown`: told that a replica may hold it, or never told anything. */
  outcome: "acknowledged" | "none" | "unknown" | "running";
};

/** What is known of a write only once it has ended. */
export type Unfinished = "id" | "endedMs" | "unknownTries" | "restamps" | "stampableUntilMs" | "token" | "outcome";

/** What a client, or who watches it, knows of how a write was stamped. */
export type Stamping = {
  readonly restamps?: number;
  readonly stampableUntilMs?: number;
  /** The context of the answer's token. */
  readonly token?: CausalContext;
  /** The same, where all disks together knew all of that when the answer came. */
  readonly held?: CausalContext | undefined;
};

/**
 * Whether a second home may have been asked to stamp the write. A replica that holds the second stamp and has not heard
 * of the first yet cannot know that the first was replaced; it does once they have talked. Of a blind overwrite it may not
 * even then: its second stamp may have replaced the very successors of the first, and so stays (core/version/closure.ts).
 */
export function mayStandTwice(write: Write): boolean {
  return write.outcome !== "acknowledged" || !isStampedOnce(write);
}

export function isStampedOnce({ unknownTries, restamps, startedMs, endedMs }: Write): boolean {
  if (unknownTries > 0) return false;
  return restamps === undefined ? endedMs - startedMs < RETRY_MS_MIN : restamps === 0;
}

/** How often a write may have been stamped: once, and again each time that somebody else was asked to. */
export function stampsMax({ outcome, startedMs, endedMs, unknownTries, restamps }: Write): number {
  const byTime = Math.floor((endedMs - startedMs) / RETRY_MS_MIN);
  const again = restamps === undefined || outcome !== "acknowledged" ? byTime : restamps;
  return 1 + Math.min(STAMPS_MORE_MAX, again + unknownTries);
}

/** Whether it may have deleted something, at once or at the end of its life. */
export function mayBeDeletion({ isDelete, ttlMs, outcome }: Write): boolean {
  return (isDelete || ttlMs !== undefined) && outcome !== "none";
}

/** How far at most any clock was from the true time in a span, in ms. */
export type ClockSkew = (fromMs: number, untilMs: number) => number;

/** Whether by some clock the life of a value may have ended: by that of who set the end, and of anybody who looked since. */
export function mayHaveExpired({ ttlMs, startedMs }: Write, untilMs: number, skewMs: ClockSkew): boolean {
  return ttlMs !== undefined && untilMs >= startedMs + ttlMs - 2 * skewMs(startedMs, untilMs);
}

/** Whether by every clock the life of a value has ended for who looks in a span: whoever shows it then brings it back. */
export function hasExpired(
  { ttlMs, startedMs, stampableUntilMs }: Write,
  { fromMs, untilMs }: { readonly fromMs: number; readonly untilMs: number },
  skewMs: ClockSkew,
): boolean {
  if (ttlMs === undefined || fromMs <= stampableUntilMs + ttlMs) return false;
  return fromMs > stampableUntilMs + ttlMs + skewMs(startedMs, stampableUntilMs) + skewMs(fromMs, untilMs);
}
