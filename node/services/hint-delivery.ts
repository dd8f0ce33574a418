/**
 * Brings hints to their targets, and lets surplus ones go when their time is over.
 *
 *     every half second:  a target with hints is up ── its partitions in turn ── a page at a time, paced
 *                                  ▲                                 └── acknowledged: removed if nothing came meanwhile
 *                                  └── failed: again, after a pause that doubles
 *
 * A hint is removed only when its target acknowledged just what it holds; one that failed waits for the next round,
 * however often. Where the target is no home replica any more, its hint goes to all present ones, and is removed when
 * W of them acknowledged it (design §6). A hint that W counted never expires.
 */
import { KvError } from "../core/errors.ts";
import type { MemberId } from "../core/ring/document.ts";
import type { Ring } from "../core/ring/ring.ts";
import type { Telemetry, Time, Timer } from "../ports.ts";
import { asError } from "./as-error.ts";
import type { Budget } from "./budget.ts";
import type { HintsOf } from "./hint-accounts.ts";
import type { Hints, WaitingHint } from "./hints.ts";
import type { Replicas } from "./replicas.ts";

export type HintDelivery = {
  start(): void;
  /** Resolves when nothing of it is under way any more. */
  stop(): Promise<void>;
};

export type HintDeliveryParts = {
  readonly hints: Hints;
  readonly replicas: Replicas;
  /** Undefined before there is one. */
  readonly ring: () => Ring | undefined;
  readonly isUp: (member: MemberId) => boolean;
  /** What background work may take. */
  readonly budget: Budget;
  readonly time: Time;
  readonly telemetry: Telemetry;
};

export type HintDeliveryOptions = {
  /** Age at which a hint expires that no quorum counted, in ms. */
  readonly windowMs: number;
  /** How long a target may take to acknowledge one hint, in ms. */
  readonly timeoutMs: number;
};

const ROUND_MS = 500;
const PAUSE_MS_MAX = 5_000;
/** Between two looks for hints in the partitions that cannot be read in full. */
const UNREAD_PAUSE_MS = 10_000;
/** Times as long as such a look took: what cannot be read spends nothing of the budget. */
const UNREAD_REST = 10;
/** Targets served at once, and hints on their way to each. */
const TARGETS_MAX = 4;
const PAGE_HINTS = 32;

/** After these a target is left alone for a while; after others, which are about one hint, the next one is tried. */
const AWAY: ReadonlySet<string> = new Set([
  "PEER_UNREACHABLE",
  "TIMED_OUT",
  "NOT_READY",
  "OVERLOADED",
  "STORAGE_FULL",
  "STORAGE_FAILED",
]);

type Attempts = { failures: number; notBeforeMs: number };

