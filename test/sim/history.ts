/**
 * What clients did and were told, and what must be true of it.
 *
 * Every write carries an id of its own in its bytes. For each write the history keeps what its client had seen: the
 * ids behind the context that it sent, and theirs in turn. A blind overwrite replaces what the stamping replica held.
 * Where its token is known that is read from the token; else it may stand in for any write of the key that began before
 * the last instant at which it may have been stamped.
 *
 * A write is *settled* once it was acknowledged, or once a strict read has shown it: from then on it is there, or
 * something that may have replaced it is.
 */
import assert from "node:assert/strict";
import { EMPTY_CONTEXT, joinContexts } from "../../node/core/version/context.ts";
import type { CausalContext } from "../../node/core/version/record.ts";
import { EVENTS_MAX } from "../../node/core/version/retention.ts";
import { kindOf, meets, SettledContexts, type Settlement, wholeOf } from "./contexts.ts";
import { Losses } from "./losses.ts";
import type { Quorums, ReadSeen } from "./read-seen.ts";
import { Stamps } from "./stamps.ts";
import { Tally } from "./tally.ts";
import {
  type ClockSkew,
  hasExpired,
  isStampedOnce,
  mayBeDeletion,
  mayHaveExpired,
  mayStandTwice,
  type Stamping,
  stampsMax,
  type Unfinished,
  type Write,
  type WriteId,
} from "./writes.ts";

export type { Quorums, ReadSeen } from "./read-seen.ts";
export type { Stamping, Write, WriteId } from "./writes.ts";

type Settled = { readonly shownBy: Settlement[]; gone: Settlement | undefined };

export class History {
  readonly writes = new Map<WriteId, Write>();
  readonly reads: ReadSeen[] = [];
  /** Dots and their writes, as far as somebody looked at disks. */
  readonly stamps = new Stamps();
  readonly #quorums: Quorums | undefined;
  readonly #losses: Losses;
  readonly #collectedOf: (key: string) => CausalContext;
  readonly #clockSkewMs: ClockSkew;
  readonly #tally: Tally;
  readonly #contexts: SettledContexts | undefined;
  readonly #settled = new Map<Write, Settled>();
  readonly #mustShow = new Map<string, Set<Write>>();
  readonly #byKey = new Map<string, Write[]>();
  #nextId = 1;

  /**
   * @param quorums Without them, only writes that were acknowledged are taken for settled.
   * @param losses What faults destroyed; the history looks again with each check.
   * @param world `collectedOf`: what was known of a key before its deletion was forgotten: an answer need not tell of that.
   *   `clockSkewMs`: how far clocks were from the true time.
   */
  constructor(
    quorums?: Quorums,
    losses: Losses = new Losses(),
    world: {
      readonly collectedOf?: (key: string) => CausalContext;
      readonly clockSkewMs?: ClockSkew;
      readonly tally?: Tally;
    } = {},
  ) {
    this.#collectedOf = world.collectedOf ?? (() => EMPTY_CONTEXT);
    this.#tally = world.tally ?? new Tally();
    this.#clockSkewMs = world.clockSkewMs ?? (() => 0);
    this.#quorums = quorums;
    this.#losses = losses;
    this.#contexts = quorums && new SettledContexts(losses, quorums, (key) => this.mayBeCollected(key));
  }

  begin(write: Omit<Write, Unfinished>): Write {
    const begun: Write = {
      ...write,
      id: this.#nextId++,
      endedMs: Number.POSITIVE_INFINITY,
      unknownTries: 0,
      restamps: undefined,
      stampableUntilMs: Number.POSITIVE_INFINITY,
      token: undefined,
      outcome: "running",
    };
    this.writes.set(begun.id, begun);
    const ofKey = this.#byKey.get(begun.key);
    if (ofKey === undefined) this.#byKey.set(begun.key, [begun]);
    else ofKey.push(begun);
    return begun;
  }

