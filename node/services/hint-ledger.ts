/**
 * How many hints wait for whom, where, and how many bytes they are: kept in memory, counted from the disk at the start.
 *
 * Counting goes page by page beside the node's work. No hint changes while a page is read, so each change either lies
 * behind the count's position, and is added to it, or before it, and is found when its page comes. After a batch failed
 * nobody knows what is on the disk, and all is counted anew: once a write has gone through, for what failed may surface
 * until the engine has opened its store again.
 *
 * Until the count is complete the figures are too low, so "no hints" is evidence of nothing, and a budget would be passed:
 * whoever adds hints waits for the count. Not for long: what waits is held in memory, and keeps others from being served;
 * and not at all while the disk is known to take no writes, for as long as that lasts the count does not begin.
 */

import { compareBytes, successor } from "../core/bytes.ts";
import { KvError } from "../core/errors.ts";
import { hintsRange, metaKey, parseHintKey } from "../core/keyspace.ts";
import type { Engine, EngineWrite, Entry, Telemetry, Time } from "../ports.ts";
import type { GroupCommit } from "./group-commit.ts";
import { boundedPage, PAGE_BYTES } from "./stored-pages.ts";

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

export type HintLedger = {
  /** Whether everything on the disk has been counted. */
  isComplete(): boolean;
  /**
   * Resolves when it has been, or when nobody counts any more; undefined when it has. Not to be awaited within `run`.
   *
   * Rejects with OVERLOADED after `waitMs`, and with what the disk says, at once, while it is known to take no writes.
   */
  counted(waitMs: number): Promise<void> | undefined;
  /** For whom hints wait, by name. */
  waiting(): readonly WaitingHints[];
  /** The partitions of which hints wait for a target, ascending. */
  partitionsOf(target: string): readonly number[];
  /** Whether there is a hint of the partition for the target, or one may be on its way. */
  mayHold(place: HintsOf): boolean;
  /** Partitions and targets with a surplus hint that was stored before an instant of the wall clock. */
  olderThan(storedAtMs: number): readonly HintsOf[];
  /** Before somebody looks at all hints of a place: what is stored from here on is noted, the others are not. */
  forgetOldest(place: HintsOf): void;
  /** Somebody saw a surplus hint of this age. */
  noteOldest(place: HintsOf, storedAtMs: number): void;
  /** Bytes of all hints, with those on their way to the disk; while they are counted anew, no fewer than before. */
  bytes(): number;
  /** Runs what changes hints, from reading what is there until it is durable, at a time when none is counted. */
  run<T>(change: () => Promise<T>): Promise<T>;
  /** Takes note of a change that is on its way, and counts it once it is durable. */
  track(change: HintChange, durable: Promise<void>): Promise<void>;
  /** Counts a change that is durable. */
  note(change: HintChange): void;
  /** Begins to count, in the background. */
  count(): void;
  /** A batch failed: if a hint may have been in it, only the disk knows what there is. */
  batchFailed(): void;
  /** Counts no further. */
  close(): void;
};

/** Of one partition and target. */
type Account = { count: number; bytes: number; oldestSurplusMs: number };

const PAGE_ENTRIES = 256;
/** Attempts at a page before what is to be kept waits for it no more. */
const UNREAD_TIMES_MAX = 3;
const RETRY_MS = 1_000;
/** A write that changes nothing. */
const PROBE: EngineWrite = { kind: "delete", key: metaKey("probe") };

/**
 * @param parts `commit`: whoever has read before it recovers reads anew afterwards, so that nobody's change starts from
 *   what was there before the count.
 * @param figuresOf What the ledger must know of a stored hint; never throws.
 */
