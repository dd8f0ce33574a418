/**
 * What clients did and were told, and what must be true of it.
 *
 * Every write carries an id of its own in its bytes. For each write the history keeps what its client had seen: the
 * ids behind the context that it sent, and theirs in turn. A blind overwrite replaces what the stamping replica held,
 * which no client can know; it may stand in for any write of the key that did not begin after it had ended.
 */
import assert from "node:assert/strict";
import { EVENTS_MAX } from "../../node/core/version/retention.ts";

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
  /** All writes that the client's context stood for. */
  readonly past: ReadonlySet<WriteId>;
  readonly startedMs: number;
  endedMs: number;
  /** Earlier tries of it of which nobody can say what became: each may have left a stamp, however quickly it ended. */
  unknownTries: number;
  /** `unknown`: told that a replica may hold it, or never told anything. */
  outcome: "acknowledged" | "none" | "unknown" | "running";
};

export type ReadSeen = {
  readonly key: string;
  readonly startedMs: number;
  readonly endedMs: number;
  /** Ids of the values shown. */
  readonly shown: readonly WriteId[];
  /** A read of fewer replicas than R + W > N needs is only checked for values that were never written. */
  readonly isFresh: boolean;
  /** The world is quiet and all replicas were asked. */
  readonly isLast?: boolean;
};

export class History {
  readonly writes = new Map<WriteId, Write>();
  readonly reads: ReadSeen[] = [];
  readonly #unsettled = new Map<string, Set<Write>>();
  readonly #byKey = new Map<string, Write[]>();
  #nextId = 1;

  begin(write: Omit<Write, "id" | "endedMs" | "unknownTries" | "outcome">): Write {
    const id = this.#nextId++;
    const begun: Write = { ...write, id, endedMs: Number.POSITIVE_INFINITY, unknownTries: 0, outcome: "running" };
    this.writes.set(begun.id, begun);
    const ofKey = this.#byKey.get(begun.key);
    if (ofKey === undefined) this.#byKey.set(begun.key, [begun]);
    else ofKey.push(begun);
    return begun;
  }

  end(write: Write, outcome: Write["outcome"], endedMs: number): void {
    write.outcome = outcome;
    write.endedMs = endedMs;
    if (outcome !== "acknowledged") return;
    const unsettled = this.#unsettledOf(write.key);
    unsettled.add(write);
    // Whatever accounts for this write accounts for all that it had seen.
    for (const id of write.past) unsettled.delete(this.writes.get(id) as Write);
  }

  /** Acknowledged writes of a key that no acknowledged write is known to have replaced: those that a read must show. */
  #unsettledOf(key: string): Set<Write> {
    const known = this.#unsettled.get(key);
    if (known !== undefined) return known;
    const made = new Set<Write>();
    this.#unsettled.set(key, made);
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
   */
  isAccountedFor(write: Write, shown: readonly WriteId[], untilMs: number): boolean {
    const reached = new Set<WriteId>();
    const frontier = [write.id];
    while (frontier.length > 0) {
      const id = frontier.pop() as WriteId;
      if (reached.has(id)) continue;
      reached.add(id);
      if (shown.includes(id)) return true;
      const from = this.writes.get(id) as Write;
      for (const later of this.#ofKey(write.key)) {
        if (!reached.has(later.id) && later.startedMs <= untilMs && mayReplace(later, from)) frontier.push(later.id);
      }
    }
    // A deletion shows nothing when it won: it accounts for what it reached, if it may have taken effect.
    return [...reached].some((id) => {
      const by = this.writes.get(id) as Write;
      return by.isDelete && by.outcome !== "none" && by.startedMs <= untilMs;
    });
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

  #ofKey(key: string): readonly Write[] {
    return this.#byKey.get(key) ?? [];
  }

  /** Checks one read against the writes of its key. */
  checkRead(read: ReadSeen): void {
    assert.equal(new Set(read.shown).size, read.shown.length, `${read.key} showed one write twice: [${read.shown}]`);
    for (const id of read.shown) {
      const write = this.writes.get(id);
      assert(write !== undefined && write.key === read.key, `${read.key} showed a value that nobody wrote: ${id}`);
      assert(write.outcome !== "none", `${read.key} showed write ${id}, whose client was told that nothing stuck`);
      assert(write.startedMs <= read.endedMs, `${read.key} showed write ${id} before it began`);
      const replaced = read.shown.find((other) => this.writes.get(other)?.past.has(id));
      assert(
        replaced === undefined ||
          (mayStandTwice(write) && (!read.isLast || write.kind === "overwrite")) ||
          this.#mayBeForgotten(write, read.endedMs),
        `${read.key} showed write ${id} beside ${replaced}, which had seen it`,
      );
    }
    if (!read.isFresh) return;
    const past = this.pastOf(read.shown);
    const unsettled = this.#unsettledOf(read.key);
    for (const write of unsettled) {
      if (past.has(write.id) || write.endedMs >= read.startedMs) continue;
      assert(
        this.isAccountedFor(write, read.shown, read.endedMs),
        `a read of ${read.key} at ${read.startedMs} ms missed write ${write.id}, acknowledged at ${write.endedMs} ms; it showed [${read.shown}]`,
      );
      // It is gone, and an acknowledged write may have replaced it: from here on that one answers for both.
      for (const later of unsettled) {
        if (later.startedMs > read.endedMs || !mayReplace(later, write)) continue;
        unsettled.delete(write);
        break;
      }
    }
  }

  /** Checks that every acknowledged write is there at the end, or was replaced by one that could. */
  checkEnd(key: string, shown: readonly WriteId[], nowMs: number): void {
    this.checkRead({ key, startedMs: nowMs, endedMs: nowMs, shown, isFresh: true, isLast: true });
  }
}

/**
 * Whether a second home may have been asked to stamp the write. A replica that holds the second stamp and has not heard
 * of the first yet cannot know that the first was replaced; it does once they have talked. Of a blind overwrite it may not
 * even then: its second stamp may have replaced the very successors of the first, and so stays (core/version/closure.ts).
 */
function mayStandTwice({ outcome, startedMs, endedMs, unknownTries }: Write): boolean {
  return outcome !== "acknowledged" || endedMs - startedMs >= RETRY_MS_MIN || unknownTries > 0;
}

/** How often a write may have been stamped: once, and again each time that somebody may have been too slow to answer. */
function stampsMax({ startedMs, endedMs, unknownTries }: Write): number {
  return 1 + Math.min(STAMPS_MORE_MAX, Math.floor((endedMs - startedMs) / RETRY_MS_MIN) + unknownTries);
}

function mayReplace(later: Write, from: Write): boolean {
  if (later.id === from.id || later.outcome === "none") return false;
  if (later.past.has(from.id)) return true;
  return later.kind === "overwrite" && later.endedMs >= from.startedMs;
}