/** @param parts `replicas` reaches the targets; nothing is delivered before there is a ring. */
export function createHintDelivery(parts: HintDeliveryParts, options: HintDeliveryOptions): HintDelivery {
  const { hints, replicas, isUp, budget, time, telemetry } = parts;
  const { ledger } = hints;
  const attempts = new Map<MemberId, Attempts>();
  const underWay = new Map<string, Promise<void>>();
  let unreadNotBeforeMs = 0;
  let timer: Timer | undefined;
  let stopped = true;

  function round(): void {
    if (stopped) return;
    timer = time.after(ROUND_MS, round);
    const ring = parts.ring();
    // The members went on without what a directory held that was declared destroyed: its hints are set aside with it.
    if (ring === undefined || ring.member(replicas.self)?.isDestroyed === true) return;
    for (const { target } of ledger.waiting()) {
      if (underWay.size >= TARGETS_MAX) break;
      if (underWay.has(target) || time.monotonicMs() < (attempts.get(target)?.notBeforeMs ?? 0)) continue;
      const partitions = deliverable(ring, target, ledger.partitionsOf(target));
      if (partitions.length > 0) begin(target, () => deliverAll(target, partitions));
    }
    if (!underWay.has(UNREAD) && time.monotonicMs() >= unreadNotBeforeMs) {
      const unread = ledger.unread();
      if (unread.length > 0) begin(UNREAD, () => deliverUnread(ring, unread));
    }
    if (!underWay.has(EXPIRY)) {
      const due = ledger.olderThan(time.wallMs() - options.windowMs);
      if (due.length > 0) begin(EXPIRY, () => expire(due));
    }
  }

  /** Who is no home of a partition any more is not waited for: its hints go to others. */
  function deliverable(ring: Ring, target: MemberId, partitions: readonly number[]): readonly number[] {
    return isUp(target) ? partitions : partitions.filter((partition) => !ring.isWriter(target, partition));
  }

  function begin(name: string, work: () => Promise<void>): void {
    const running = work()
      .catch((error: unknown) => {
        // A broken invariant stops the node through the unhandled rejection; a failing disk is tried again.
        if (!(error instanceof KvError)) throw error;
        telemetry.log("warn", "hints.round_failed", { for: name, cause: error });
      })
      .finally(() => underWay.delete(name));
    underWay.set(name, running);
  }

  async function deliverAll(target: MemberId, partitions: readonly number[]): Promise<void> {
    let error: KvError | undefined;
    /** Of this disk: what cannot be read, or removed, of one partition holds up no other. */
    let ownError: KvError | undefined;
    for (const partition of partitions) {
      try {
        error = (await deliverPartition(partition, target)) ?? error;
      } catch (cause) {
        if (!(cause instanceof KvError)) throw cause;
        telemetry.log("warn", "hints.round_failed", { for: target, partition, cause });
        ownError = cause;
      }
      if (stopped || (error !== undefined && AWAY.has(error.code))) break;
    }
    error ??= ownError;
    if (error === undefined) {
      attempts.delete(target);
      return;
    }
    const failures = (attempts.get(target)?.failures ?? 0) + 1;
    const pauseMs = Math.min(PAUSE_MS_MAX, ROUND_MS * 2 ** Math.min(failures, 10));
    attempts.set(target, { failures, notBeforeMs: time.monotonicMs() + pauseMs });
    telemetry.log("info", "hints.delivery_paused", { target, pauseMs, code: error.code });
  }

  /** Of partitions that cannot be read in full nobody knows for whom hints wait: what can be read is looked through for all. */
  async function deliverUnread(ring: Ring, partitions: readonly number[]): Promise<void> {
    const begunMs = time.monotonicMs();
    let cause: KvError | undefined;
    for (const { name } of ring.document.members) {
      if (name === replicas.self) continue;
      for (const partition of deliverable(ring, name, partitions)) {
        if (stopped) return;
        try {
          const error = await deliverPartition(partition, name);
          if (error !== undefined && AWAY.has(error.code)) break;
        } catch (error) {
          if (!(error instanceof KvError)) throw error;
          cause = error;
        }
      }
    }
    if (cause !== undefined) telemetry.log("warn", "hints.round_failed", { partitions: partitions.length, cause });
    const nowMs = time.monotonicMs();
    unreadNotBeforeMs = nowMs + Math.max(UNREAD_PAUSE_MS, UNREAD_REST * (nowMs - begunMs));
  }

  /** Returns the first error that says that the target is away, or else any. */
  async function deliverPartition(partition: number, target: MemberId): Promise<KvError | undefined> {
    let from: Uint8Array | undefined;
    let failed: KvError | undefined;
    do {
      const page = await hints.page({ partition, target, from }, PAGE_HINTS);
      const errors = await Promise.all(page.hints.map(deliver));
      failed = errors.find((error) => error !== undefined && AWAY.has(error.code)) ?? failed ?? errors.find(Boolean);
      if (failed !== undefined && AWAY.has(failed.code)) return failed;
      from = page.next;
    } while (from !== undefined && !stopped);
    return failed;
  }

  async function deliver(waiting: WaitingHint): Promise<KvError | undefined> {
    await budget.spend(waiting.at.length + waiting.hint.record.length);
    const ring = parts.ring();
    if (stopped || ring === undefined) return undefined;
    const error = await send(ring, waiting);
    if (error === undefined) {
      if (await hints.remove(waiting)) telemetry.count("annulus.hints.delivered");
    } else telemetry.count("annulus.hints.failed");
    return error;
  }

  /**
   * Resolves with an error, or with undefined once the hint is where it is needed. While its partition moves, or when its
   * target is no home any more, that is W of each write set: the target alone would not pass it on.
   */
  async function send(ring: Ring, { place, hint }: WaitingHint): Promise<KvError | undefined> {
    const { partition, target, key } = place;
    const sets = ring.writeSets(partition);
    const isPlain = sets.length === 1 && ring.isWriter(target, partition);
    const members = isPlain ? [target] : ring.writers(partition).map(({ name }) => name);
    const request = { kind: "merge", epoch: ring.epoch, key, record: hint.record } as const;
    const errors = await Promise.all(
      members.map((name) => asError(replicas.merge(name, partition, request, options.timeoutMs))),
    );
    const failed = errors.find((error) => error !== undefined);
    if (isPlain || failed === undefined) return failed;
    const holders = new Set(members.filter((_, index) => errors[index] === undefined));
    // A member of both that is down may yet come back, and wants its hint then.
    if (ring.isWriter(target, partition) && !holders.has(target)) return failed;
    const isEnough = sets.every((set) => set.filter(({ name }) => holders.has(name)).length >= ring.writeQuorum);
    return isEnough ? undefined : failed;
  }

  async function expire(due: readonly HintsOf[]): Promise<void> {
    for (const place of due) {
      let from: Uint8Array | undefined;
      ledger.forgetOldest(place);
      do {
        const page = await hints.page({ ...place, from }, PAGE_HINTS);
        for (const waiting of page.hints) {
          if (waiting.hint.counted) continue;
          const isOver = waiting.hint.storedAtMs < time.wallMs() - options.windowMs;
          if (isOver && (await hints.remove(waiting))) telemetry.count("annulus.hints.expired");
          else ledger.noteOldest(place, waiting.hint.storedAtMs);
        }
        from = page.next;
      } while (from !== undefined && !stopped);
      if (stopped) return;
    }
  }

  return {
    start() {
      stopped = false;
      timer = time.after(ROUND_MS, round);
    },
    async stop() {
      stopped = true;
      timer?.cancel();
      ledger.close();
      await Promise.all(underWay.values());
    },
  };
}

/** Not members' names. */
const EXPIRY = "(expiry)";
const UNREAD = "(unread)";
