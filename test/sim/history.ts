/**
 * What clients did and were told, and what must be true of it.
 *
 * Every write carries an id of its own in its bytes. For each write the history keeps what its client had seen: the
 * ids behind the context that it sent, and theirs in turn. A blind overwrite replaces what the stamping replica held,
 * which no client can know; it may stand in for any write of the key that did not begin after it had ended.
 */
import assert from "node:assert/strict";

export type WriteId = number;

export type Write = {
  readonly id: WriteId;
  readonly key: string;
  readonly kind: "context" | "overwrite" | "sibling";
  readonly isDelete: boolean;
  /** All writes that the client's context stood for. */
  readonly past: ReadonlySet<WriteId>;
  readonly startedMs: number;
  endedMs: number;
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
};

export class History {
  readonly writes = new Map<WriteId, Write>();
  readonly reads: ReadSeen[] = [];
  #nextId = 1;

  begin(write: Omit<Write, "id" | "endedMs" | "outcome">): Write {
    const begun: Write = { ...write, id: this.#nextId++, endedMs: Number.POSITIVE_INFINITY, outcome: "running" };
    this.writes.set(begun.id, begun);
    return begun;
  }

  end(write: Write, outcome: Write["outcome"], endedMs: number): void {
    write.outcome = outcome;
    write.endedMs = endedMs;
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
      for (const later of this.writes.values()) {
        if (later.key === write.key && later.startedMs <= untilMs && mayReplace(later, from)) frontier.push(later.id);
      }
    }
    // A deletion shows nothing when it won: it accounts for what it reached, if it may have taken effect.
    return [...reached].some((id) => {
      const by = this.writes.get(id) as Write;
      return by.isDelete && by.outcome !== "none" && by.startedMs <= untilMs;
    });
  }

  /** Checks one read against the writes of its key. */
  checkRead(read: ReadSeen): void {
    for (const id of read.shown) {
      const write = this.writes.get(id);
      assert(write !== undefined && write.key === read.key, `${read.key} showed a value that nobody wrote: ${id}`);
      assert(write.outcome !== "none", `${read.key} showed write ${id}, whose client was told that nothing stuck`);
      assert(write.startedMs <= read.endedMs, `${read.key} showed write ${id} before it began`);
      const replaced = read.shown.find((other) => this.writes.get(other)?.past.has(id));
      assert(replaced === undefined, `${read.key} showed write ${id} beside ${replaced}, which had seen it`);
    }
    if (!read.isFresh) return;
    for (const write of this.writes.values()) {
      if (write.key !== read.key || write.outcome !== "acknowledged" || write.endedMs > read.startedMs) continue;
      assert(
        this.isAccountedFor(write, read.shown, read.endedMs),
        `a read of ${read.key} at ${read.startedMs} ms missed write ${write.id}, acknowledged at ${write.endedMs} ms; it showed [${read.shown}]`,
      );
    }
  }

  /** Checks that every acknowledged write is there at the end, or was replaced by one that could. */
  checkEnd(key: string, shown: readonly WriteId[], nowMs: number): void {
    this.checkRead({ key, startedMs: nowMs, endedMs: nowMs, shown, isFresh: true });
  }
}

function mayReplace(later: Write, from: Write): boolean {
  if (later.id === from.id || later.outcome === "none") return false;
  if (later.past.has(from.id)) return true;
  return later.kind === "overwrite" && later.endedMs >= from.startedMs;
}