  /** @param endedMs When its client was told; a write of unknown outcome may be shown for ever. */
  end(write: Write, outcome: Write["outcome"], endedMs: number, stamping: Stamping = {}): void {
    write.outcome = outcome;
    write.endedMs = endedMs;
    write.restamps = stamping.restamps;
    write.stampableUntilMs = stamping.stampableUntilMs ?? endedMs;
    const { token, held } = stamping;
    if (outcome === "none")
      assert(!this.#settled.has(write), `write ${write.id} was shown, and then its client was told that nothing stuck`);
    if (outcome !== "acknowledged") return;
    const promise = write.promise ?? { holders: this.#quorums?.writeQuorum ?? 1, isByRing: true };
    const settlement = { startedMs: write.startedMs, endedMs, ...promise, context: held };
    const isExact = isStampedOnce(write) && token !== undefined;
    if (isExact && write.kind === "overwrite") write.token = token;
    if (isExact) this.#contexts?.settle(write.key, settlement, token);
    this.#settle(write, settlement);
    this.#notePast(write, settlement);
  }

  #settle(write: Write, settlement: Settlement): void {
    const settled = this.#settledOf(write);
    const { shownBy } = settled;
    const same = shownBy.findIndex((one) => kindOf(one) === kindOf(settlement));
    const earlier = shownBy[same];
    // The earliest binds most reads; once a loss may have hit it, a later one does.
    if (earlier === undefined) shownBy.push(settlement);
    else if (this.#losses.of({ key: write.key, ...earlier }).length > 0) shownBy[same] = settlement;
    else return;
    if (earlier !== undefined) return;
    this.#mustShowOf(write.key).add(write);
  }

  /** Whatever accounts for this write accounts for all that it had seen; and what it had seen is gone from now on. */
  #notePast({ key, past }: Write, settlement: Settlement): void {
    const mustShow = this.#mustShowOf(key);
    for (const id of past) {
      const older = this.writes.get(id) as Write;
      mustShow.delete(older);
      this.#noteGone(older, settlement);
    }
  }

  /** As with what was shown, the earliest binds most reads until a loss may have hit it. */
  #noteGone(write: Write, settlement: Settlement): void {
    const settled = this.#settledOf(write);
    const { gone } = settled;
    if (gone === undefined || this.#losses.of({ key: write.key, ...gone }).length > 0) settled.gone = settlement;
  }

  #settledOf(write: Write): Settled {
    const known = this.#settled.get(write);
    if (known !== undefined) return known;
    const made: Settled = { shownBy: [], gone: undefined };
    this.#settled.set(write, made);
    return made;
  }

