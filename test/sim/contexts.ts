/**
 * What strict reads must know: the causal contexts that were settled before they began.
 *
 * An answer's context names every write that the answer knows of. Where quorums overlap, a read that begins after an
 * acknowledgement, or after another read was answered, knows all that those knew: exactly, with no guess about what
 * replaced what. For one client this is *read your writes* and *monotonic reads*; it is demanded across all of them.
 *
 * A read that found R equal answers leaves R replicas that hold what it showed, which may be fewer than W: so each entry
 * says on how many disks it stands, and binds those later reads only that ask one of them for sure.
 */
import assert from "node:assert/strict";
import { contextDescends, EMPTY_CONTEXT, joinContexts } from "../../node/core/version/context.ts";
import type { CausalContext } from "../../node/core/version/record.ts";
import type { Losses, Span, Standing } from "./losses.ts";

/**
 * Copies of something: made between two instants, on so many disks. `isByRing`: on as many as the ring's own W was, which
 * may have been more than `holders`. `zones`: on disks in at least so many. `isForLast`: reads need not meet it, but what it
 * stands for is there when all is quiet: of a sloppy write, or one of a quorum of its own while the ring changes.
 */
export type Settlement = {
  readonly startedMs: number;
  readonly endedMs: number;
  readonly holders: number;
  readonly isByRing?: boolean;
  readonly zones?: number;
  readonly isForLast?: boolean;
  /** What all copies together knew when they counted, where that is known. */
  readonly context?: CausalContext | undefined;
};

/** Of two settlements of one kind the earlier binds more reads, and either may be kept for both. */
export function kindOf({ holders, isByRing = false, zones = 1, isForLast = false }: Settlement): string {
  return `${holders} ${isByRing} ${zones} ${isForLast}`;
}

/** Of what no loss has hit. */
export function wholeOf(holders: number): Standing {
  return { holders, isReduced: false, isGone: false };
}

/** Whether a strict read surely asked somebody who held what was settled, and has it still. */
export function meets(
  read: { readonly readQuorum: number; readonly meetsAll?: boolean; readonly isLast?: boolean },
  settlement: Settlement,
  standing: Standing,
  replicationFactor: number,
): boolean {
  const { isByRing, isForLast = false } = settlement;
  if ((isForLast && read.isLast !== true) || standing.isGone) return false;
  return (
    (read.meetsAll === true && isByRing === true && !standing.isReduced) ||
    read.readQuorum + standing.holders > replicationFactor
  );
}

type Known = Settlement & { readonly context: CausalContext; readonly isExact: boolean };

export class SettledContexts {
  readonly #losses: Losses;
  readonly #replicationFactor: number;
  readonly #writeQuorum: number;
  readonly #mayBeCollected: (key: string) => boolean;
  readonly #byKey = new Map<string, Known[]>();

  /** @param mayBeCollected Whether of a key something may have been deleted: only then horizons stand for records. */
  constructor(
    losses: Losses,
    quorums: { readonly replicationFactor: number; readonly writeQuorum: number },
    mayBeCollected: (key: string) => boolean,
  ) {
    this.#mayBeCollected = mayBeCollected;
    this.#losses = losses;
    this.#replicationFactor = quorums.replicationFactor;
    this.#writeQuorum = quorums.writeQuorum;
  }

  /** Takes note that all replicas but N − `holders` know of this context from `endedMs` on. */
  settle(key: string, settlement: Settlement, context: CausalContext): void {
    const known = this.#byKey.get(key) ?? [];
    this.#byKey.set(key, known);
    known.push({ ...settlement, context, isExact: settlement.context !== undefined });
    if (known.length > KEPT_MAX) this.#shorten(key, known);
  }

  /**
   * Checks what a strict read knows.
   *
   * @param read `context`: of its answer; undefined when it found nothing. `isLast`: the world is quiet, all replicas were
   *   asked, and only what as many disks lost as it stood on may be missing.
   */
  check(
    key: string,
    read: {
      readonly startedMs: number;
      readonly readQuorum: number;
      readonly meetsAll?: boolean;
      readonly context: CausalContext | undefined;
      readonly isLast: boolean;
    },
  ): void {
    for (const known of this.#byKey.get(key) ?? []) {
      if (known.endedMs >= read.startedMs) continue;
      if (contextDescends(read.context ?? EMPTY_CONTEXT, known.context)) continue;
      if (!this.#binds(key, read, known)) continue;
      assert.fail(
        `a read of ${key} at ${read.startedMs} ms knows less than what was settled at ${known.endedMs} ms on ${known.holders} disks: ${tell(read.context)} lacks ${tell(known.context)}`,
      );
    }
  }

  #binds(key: string, read: Parameters<SettledContexts["check"]>[1], known: Known): boolean {
    const span = this.#spanOf(key, known);
    if (read.isLast) return !this.#losses.mayHaveTakenAll(span, known);
    const standing = this.#losses.standingOf(span, known.holders, this.#writeQuorum);
    return meets(read, known, standing, this.#replicationFactor);
  }

  /** When the copies of an entry were made, and what they know if that is known exactly. */
  #spanOf(key: string, { startedMs, endedMs, context, isExact }: Known): Span {
    const withHorizons = this.#mayBeCollected(key);
    return { key, startedMs, endedMs, context: isExact ? context : undefined, withHorizons };
  }

  /**
   * Forgets entries that a later one of their kind has seen, for it binds the same reads. If that is not enough, joins the oldest that
   * stand on equally many disks: no disk need ever have held all of that, so that losses are judged as where they are not known exactly.
   */
  #shorten(key: string, known: Known[]): void {
    const isSeen = (entry: Known, at: number) =>
      known.some(
        (later, index) =>
          index > at && kindOf(later) === kindOf(entry) && contextDescends(later.context, entry.context),
      );
    const unseen = known.filter((entry, at) => !isSeen(entry, at));
    known.splice(0, known.length, ...unseen);
    if (known.length <= KEPT_MAX) return;
    const old = known.splice(0, KEPT_MAX >> 1);
    const joined = new Map<string, Known>();
    for (const entry of old) {
      // What a loss may have hit is forgotten rather than guessed.
      if (this.#losses.of(this.#spanOf(key, entry)).length > 0) continue;
      const kind = kindOf(entry);
      const other = joined.get(kind);
      joined.set(kind, other === undefined ? entry : join(other, entry));
    }
    known.unshift(...joined.values());
  }
}

/** Entries of a key before old ones are joined: more than there are requests of one key at a time. */
const KEPT_MAX = 24;

function join(a: Known, b: Known): Known {
  return {
    ...a,
    startedMs: Math.min(a.startedMs, b.startedMs),
    endedMs: Math.max(a.endedMs, b.endedMs),
    context: joinContexts(a.context, b.context),
    isExact: false,
  };
}

function tell(context: CausalContext | undefined): string {
  if (context === undefined) return "nothing";
  const short = ({ actor, incarnation, counter }: { actor: string; incarnation: number; counter: number }) =>
    `${actor.slice(0, 4)}.${incarnation}:${counter}`;
  return `{${context.vector.map(short)} + ${context.dots.map(short)}}`;
}