export function createHintLedger(
  parts: {
    readonly engine: Engine;
    readonly commit: Pick<GroupCommit, "write">;
    readonly time: Time;
    readonly telemetry: Telemetry;
  },
  figuresOf: (entry: Entry) => HintFigures,
): HintLedger {
  const { engine, commit, time, telemetry } = parts;
  const accounts = new Map<string, Map<number, Account>>();
  /** Changes on their way to the disk, by target and partition. */
  const onTheWay = new Map<string, number>();
  let totalBytes = 0;
  let queuedBytes = 0;
  /** What was counted before the present count began, and what came since: the budget holds meanwhile. */
  let assumedBytes = 0;
  /** Hints before it are counted; undefined once all are. */
  let position: Uint8Array | undefined = hintsRange().from;
  let isCounting = false;
  /** Who waits until all is counted; each is told once. */
  const waiters = new Set<(why: KvError | undefined) => void>();
  /** Why the count cannot begin: what the disk said of the last probe. */
  let refusal: KvError | undefined;
  /** Raised by each count that begins: the one before it ends. */
  let generation = 0;
  let running = 0;
  /** While a page is being read: opens when it was. */
  let gate: PromiseWithResolvers<void> | undefined;
  let idle: (() => void) | undefined;

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

  function apply({ at, before, after }: HintChange): void {
    const { target, partition } = parseHintKey(at);
    const account = accountOf(target, partition);
    const growth = (after?.bytes ?? 0) - (before?.bytes ?? 0);
    account.count += (after === undefined ? 0 : 1) - (before === undefined ? 0 : 1);
    account.bytes += growth;
    totalBytes += growth;
    if (after?.counted === false) account.oldestSurplusMs = Math.min(account.oldestSurplusMs, after.storedAtMs);
    if (account.count > 0) return;
    accounts.get(target)?.delete(partition);
    if (accounts.get(target)?.size === 0) accounts.delete(target);
  }

  function note(change: HintChange): void {
    if (position === undefined || compareBytes(change.at, position) < 0) apply(change);
    if (position !== undefined) assumedBytes += Math.max(0, (change.after?.bytes ?? 0) - (change.before?.bytes ?? 0));
  }

  async function countPage(mine: number): Promise<void> {
    gate = Promise.withResolvers<void>();
    try {
      if (running > 0) {
        await new Promise<void>((resolve) => {
          idle = resolve;
        });
      }
      const { until } = hintsRange();
      const asked = { from: position ?? until, until, limit: PAGE_ENTRIES };
      const { entries: page, isLast } = await boundedPage(engine, asked, PAGE_BYTES);
      if (mine !== generation) return;
      for (const entry of page) apply({ at: entry.key, before: undefined, after: figuresOf(entry) });
      const last = page.at(-1);
      position = last === undefined || isLast ? undefined : successor(last.key);
    } finally {
      gate.resolve();
      gate = undefined;
    }
  }

  function tellWaiters(why: KvError | undefined): void {
    const told = [...waiters];
    waiters.clear();
    for (const tell of told) tell(why);
  }

  /** Learns whether the store takes writes again. */
  async function probe(): Promise<void> {
    try {
      await commit.write(PROBE);
      refusal = undefined;
    } catch (cause) {
      if (cause instanceof KvError) {
        refusal = takesNoWrites(cause);
        tellWaiters(refusal);
      }
      throw cause;
    }
  }

  async function countAll(mine: number, afterFailure: boolean): Promise<void> {
    let mustProbe = afterFailure;
    let unreadTimes = 0;
    while (position !== undefined && mine === generation) {
      try {
        if (mustProbe) await probe();
        mustProbe = false;
        await countPage(mine);
        unreadTimes = 0;
      } catch (cause) {
        if (!(cause instanceof KvError)) throw cause;
        telemetry.log("warn", "hints.count_failed", { cause });
        if (!mustProbe) unreadTimes += 1;
        // A block that is damaged for good: hints are taken again, while nobody is told that there are none.
        if (unreadTimes === UNREAD_TIMES_MAX && mine === generation) {
          isCounting = false;
          tellWaiters(undefined);
        }
        await new Promise<void>((resolve) => time.after(RETRY_MS, resolve));
      }
    }
    if (mine !== generation || position !== undefined) return;
    isCounting = false;
    tellWaiters(undefined);
  }

  /** One count at a time: the gate is for one page. */
  let counting: Promise<void> = Promise.resolve();

  function recount(afterFailure: boolean): void {
    assumedBytes = position === undefined ? totalBytes : Math.max(totalBytes, assumedBytes);
    generation += 1;
    const mine = generation;
    accounts.clear();
    totalBytes = 0;
    position = hintsRange().from;
    isCounting = true;
    counting = counting.then(() => countAll(mine, afterFailure));
  }

  return {
    isComplete: () => position === undefined,
    counted(waitMs) {
      if (!isCounting) return undefined;
      if (refusal !== undefined) return Promise.reject(refusal);
      return new Promise((resolve, reject) => {
        const tell = (why: KvError | undefined): void => {
          timer.cancel();
          if (why === undefined) resolve();
          else reject(why);
        };
        const timer = time.after(waitMs, () => {
          waiters.delete(tell);
          reject(stillCounting(waitMs));
        });
        waiters.add(tell);
      });
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
    mayHold: (place) => accounts.get(place.target)?.has(place.partition) === true || onTheWay.has(nameOf(place)),
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
    bytes: () => (position === undefined ? totalBytes : Math.max(totalBytes, assumedBytes)) + queuedBytes,
    async run(change) {
      while (gate !== undefined) await gate.promise;
      running += 1;
      try {
        return await change();
      } finally {
        running -= 1;
        if (running === 0) {
          idle?.();
          idle = undefined;
        }
      }
    },
    track(change, durable) {
      const growth = (change.after?.bytes ?? 0) - (change.before?.bytes ?? 0);
      const name = nameOf(parseHintKey(change.at));
      const arrived = () => {
        queuedBytes -= growth;
        const left = (onTheWay.get(name) ?? 1) - 1;
        if (left === 0) onTheWay.delete(name);
        else onTheWay.set(name, left);
      };
      queuedBytes += growth;
      onTheWay.set(name, (onTheWay.get(name) ?? 0) + 1);
      return durable.then(
        () => {
          arrived();
          note(change);
        },
        (error: unknown) => {
          arrived();
          throw error;
        },
      );
    },
    note,
    count: () => recount(false),
    batchFailed() {
      if (running > 0) recount(true);
    },
    close() {
      generation += 1;
      isCounting = false;
      tellWaiters(undefined);
    },
  };
}

function nameOf({ partition, target }: HintsOf): string {
  return `${target} ${partition}`;
}

function takesNoWrites(cause: KvError): KvError {
  return new KvError(cause.code, `Cannot keep the hint: the disk takes no writes (${cause.message})`, {
    details: { retryAfterS: 1 },
    cause,
  });
}

function stillCounting(waitMs: number): KvError {
  return new KvError(
    "OVERLOADED",
    `Cannot keep the hint: those on the disk are still being counted, after ${Math.round(waitMs)} ms.`,
    { details: { retryAfterS: 1 } },
  );
}
