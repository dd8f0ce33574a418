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
 *
 * A partition that cannot be read, for a damaged block say, is passed by after some attempts, and read again now and then.
 * Until it can be, the count is not complete, nothing of that partition is in the accounts, and whoever delivers hints is to
 * look for them there by himself (`unread`). One block holds up the hints of no other partition. Behind the ring's last one,
 * where a scan that finds nothing may end in a damaged block as well, nothing is asked for.
 */
import { compareBytes, successor } from "../core/bytes.ts";
import { KvError } from "../core/errors.ts";
import { hintsRangeOf, parseHintKey, partitionOfStored } from "../core/keyspace.ts";
import { PARTITIONS_MAX } from "../core/ring/document.ts";
import type { Engine, Entry, Telemetry, Time } from "../ports.ts";
import { type GroupCommit, NOTHING } from "./group-commit.ts";
import {
  createHintAccounts,
  growthOf,
  type HintChange,
  type HintFigures,
  type HintsOf,
  type WaitingHints,
} from "./hint-accounts.ts";
import { stillCounting, takesNoWrites } from "./hint-refusals.ts";
import { type Span, spansOf } from "./partition-spans.ts";
import { boundedPage, PAGE_BYTES } from "./stored-pages.ts";

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
  /** The partitions that cannot be read in full, ascending: of them hints may wait for anybody. */
  unread(): readonly number[];
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

/** Where a count is: of the partitions before `until`, hints from `at` on are not counted yet. */
type Cursor = { readonly at: Uint8Array; readonly until: number };

const PAGE_ENTRIES = 256;
/** Attempts at a page, one after the other, before a partition of it that cannot be read is passed by. */
const ATTEMPTS = 3;
const RETRY_MS = 1_000;
/** Between two attempts at what cannot be read: as above at first, and then twice as long each time, up to this. */
const RETRY_MS_MAX = 60_000;
const EVERYTHING: Span = { from: 0, until: PARTITIONS_MAX };

/**
 * @param parts `commit`: whoever has read before it recovers reads anew afterwards, so that nobody's change starts from
 *   what was there before the count.
 *   `partitions`: how many the ring has, or may have.
 * @param figuresOf What the ledger must know of a stored hint; never throws.
 */
