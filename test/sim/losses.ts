/**
 * Which copies of a write faults may have destroyed: the exact budget of what was promised.
 *
 * A write that W disks acknowledged is lost rightly only when all its copies were destroyed. An exchanged disk destroys all
 * that was written to it before. A machine that lost its power destroys, with `durability: os`, the records that were not
 * synced, and no others. A damaged record is destroyed where it lay. With `durability: disk` a loss of power destroys
 * nothing, for what was acknowledged was synced.
 *
 * Where homes do not change, a loss says what the struck disk knew of the key before and after, and what all disks held right
 * after it. So a disk that never held the write excuses nothing, nor does one that was filled again before the next was lost.
 * Elsewhere disks are counted, whichever they are.
 */
import { contextDescends, covers, EMPTY_CONTEXT, joinContexts } from "../../node/core/version/context.ts";
import type { CausalContext, Dot } from "../../node/core/version/record.ts";
import type { Holding } from "./holdings.ts";

/** What a loss did to the copies of its key. */
export type Strike = {
  /** What the struck disk held before, and after. */
  readonly before: Holding;
  readonly after: Holding;
  /** What every disk held right after it, the struck one among them. */
  readonly left: readonly Holding[];
};

export type Loss = {
  readonly kind: "disk" | "power" | "rot";
  /** The member whose disk it was. */
  readonly member: string;
  /** The client's key; undefined is all of them. */
  readonly key: string | undefined;
  /** What was on the disk before this is still there. */
  readonly fromMs: number;
  readonly atMs: number;
  /**
   * Until when what it destroyed may have been taken for whole, if longer than at that moment: a damaged record is
   * served from memory until it is read or written anew.
   */
  untilMs?: number;
  /** Undefined where it is not known. */
  strike?: Strike;
};

/** When copies of something were made: not before `startedMs`, and those that count no later than `endedMs`. */
export type Span = {
  readonly key: string;
  readonly startedMs: number;
  readonly endedMs: number;
  /** What each copy knows at least, where it is known exactly: losses of records that do not know all of it hit none. */
  readonly context?: CausalContext | undefined;
  /** Whether collection horizons stand for copies: of a deletion, which they keep in force. */
  readonly withHorizons?: boolean;
};

/**
 * What is left of copies for readers to meet.
 *
 * `isReduced`: reads may ask who lacks it unseen. `isGone`: nobody had it at some moment.
 */
export type Standing = { readonly holders: number; readonly isReduced: boolean; readonly isGone: boolean };

export class Losses {
  readonly #losses: Loss[] = [];
  readonly #zoneOf: (member: string) => string;

  /** @param zoneOf Of a member by its name; when left out, each is in one of its own. */
  constructor(zoneOf: (member: string) => string = (member) => member) {
    this.#zoneOf = zoneOf;
  }

  note(loss: Loss): void {
    this.#losses.push(loss);
  }

