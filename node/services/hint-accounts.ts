/**
 * How many of the hints that were counted wait for whom, of which partition, and how many bytes they are: kept in memory.
 *
 * Not here: which of those on the disk were counted (hint-ledger.ts).
 */
import { parseHintKey } from "../core/keyspace.ts";

/** What the ledger must know of one hint. */
export type HintFigures = {
  /** Its storage key and value together. */
  readonly bytes: number;
  readonly counted: boolean;
  readonly storedAtMs: number;
};

/** A hint's change from one state to the next; undefined is none. */
export type HintChange = {
  readonly at: Uint8Array;
  readonly before: HintFigures | undefined;
  readonly after: HintFigures | undefined;
};

/** All hints of one partition for one target. */
export type HintsOf = { readonly partition: number; readonly target: string };

export type WaitingHints = { readonly target: string; readonly count: number; readonly bytes: number };

export type HintAccounts = {
  apply(change: HintChange): void;
  /** Bytes of all hints. */
  bytes(): number;
  /** The same of each partition that has any. */
  bytesByPartition(): ReadonlyMap<number, number>;
  /** For whom hints wait, by name. */
  waiting(): readonly WaitingHints[];
  /** The partitions of which hints wait for a target, ascending. */
  partitionsOf(target: string): readonly number[];
  has(place: HintsOf): boolean;
  /** Partitions and targets with a surplus hint that was stored before an instant of the wall clock. */
  olderThan(storedAtMs: number): readonly HintsOf[];
  /** Before somebody looks at all hints of a place: what is stored from here on is noted, the others are not. */
  forgetOldest(place: HintsOf): void;
  /** Somebody saw a surplus hint of this age. */
  noteOldest(place: HintsOf, storedAtMs: number): void;
  /** Forgets what it knows of a partition. Returns the bytes that it had there. */
  drop(partition: number): number;
  clear(): void;
};

/** Of one partition and target. */
type Account = { count: number; bytes: number; oldestSurplusMs: number };

/** Accounts of no hint. */
export function createHintAccounts(): HintAccounts {
  const accounts = new Map<string, Map<number, Account>>();
  let totalBytes = 0;

  function accountOf(target: string, partition: number): Account {
    let ofTarget = accounts.get(target);
    if (ofTarget === undefined) {
      ofTarget = new Map();
      accounts.set(target, ofTarget);
    }
    let account = ofTarget.get(partition);
    if (account === undefined) {
      account = { count: 0, bytes: 0, oldestSurplusMs: Number.POSITIVE_INFINITY };
      ofTarget.set(partition, account);
    }
    return account;
  }

  function remove(target: string, partition: number): void {
    accounts.get(target)?.delete(partition);
    if (accounts.get(target)?.size === 0) accounts.delete(target);
  }

  return {
    apply(change) {
      const { at, before, after } = change;
      const { target, partition } = parseHintKey(at);
      const account = accountOf(target, partition);
      const growth = growthOf(change);
      account.count += (after === undefined ? 0 : 1) - (before === undefined ? 0 : 1);
      account.bytes += growth;
      totalBytes += growth;
      if (after?.counted === false) account.oldestSurplusMs = Math.min(account.oldestSurplusMs, after.storedAtMs);
      if (account.count <= 0) remove(target, partition);
    },
    bytes: () => totalBytes,
    bytesByPartition() {
      const found = new Map<number, number>();
      for (const partitions of accounts.values()) {
        for (const [partition, { bytes }] of partitions) found.set(partition, (found.get(partition) ?? 0) + bytes);
      }
      return found;
    },
    waiting() {
      return [...accounts.entries()]
        .map(([target, partitions]) => {
          let count = 0;
          let bytes = 0;
          for (const account of partitions.values()) {
            count += account.count;
            bytes += account.bytes;
          }
          return { target, count, bytes };
        })
        .sort((a, b) => (a.target < b.target ? -1 : 1));
    },
    partitionsOf: (target) => [...(accounts.get(target)?.keys() ?? [])].sort((a, b) => a - b),
    has: ({ partition, target }) => accounts.get(target)?.has(partition) === true,
    olderThan(storedAtMs) {
      const found: HintsOf[] = [];
      for (const [target, partitions] of accounts) {
        for (const [partition, { oldestSurplusMs }] of partitions) {
          if (oldestSurplusMs < storedAtMs) found.push({ partition, target });
        }
      }
      return found;
    },
    forgetOldest({ partition, target }) {
      const account = accounts.get(target)?.get(partition);
      if (account !== undefined) account.oldestSurplusMs = Number.POSITIVE_INFINITY;
    },
    noteOldest({ partition, target }, storedAtMs) {
      const account = accounts.get(target)?.get(partition);
      if (account !== undefined) account.oldestSurplusMs = Math.min(account.oldestSurplusMs, storedAtMs);
    },
    drop(partition) {
      let bytes = 0;
      for (const [target, partitions] of accounts) {
        bytes += partitions.get(partition)?.bytes ?? 0;
        remove(target, partition);
      }
      totalBytes -= bytes;
      return bytes;
    },
    clear() {
      accounts.clear();
      totalBytes = 0;
    },
  };
}

/** Bytes by which a change makes the hints more. */
export function growthOf({ before, after }: HintChange): number {
  return (after?.bytes ?? 0) - (before?.bytes ?? 0);
}