  /** Settled writes of a key that no acknowledged write is known to have replaced: those that a read must show. */
  #mustShowOf(key: string): Set<Write> {
    const known = this.#mustShow.get(key);
    if (known !== undefined) return known;
    const made = new Set<Write>();
    this.#mustShow.set(key, made);
    return made;
  }

  /** Everything that a client knows once it has been shown these values: they, and all that their writers had seen. */
  pastOf(shown: Iterable<WriteId>): Set<WriteId> {
    const past = new Set<WriteId>();
    for (const id of shown) {
      past.add(id);
      for (const older of this.writes.get(id)?.past ?? []) past.add(older);
    }
    return past;
  }

  /**
   * Whether `write` may rightly be missing where `shown` is all that is there: some write that had seen it, or that
   * may have replaced it blindly, is there itself or was in turn replaced.
   *
   * @param except Is known to have replaced nothing of it.
   */
  isAccountedFor(write: Write, shown: readonly WriteId[], untilMs: number, except?: Write): boolean {
    const reached = new Set<WriteId>();
    const frontier = [write.id];
    while (frontier.length > 0) {
      const id = frontier.pop() as WriteId;
      if (reached.has(id)) continue;
      reached.add(id);
      if (shown.includes(id)) return true;
      const from = this.writes.get(id) as Write;
      for (const later of this.#ofKey(write.key)) {
        if (later === except || reached.has(later.id)) continue;
        if (later.startedMs <= untilMs && this.#mayReplace(later, from)) frontier.push(later.id);
      }
    }
    // A deletion, or a value whose life has ended, shows nothing when it won: it accounts for what it reached, if it may
    // have taken effect.
    return [...reached].some((id) => {
      const by = this.writes.get(id) as Write;
      const isGone = by.isDelete || mayHaveExpired(by, untilMs, this.#clockSkewMs);
      return isGone && by.outcome !== "none" && by.startedMs <= untilMs;
    });
  }

  #mayReplace(later: Write, from: Write): boolean {
    if (later.id === from.id || later.outcome === "none") return false;
    if (later.past.has(from.id)) return true;
    if (later.kind !== "overwrite" || later.stampableUntilMs < from.startedMs) return false;
    // Of one stamp each, and both known, it can be told. One that is sent again once its copies are destroyed, and its name
    // with them, is rightly stamped anew.
    if (later.token === undefined || from.outcome !== "acknowledged" || !isStampedOnce(from)) return true;
    if (!isStampedOnce(later) && this.#mayHaveLostAStamp(later)) return true;
    return this.stamps.isCovered(from.id, later.token) !== false;
  }

  /**
   * Whether a replica may rightly have forgotten which event a write was, so that a second stamp of it counts as a
   * write of its own: a pair remembers the names of its last stamps only.
   */
  #mayBeForgotten(write: Write, untilMs: number): boolean {
    let since = 0;
    for (const other of this.#ofKey(write.key)) {
      if (other.startedMs <= untilMs && other.endedMs >= write.startedMs) since += stampsMax(other);
    }
    return since > EVENTS_MAX[write.isNamed ? "client" : "forward"];
  }

  /**
   * Whether faults may have destroyed the copies of one stamp of a write. Who replaced just that one knows nothing of the
   * other, and nobody is left to tell that both are one write.
   */
  #mayHaveLostAStamp({ id, key, startedMs, endedMs }: Write): boolean {
    const span = { key, startedMs, endedMs };
    const dots = this.stamps.dotsOf(id);
    if (dots.length === 0) return this.#losses.of(span).length > 0;
    return dots.some((dot) => this.#losses.ofDot(span, dot).length > 0);
  }

  /**
   * Whether one more stamp of a blind overwrite may have replaced a successor of the first, and so rightly stays beside what
   * replaced that, or beside one of two stamps of another write: only what was there by then it can have replaced.
   */
  #mayFollowASuccessor(write: Write): boolean {
    if (write.kind !== "overwrite") return false;
    return this.#ofKey(write.key).some(
      (other) =>
        other.startedMs <= write.stampableUntilMs &&
        (this.#mayReplace(other, write) || (other !== write && mayStandTwice(other))),
    );
  }

  /** Whether a write that is sent again under its name may rightly be stamped as if for the first time. */
  mayBeStampedAnew(write: Write, untilMs: number): boolean {
    return this.#mayBeForgotten(write, untilMs) || this.#mayHaveLostAStamp(write);
  }

  /** Whether something of the key may have been deleted so far; what never was is not excused by a horizon. */
  mayBeCollected(key: string): boolean {
    return this.#ofKey(key).some(mayBeDeletion);
  }

  /** Whether it is a deletion, or one may have replaced it, or what did. */
  mayBeDeleted(id: WriteId, nowMs: number): boolean {
    return this.isAccountedFor(this.writes.get(id) as Write, [], nowMs);
  }

  /** Whether a value of the key may stand; else nobody who asks for creation only may be told that one does. */
  mayHaveValue(key: string, except: Write | undefined): boolean {
    return this.#ofKey(key).some((write) => write !== except && !write.isDelete && write.outcome !== "none");
  }

  /** Whether of two looks in this span one may find a value there, and the other its life ended. */
  isExpiring(id: WriteId, { fromMs, untilMs }: { readonly fromMs: number; readonly untilMs: number }): boolean {
    const write = this.writes.get(id) as Write;
    return (
      mayHaveExpired(write, untilMs, this.#clockSkewMs) && !hasExpired(write, { fromMs, untilMs }, this.#clockSkewMs)
    );
  }

  #ofKey(key: string): readonly Write[] {
    return this.#byKey.get(key) ?? [];
  }

  /** Checks one read against the writes of its key. */
  checkRead(read: ReadSeen): void {
    this.checkSeen(read);
    if (read.isFresh) this.#settleWhatWasShown(read);
  }

  /** Checks what one read saw, where nothing is known of who holds that from then on. */
  checkSeen(read: ReadSeen): void {
    assert.equal(new Set(read.shown).size, read.shown.length, `${read.key} showed one write twice: [${read.shown}]`);
    for (const id of read.shown) this.#checkShown(id, read);
    if (!read.isFresh) return;
    const { readQuorum, context, isLast = false } = read;
    if (readQuorum !== undefined && this.#contexts !== undefined) {
      const told = context ?? EMPTY_CONTEXT;
      const known = this.mayBeCollected(read.key) ? joinContexts(told, this.#collectedOf(read.key)) : told;
      this.#contexts.check(read.key, { ...read, readQuorum, context: known, isLast });
    }
    this.#checkMissing(read);
  }

  #checkShown(id: WriteId, read: ReadSeen): void {
    const write = this.writes.get(id);
    assert(write !== undefined && write.key === read.key, `${read.key} showed a value that nobody wrote: ${id}`);
    assert(write.outcome !== "none", `${read.key} showed write ${id}, whose client was told that nothing stuck`);
    assert(write.startedMs <= read.endedMs, `${read.key} showed write ${id} before it began`);
    assert(
      !hasExpired(write, { fromMs: read.startedMs, untilMs: read.endedMs }, this.#clockSkewMs),
      `${read.key} showed write ${id} at ${read.startedMs} ms, whose life of ${write.ttlMs} ms had ended by any clock`,
    );
    const mayStand = () =>
      mayStandTwice(write) &&
      // Who knows only of the stamp that nobody acknowledged, and of its successor, cannot tell that the other is replaced as well.
      (!read.isLast ||
        this.#mayFollowASuccessor(write) ||
        this.#mayBeForgotten(write, read.endedMs) ||
        this.#mayHaveLostAStamp(write));
    const replaced = read.shown.find((other) => this.writes.get(other)?.past.has(id));
    assert(
      replaced === undefined || mayStand(),
      `${read.key} showed write ${id} beside ${replaced}, which had seen it`,
    );
    const gone = this.#settled.get(write)?.gone;
    const isReplaced = gone !== undefined && read.isFresh && this.#binds(read, gone, true);
    if (isReplaced) this.#tally.count("excused: a replaced value shown, for it was stamped twice");
    assert(
      !isReplaced || mayStand(),
      `${read.key} showed write ${id} at ${read.startedMs} ms, which was replaced for good at ${gone?.endedMs} ms`,
    );
  }

  #checkMissing(read: ReadSeen): void {
    const past = this.pastOf(read.shown);
    const mustShow = this.#mustShowOf(read.key);
    for (const write of mustShow) {
      if (past.has(write.id) || !this.#settledOf(write).shownBy.some((settlement) => this.#binds(read, settlement)))
        continue;
      assert(
        this.isAccountedFor(write, read.shown, read.endedMs),
        `a read of ${read.key} at ${read.startedMs} ms missed write ${write.id}, ${write.outcome}, settled at ${this.#settledOf(write).shownBy.map(({ endedMs }) => endedMs)} ms; it showed [${read.shown}]`,
      );
      // It is gone, and an acknowledged write may have replaced it: from here on that one answers for both.
      for (const later of mustShow) {
        if (later.outcome !== "acknowledged" || later.startedMs > read.endedMs || !this.#mayReplace(later, write))
          continue;
        mustShow.delete(write);
        break;
      }
    }
  }

  /** What a strict read has shown is there for all that come after it, and what it knew to be replaced is gone. */
  #settleWhatWasShown(read: ReadSeen): void {
    if (this.#quorums === undefined || read.readQuorum === undefined || read.isLast === true) return;
    // Of replies that differed, W replicas hold the whole before the answer; of equal ones, only those that replied.
    const holders = Math.min(read.readQuorum, this.#quorums.writeQuorum);
    // Fewer than W holders meet those that later reads ask only as long as the homes are the same.
    if (this.#quorums.isElastic === true && holders < this.#quorums.writeQuorum) return;
    const { context } = read;
    const settlement = { startedMs: read.startedMs, endedMs: read.endedMs, holders, context };
    for (const id of read.shown) this.#settle(this.writes.get(id) as Write, settlement);
    if (context === undefined) return;
    this.#contexts?.settle(read.key, settlement, context);
    for (const write of this.#mustShowOf(read.key)) {
      if (read.shown.includes(write.id) || mayHaveExpired(write, read.endedMs, this.#clockSkewMs)) continue;
      if (this.stamps.isCovered(write.id, context) === true) this.#noteGone(write, settlement);
    }
  }

  /** Whether a strict read surely asked somebody who holds, or held and should still hold, what was settled. */
  #binds(read: ReadSeen, settlement: Settlement, withHorizons = false): boolean {
    const { replicationFactor, writeQuorum } = this.#quorums ?? { replicationFactor: 1, writeQuorum: 1 };
    const span = { key: read.key, ...settlement, withHorizons };
    if (read.isLast === true) {
      const isExcused = this.#losses.mayHaveTakenAll(span, settlement);
      this.#tally.count(isExcused ? "excused: the end, for what all disks lost" : "the end held to a write");
      return !isExcused;
    }
    const asking = { ...read, readQuorum: read.readQuorum ?? 1 };
    const { holders } = settlement;
    if (settlement.endedMs >= read.startedMs || !meets(asking, settlement, wholeOf(holders), replicationFactor))
      return false;
    const isBound = meets(asking, settlement, this.#losses.standingOf(span, holders, writeQuorum), replicationFactor);
    this.#tally.count(
      isBound ? "a write that a read did not show, and had to answer for" : "excused: a read, for what disks lost",
    );
    return isBound;
  }

  /**
   * Checks that every settled write is there at the end, or was replaced by one that could.
   *
   * @param answer `context`: of an answer for which all replicas were asked; it has to know all that was ever acknowledged.
   */
  checkEnd(key: string, shown: readonly WriteId[], nowMs: number, answer?: { readonly context: CausalContext }): void {
    const read = { key, startedMs: nowMs, endedMs: nowMs, shown, isFresh: true, isLast: true };
    const readQuorum = this.#quorums?.replicationFactor;
    this.checkRead(answer === undefined || readQuorum === undefined ? read : { ...read, ...answer, readQuorum });
  }
}