  /** What may have hit a copy that was made in this span. */
  of({ key, startedMs, endedMs, context }: Span): readonly Loss[] {
    // Most runs have few losses, and most writes none.
    if (this.#losses.length === 0) return NOTHING;
    return this.#losses.filter((loss) => {
      if ((loss.key !== undefined && loss.key !== key) || (loss.untilMs ?? loss.atMs) < startedMs) return false;
      if (loss.strike === undefined || context === undefined) return loss.fromMs <= endedMs;
      return copiesStruck(loss.strike).some(([had, has]) => hasLost(context, had, has));
    });
  }

  /** What may have hit a copy of a stamp that has this dot. */
  ofDot(span: Span, dot: Dot): readonly Loss[] {
    return this.of(span).filter(({ strike }) => {
      if (strike === undefined) return true;
      return copiesStruck(strike).some(([had, has]) => covers(had, dot) && !covers(has, dot));
    });
  }

  /** The disks that may have lost a copy that was made in this span. */
  disksOf(span: Span): ReadonlySet<string> {
    return membersOf(this.of(span));
  }

  /** Whether they may have taken all of so many copies, which were in so many zones. */
  mayHaveTakenAll(span: Span, { holders, zones = 1 }: { readonly holders: number; readonly zones?: number }): boolean {
    const hits = this.of(span);
    const { context } = span;
    if (context === undefined || hits.some(({ strike }) => strike === undefined)) {
      const disks = membersOf(hits);
      return disks.size >= holders && new Set([...disks].map(this.#zoneOf)).size >= zones;
    }
    return isTakenEarly(hits, span, holders) || this.#isTakenLater(hits, { ...span, context });
  }

  /**
   * Whether all that homes had was taken in one moment after it had been counted: by a loss of what was whole, or of the last part,
   * for of what several disks know together each part has a loss of its own (seed 2102003680 of 551628c).
   *
   * @param hits Of these it is known that they took a whole copy.
   */
  #isTakenLater(hits: readonly Loss[], span: Span & { readonly context: CausalContext }): boolean {
    const { key, endedMs, context } = span;
    return this.#losses.some((loss) => {
      const { atMs, strike } = loss;
      if (atMs <= endedMs || loss.key !== key || strike === undefined) return false;
      const left = strike.left.reduce((known, held) => joinContexts(known, knownBy(held, span)), EMPTY_CONTEXT);
      if (contextDescends(left, context)) return false;
      return hits.includes(loss) || contextDescends(joinContexts(left, strike.before.own), context);
    });
  }

  /**
   * What is left of copies on so many homes for a strict read to meet.
   *
   * A loss of power takes records that nobody knows to be gone: then it is asked who had them right after the last one. An exchanged
   * disk, and a key whose record rotted, count towards no quorum until N − W + 1 complete peers were heard, so that they excuse
   * only what stood on fewer than W disks, on those that were lost alone, or what one of those peers had lost with its power
   * (seeds 20210 of da04106, 100442 of 4258e72).
   */
  standingOf(span: Span, holders: number, writeQuorum: number): Standing {
    const hits = this.of(span);
    if (hits.length === 0) return { holders, isReduced: false, isGone: false };
    const { context, endedMs } = span;
    if (context === undefined || hits.some(({ strike }) => strike === undefined)) {
      const isMissed = holders < writeQuorum || hits.some(({ kind }) => kind === "power");
      return { holders, isReduced: isMissed, isGone: isMissed || this.mayHaveTakenAll(span, { holders }) };
    }
    const exact = { ...span, context };
    const own = hits.filter(({ strike }) =>
      hasLost(context, (strike as Strike).before.own, (strike as Strike).after.own),
    );
    const last = own.at(-1);
    const isReduced = last !== undefined && (holders < writeQuorum || own.some(({ kind }) => kind === "power"));
    const isGone = last !== undefined && (isTakenEarly(own, span, holders) || this.#isTakenLater(own, exact));
    if (!isReduced) return { holders, isReduced, isGone };
    const early = membersOf(own.filter(({ atMs }) => atMs <= endedMs)).size;
    const left = (last.strike as Strike).left.filter((held) => contextDescends(knownBy(held, span), context)).length;
    // What was lost before it counted may have got to others until it did.
    const most = last.atMs <= endedMs ? Math.max(left, holders - early) : left;
    return { holders: most, isReduced, isGone };
  }
}

const NOTHING: readonly Loss[] = [];

/**
 * What each copy on the struck disk knew before, and after: the record of its own, and each hint. One of which the disk no longer
 * knows that a quorum counted it may be given up: as a copy that counts it is gone (seed 2101000540 of bd3e3c4).
 */
function copiesStruck({ before, after }: Strike): readonly (readonly [had: CausalContext, has: CausalContext])[] {
  const hints = [...before.hints].map(([target, had]) => {
    const has = after.hints.get(target);
    const isLeft = has !== undefined && (has.isCounted || !had.isCounted);
    return [had.context, isLeft ? has.context : EMPTY_CONTEXT] as const;
  });
  return [[before.own, after.own], ...hints];
}

function membersOf(losses: readonly Loss[]): ReadonlySet<string> {
  return new Set(losses.map(({ member }) => member));
}

/** Whether all of a context was known before, and is not after. */
function hasLost(context: CausalContext, before: CausalContext, after: CausalContext): boolean {
  return before !== after && contextDescends(before, context) && !contextDescends(after, context);
}

/** What one home knows by itself. */
function knownBy({ own, horizon }: Holding, { withHorizons = false }: Pick<Span, "withHorizons">): CausalContext {
  return withHorizons ? joinContexts(own, horizon) : own;
}

/**
 * Whether so many copies were lost before they were counted. A hint that nobody counted may be given up, so that what only hints
 * hold afterwards may go as well.
 */
function isTakenEarly(hits: readonly Loss[], { endedMs }: Span, holders: number): boolean {
  return membersOf(hits.filter(({ atMs }) => atMs <= endedMs)).size >= holders;
}
