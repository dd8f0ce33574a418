/**
 * One client's write put on top of what a member holds for the key: the step that home replicas and stand-ins share.
 *
 * Nothing is stored here and nothing awaited: the caller stands between reading the newest record and queueing the next.
 */
import { KvError } from "../core/errors.ts";
import { decodeContext, encodeContext } from "../core/version/context-codec.ts";
import { type PruneOptions, pruneContext } from "../core/version/prune.ts";
import type { Dot, KvRecord } from "../core/version/record.ts";
import type { SiblingLimits } from "../core/version/sibling-limits.ts";
import { type StampBase, stampWrite } from "../core/version/stamp.ts";
import type { StampRequest, WriteBase } from "../messages.ts";
import type { Time } from "../ports.ts";

export type StampLimits = SiblingLimits & {
  /** Entries of a version vector from which pruning is tried. */
  readonly contextEntriesMax: number;
  /** Whether there is evidence that an entry of a vector is needed by nobody any more (design §4). */
  readonly mayForget: PruneOptions["mayForget"];
};

export type StampedOn = {
  readonly record: KvRecord;
  /** Encoded context that covers exactly the write and what it replaced. */
  readonly context: Uint8Array;
  /** The write had been stamped before: `record` is the one that was given. */
  readonly repeated: boolean;
};

/** @throws {KvError} INVALID_CONTEXT: the bytes are no context. */
export function decodeBase(base: WriteBase): StampBase {
  if (base.kind !== "context") return base;
  try {
    return { kind: "context", context: decodeContext(base.context) };
  } catch (cause) {
    throw new KvError("INVALID_CONTEXT", "Cannot use the context: it is not one. Read the key again.", { cause });
  }
}

/** @throws {KvError} TIMED_OUT: the instant (of the monotonic clock) has passed at which the coordinator turned away. */
export function refuseIfLate(time: Time, deadlineMs: number): void {
  if (time.monotonicMs() < deadlineMs) return;
  throw new KvError("TIMED_OUT", "Cannot stamp the write: its time was over before its turn came.");
}

/**
 * Stamps and prunes.
 *
 * @param record What is held for the key.
 * @param write The request, with its base decoded, and the dot that it gets.
 * @throws {KvError} CONFLICT past a limit of siblings, INVALID_CONTEXT, INVALID_REQUEST; the dot is spent.
 */
export function stampOn(
  record: KvRecord | undefined,
  write: { readonly request: StampRequest; readonly base: StampBase; readonly dot: Dot; readonly nowMs: number },
  limits: StampLimits,
): StampedOn {
  const { request, base, dot, nowMs } = write;
  const { content, event } = request;
  const stamped = stampWrite({ record, dot, base, content, event, nowMs, limits });
  const context = encodeContext(stamped.token);
  if (stamped.repeated) return { record: stamped.record, context, repeated: true };
  const { contextEntriesMax: entriesMax, mayForget } = limits;
  return { record: pruneContext(stamped.record, { entriesMax, mayForget }), context, repeated: false };
}