export function createHintLedger(
  parts: {
    readonly engine: Engine;
    readonly commit: Pick<GroupCommit, "write">;
    readonly time: Time;
    readonly telemetry: Telemetry;
    readonly partitions: () => number;
  },
  figuresOf: (entry: Entry) => HintFigures,
): HintLedger {
  const { engine, commit, time, telemetry } = parts;
  const accounts = createHintAccounts();
  /** Changes on their way to the disk, by target and partition. */
  const onTheWay = new Map<string, number>();
  let queuedBytes = 0;
  /** By partition what was counted before the present count of all began, and what came since: the budget holds meanwhile. */
  const assumed = new Map<number, number>();
  let assumedBytes = 0;
  /** Undefined while nothing is being counted. */
  let cursor: Cursor | undefined = startOf(EVERYTHING);
  /** Whether that is the count of all, rather than of what could not be read. */
  let isCountOfAll = true;
  /** The partitions that could not be read, with the bytes that are taken to be there. */
  const unread = new Map<number, number>();
  let unreadBytes = 0;
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

  /** Whether the accounts know what there is at a storage key. */
  function isCounted(at: Uint8Array, partition: number): boolean {
    const isBehind = cursor !== undefined && compareBytes(at, cursor.at) >= 0;
    if (cursor !== undefined && isBehind && partition < cursor.until) return false;
    if (!unread.has(partition)) return true;
    // One that is being read again is known up to where it was read.
    return cursor !== undefined && !isBehind && partition === partitionOfStored(cursor.at);
  }

  function takeAsUnread(partition: number, bytes: number): void {
    unreadBytes += bytes - (unread.get(partition) ?? 0);
    unread.set(partition, bytes);
  }

  function assume(partition: number, bytes: number): void {
    assumedBytes += bytes - (assumed.get(partition) ?? 0);
    assumed.set(partition, bytes);
  }

  function note(change: HintChange): void {
    const { partition } = parseHintKey(change.at);
    const growth = growthOf(change);
    if (isCounted(change.at, partition)) accounts.apply(change);
    const taken = unread.get(partition);
    if (taken !== undefined) takeAsUnread(partition, Math.max(0, taken + growth));
    if (isCountOfAll && growth > 0) assume(partition, (assumed.get(partition) ?? 0) + growth);
  }

  function moveTo(partition: number, at: Uint8Array = startOf({ from: partition, until: partition }).at): void {
    const until = cursor?.until ?? 0;
    cursor = partition < Math.min(until, parts.partitions()) ? { at, until } : undefined;
  }

  /**
   * Counts a page of some partitions, from the cursor on.
   *
   * @returns Whether it was their last one.
   */
  async function countPage(mine: number, partitions: number): Promise<boolean> {
    gate = Promise.withResolvers<void>();
    try {
      if (running > 0) {
        await new Promise<void>((resolve) => {
          idle = resolve;
        });
      }
      if (cursor === undefined) return true;
      const first = partitionOfStored(cursor.at);
      const end = Math.min(cursor.until, first + partitions);
      const asked = { from: cursor.at, until: hintsRangeOf(first, end).until, limit: PAGE_ENTRIES };
      const { entries: page, isLast } = await boundedPage(engine, asked, PAGE_BYTES);
      if (mine !== generation) return true;
      for (const entry of page) accounts.apply({ at: entry.key, before: undefined, after: figuresOf(entry) });
      const last = isLast ? undefined : page.at(-1);
      const next = last === undefined ? end : partitionOfStored(last.key);
      for (let partition = first; partition < next && unread.size > 0; partition++) {
        unreadBytes -= unread.get(partition) ?? 0;
        unread.delete(partition);
      }
      moveTo(next, last && successor(last.key));
      return last === undefined;
    } finally {
      gate.resolve();
      gate = undefined;
    }
  }

  /** Goes on behind the partition at the cursor, of which nothing is in the accounts any more. */
  function passBy(partition: number): void {
    const counted = accounts.drop(partition);
    if (partition < parts.partitions())
      takeAsUnread(partition, Math.max(counted, assumed.get(partition) ?? 0, unread.get(partition) ?? 0));
    moveTo(partition + 1);
  }

  function tellWaiters(why: KvError | undefined): void {
    const told = [...waiters];
    waiters.clear();
    for (const tell of told) tell(why);
  }

  /** Learns whether the store takes writes again. */
  async function probe(): Promise<void> {
    try {
      await commit.write(NOTHING);
      refusal = undefined;
    } catch (cause) {
      if (cause instanceof KvError) {
        refusal = takesNoWrites(cause);
        tellWaiters(refusal);
      }
      throw cause;
    }
  }

  /** Waits, no longer than the present count is wanted. */
  async function pause(mine: number, ms: number): Promise<void> {
    for (let left = ms; left > 0 && mine === generation; left -= RETRY_MS) {
      await new Promise<void>((resolve) => time.after(RETRY_MS, resolve));
    }
  }

  async function ensureProbed(mine: number): Promise<void> {
    while (mine === generation) {
      try {
        return await probe();
      } catch (cause) {
        if (!(cause instanceof KvError)) throw cause;
        telemetry.log("warn", "hints.count_failed", { cause });
        await pause(mine, RETRY_MS);
      }
    }
  }

  /** Counts the hints of some partitions, but for those that cannot be read after some attempts. */
  async function sweep(mine: number, span: Span, attempts: number): Promise<void> {
    cursor = startOf(span);
    let failures = 0;
    /** As many partitions as a page may go over: one at a time where something cannot be read, to learn which one it is. */
    let partitions = PARTITIONS_MAX;
    while (cursor !== undefined && mine === generation) {
      try {
        if (await countPage(mine, partitions)) partitions = Math.min(2 * partitions, PARTITIONS_MAX);
      } catch (cause) {
        if (!(cause instanceof KvError)) throw cause;
        failures += 1;
        if (failures <= attempts) telemetry.log("warn", "hints.count_failed", { cause });
        if (mine !== generation) return;
        if (failures < attempts) await pause(mine, RETRY_MS);
        else if (partitions > 1) partitions = 1;
        else passBy(partitionOfStored(cursor.at));
      }
    }
  }

  /** Reads again what could not be read, until all could be. */
  async function countUnread(mine: number): Promise<void> {
    for (let pauseMs = RETRY_MS; unread.size > 0; pauseMs = Math.min(2 * pauseMs, RETRY_MS_MAX)) {
      telemetry.log("warn", "hints.unread", { partitions: unread.size, pauseMs });
      await pause(mine, pauseMs);
      for (const span of spansOf(unread.keys())) {
        if (mine !== generation) return;
        await sweep(mine, span, 1);
      }
    }
  }

  async function countAll(mine: number, afterFailure: boolean): Promise<void> {
    if (afterFailure) await ensureProbed(mine);
    if (mine === generation) await sweep(mine, EVERYTHING, ATTEMPTS);
    if (mine !== generation) return;
    // Hints are taken again also where some cannot be read, while nobody is told that there are none.
    isCountOfAll = false;
    assumed.clear();
    assumedBytes = 0;
    isCounting = false;
    tellWaiters(undefined);
    await countUnread(mine);
  }

  /** One count at a time: the gate is for one page. */
  let counting: Promise<void> = Promise.resolve();

  function recount(afterFailure: boolean): void {
    for (const known of [accounts.bytesByPartition(), unread]) {
      for (const [partition, bytes] of known) assume(partition, Math.max(bytes, assumed.get(partition) ?? 0));
    }
    generation += 1;
    const mine = generation;
    accounts.clear();
    unread.clear();
    unreadBytes = 0;
    cursor = startOf(EVERYTHING);
    isCountOfAll = true;
    isCounting = true;
    counting = counting.then(() => countAll(mine, afterFailure));
  }

  return {
    isComplete: () => cursor === undefined && unread.size === 0,
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
    waiting: accounts.waiting,
    partitionsOf: accounts.partitionsOf,
    unread: () => [...unread.keys()].sort((a, b) => a - b),
    mayHold: (place) => accounts.has(place) || unread.has(place.partition) || onTheWay.has(nameOf(place)),
    olderThan: accounts.olderThan,
    forgetOldest: accounts.forgetOldest,
    noteOldest: accounts.noteOldest,
    bytes: () => Math.max(accounts.bytes() + unreadBytes, assumedBytes) + queuedBytes,
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
      const growth = growthOf(change);
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

/** Where the count of a span begins. */
function startOf({ from, until }: Span): Cursor {
  return { at: hintsRangeOf(from, until).from, until };
}

function nameOf({ partition, target }: HintsOf): string {
  return `${target} ${partition}`;
}
