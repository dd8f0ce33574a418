/**
 * Raises collection horizons, by evidence and never by age alone (design §6): which tombstones of a partition may be forgotten.
 *
 *     snapshot of what is deleted ── the floor passes ── no change of the ring, every member up
 *          ── every member: no hint, nothing to give up ── compared with every other home, twice
 *          ── every member: all on the disk, nothing lost meanwhile ── raised, stored, spread
 *
 * Only the first home of a partition does so, for its own ring position; that the others do not is thrift, not safety, for horizons
 * join. What the snapshot covers was stamped before it, so it is older than the floor by this node's monotonic clock; nobody's
 * wall clock is believed. Then the order matters: once no member keeps anything besides the homes, all that was stamped up to there
 * is at some home; the first comparison brings it here, and the second to every home. So every home knows all that the
 * horizon covers, and an older copy that turns up later (a frame that a cut held back, a hint of a process that
 * slept) says nothing new. What does not answer, or answers by another ring, blocks it.
 *
 * What was heard must not go with a machine's power either: a home that had the deletion in an unsynced log, or a member that
 * had removed a hint there, would come back with the older value when nobody remembers the deletion any more. So in the end
 * every member flushes, whatever the durability, and says that it is under the incarnation of its first word.
 */
import { equalBytes } from "../core/bytes.ts";
import { KvError } from "../core/errors.ts";
import { partitionRange } from "../core/keyspace.ts";
import type { MemberId } from "../core/ring/document.ts";
import type { Ring } from "../core/ring/ring.ts";
import { type Horizon, isDeleted, raiseHorizon, withinStamped } from "../core/version/collect.ts";
import { decodeRecord, RecordCorruptError } from "../core/version/record-codec.ts";
import { EMPTY_VECTOR, mergeVectors } from "../core/version/vector.ts";
import type { ClearanceReply, ClearanceRequest } from "../messages.ts";
import type { Engine, Telemetry, Time, Transport } from "../ports.ts";
import type { Admission } from "./admission.ts";
import type { Budget } from "./budget.ts";
import type { Comparer } from "./compare.ts";
import type { Completeness } from "./completeness.ts";
import type { HintLedger } from "./hint-ledger.ts";
import type { Horizons } from "./horizons.ts";
import type { Identity } from "./identity.ts";
import type { Leftovers } from "./leftovers.ts";
import type { Collection } from "./replica.ts";
import type { Replicas } from "./replicas.ts";
import { createRounds } from "./rounds.ts";
import { createSetbacks } from "./setbacks.ts";
import { pagesOf } from "./stored-pages.ts";
import type { Trees } from "./trees.ts";

export type Tombstones = {
  /** Answers a member that gathers evidence. */
  clearance(request: ClearanceRequest): Promise<ClearanceReply>;
  start(): void;
  /** Resolves when nothing of it is under way any more. */
  stop(): Promise<void>;
};

export type TombstoneParts = {
  readonly self: MemberId;
  readonly ring: () => Ring | undefined;
  readonly admission: Pick<Admission, "adoptedEpoch">;
  readonly completeness: Pick<Completeness, "isComplete">;
  readonly leftovers: Pick<Leftovers, "isClear">;
  readonly hints: Pick<HintLedger, "isComplete" | "waiting" | "mayHold">;
  readonly identity: Pick<Identity, "incarnation">;
  readonly horizons: Horizons;
  readonly collection: Collection;
  readonly trees: Pick<Trees, "ready">;
  readonly comparer: Comparer;
  readonly replicas: Pick<Replicas, "compare">;
  readonly transport: Pick<Transport, "request">;
  readonly isUp: (member: MemberId) => boolean;
  readonly engine: Pick<Engine, "scan" | "flush">;
  readonly budget: Budget;
  readonly time: Time;
  readonly telemetry: Telemetry;
};

/** What was deleted at an instant of the monotonic clock; without a horizon there was nothing to collect. */
type Snapshot = { readonly takenMs: number; readonly horizon: Horizon | undefined };

const NO_HORIZON: Horizon = { vector: EMPTY_VECTOR, expiredBeforeMs: 0 };
const PAGE_RECORDS = 128;
const PARTITIONS_AT_ONCE = 1_024;
const TIMEOUT_MS = 30_000;
/** Of the floor, the part after which a round follows the one before it; within bounds, in ms. */
const ROUND_SHARE = 1 / 16;
const ROUND_MS = { min: 250, max: 3_600_000 };
/** Failures that are one partition's own: a record that no message can hold, or what cannot be read here or there. */
const OWN: ReadonlySet<string> = new Set(["TOO_LARGE", "INVALID_REQUEST", "STORAGE_FAILED", "NOT_READY"]);
/** Comparisons with each home, one after the other. */
const PASSES = 2;

/** @param options `floorMs`: the least age at which a tombstone is collected. */
export function createTombstones(parts: TombstoneParts, { floorMs }: { readonly floorMs: number }): Tombstones {
  const { self, admission, completeness, leftovers, hints, identity, horizons, collection, time, telemetry } = parts;
  const snapshots = new Map<number, Snapshot>();
  const setbacks = createSetbacks(time);

  /** The horizon that covers what is deleted here now; undefined when the one in force does, as far as it can. */
  async function deletedHere(partition: number): Promise<Horizon | undefined> {
    const expiredBeforeMs = time.wallMs();
    const inForce = horizons.of(partition) ?? NO_HORIZON;
    const known = inForce.vector;
    let wanted = EMPTY_VECTOR;
    let stamped = known;
    let hasExpired = false;
    for await (const page of pagesOf(parts.engine, partitionRange(partition), PAGE_RECORDS)) {
      for (const { value } of page) {
        const record = soundRecord(value);
        if (record === undefined) continue;
        stamped = mergeVectors(stamped, record.eventsSeen);
        if (!isDeleted(record, expiredBeforeMs)) continue;
        wanted = raiseHorizon(wanted, record);
        // Its time came after its dot was covered, so that the vector has nothing to grow by.
        hasExpired ||= !isDeleted(record, inForce.expiredBeforeMs);
      }
      await parts.budget.spend(page.reduce((sum, { key, value }) => sum + key.length + value.length, 0));
      if (rounds.isStopped()) break;
    }
    const vector = mergeVectors(known, withinStamped(wanted, stamped));
    // Of a horizon that nobody vouches for any more, the evidence is gathered anew.
    const isForgotten = known !== EMPTY_VECTOR && !collection.vouches(partition);
    const isNews = vector !== known || (hasExpired && vector !== EMPTY_VECTOR) || isForgotten;
    return isNews ? { vector, expiredBeforeMs } : undefined;
  }

  /** The partitions whose snapshot is older than the floor; takes those that are missing. */
  async function due(ring: Ring): Promise<number[]> {
    const found: number[] = [];
    const own = ring.partitionsOf(self).filter((partition) => ring.homes(partition)[0]?.name === self);
    for (const partition of snapshots.keys()) if (!own.includes(partition)) snapshots.delete(partition);
    for (const partition of own) {
      const snapshot = snapshots.get(partition);
      const isAged = snapshot !== undefined && time.monotonicMs() - snapshot.takenMs >= floorMs;
      if (isAged && snapshot.horizon !== undefined) found.push(partition);
      else if (snapshot === undefined || isAged) {
        await snap(partition);
        if (rounds.isStopped()) return [];
      }
    }
    return found;
  }

  /** Of a partition that cannot be read, for a damaged block say, there is no evidence; that of the others is good all the same. */
  async function snap(partition: number): Promise<void> {
    if (!setbacks.isDue(partition)) return;
    try {
      const horizon = await deletedHere(partition);
      // One that was not gone through says nothing of what is deleted.
      if (!rounds.isStopped()) snapshots.set(partition, { takenMs: time.monotonicMs(), horizon });
      setbacks.forget(partition);
    } catch (error) {
      if (!(error instanceof KvError)) throw error;
      setbacks.failed(partition);
      telemetry.log("warn", "tombstones.unread", { partition, reason: error.message });
    }
  }

  /** Who must be heard: all that may keep something. A directory that was declared destroyed is not listened to any more. */
  function membersOf(ring: Ring): readonly MemberId[] {
    return ring.document.members
      .filter(({ state, isDestroyed }) => state !== "left" && isDestroyed !== true)
      .map(({ name }) => name);
  }

  /** Undefined for a member that goes by another ring. */
  async function askClearance(member: MemberId, request: ClearanceRequest): Promise<ClearanceReply | undefined> {
    const reply =
      member === self ? await clearance(request) : await parts.transport.request(member, request, TIMEOUT_MS);
    return reply.kind === "clearance" && reply.epoch === request.epoch ? reply : undefined;
  }

  /** What every member says, in their order. */
  function askAll(
    ring: Ring,
    asked: Pick<ClearanceRequest, "partitions" | "isToFlush">,
  ): Promise<readonly (ClearanceReply | undefined)[]> {
    const request = { kind: "clearance", epoch: ring.epoch, ...asked } as const;
    return Promise.all(membersOf(ring).map((name) => askClearance(name, request)));
  }

  /** Whether all that the members had when they gave these answers, and were sent since, would survive the loss of power. */
  async function isOnDisks(ring: Ring, earlier: readonly (ClearanceReply | undefined)[]): Promise<boolean> {
    const now = await askAll(ring, { partitions: [], isToFlush: true });
    return now.every(
      (reply, index) => reply?.incarnation !== undefined && reply.incarnation === earlier[index]?.incarnation,
    );
  }

  /** Those that a home was found equal in, or was made equal in. */
  async function comparedWith(peer: MemberId, ring: Ring, partitions: readonly number[]): Promise<number[]> {
    const request = { kind: "roots", epoch: ring.epoch, partitions } as const;
    const { roots, epoch, horizons: marks } = await parts.replicas.compare(peer, request, TIMEOUT_MS);
    const equal: number[] = [];
    for (const [index, partition] of partitions.entries()) {
      const theirs = roots[index];
      const mine = horizons.isSettled(partition) ? parts.trees.ready(partition) : undefined;
      const isSame = epoch === ring.epoch && marks[index]?.digest === horizons.digest(partition);
      if (mine === undefined || theirs?.isComplete !== true || !isSame) continue;
      const pairing = { epoch: ring.epoch, partition, peer, peerBits: theirs.bits };
      if (equalBytes(mine.root(), theirs.sum) || (await isMended(pairing))) equal.push(partition);
    }
    return equal;
  }

  /** Of a partition that cannot be compared there is no evidence; that of the others is good all the same. */
  async function isMended(pairing: Parameters<Comparer["mend"]>[0]): Promise<boolean> {
    try {
      return await parts.comparer.mend(pairing);
    } catch (error) {
      if (!(error instanceof KvError) || !OWN.has(error.code)) throw error;
      telemetry.log("debug", "tombstones.not_compared", { ...pairing, reason: error.message });
      return false;
    }
  }

  /** Those that all homes were compared in, so that all know what any of them knew when it began. */
  async function compared(ring: Ring, partitions: readonly number[]): Promise<number[]> {
    const left = new Set(partitions);
    for (let pass = 0; pass < PASSES; pass++) {
      for (const peer of membersOf(ring)) {
        const shared = [...left].filter((partition) => peer !== self && ring.isHome(peer, partition));
        if (shared.length === 0) continue;
        const equal = await comparedWith(peer, ring, shared);
        for (const partition of shared) if (!equal.includes(partition)) left.delete(partition);
      }
    }
    return [...left];
  }

  function isQuiet(ring: Ring): boolean {
    return ring.document.transition === undefined && membersOf(ring).every((name) => name === self || parts.isUp(name));
  }

  async function raise(ring: Ring, partitions: readonly number[]): Promise<void> {
    const incarnation = identity.incarnation();
    const answers = await askAll(ring, { partitions });
    // Those of which no member keeps anything besides what the homes hold.
    const cleared = partitions.filter((_, index) => answers.every((reply) => reply?.clear[index] === true));
    const proven = await compared(ring, cleared);
    if (proven.length === 0 || !(await isOnDisks(ring, answers))) return;
    for (const partition of proven) {
      const isStillSo = parts.ring() === ring && admission.adoptedEpoch() === ring.epoch && !rounds.isStopped();
      const horizon = snapshots.get(partition)?.horizon;
      if (!isStillSo || horizon === undefined || !completeness.isComplete(partition)) continue;
      if (identity.incarnation() !== incarnation) return;
      await horizons.adopt(partition, aged(horizon), incarnation);
      snapshots.delete(partition);
      telemetry.count("annulus.tombstones.horizons_raised");
    }
  }

  /** A clock that was ahead when the snapshot was taken, and is right again, has values expire no earlier than they do. */
  function aged({ vector, expiredBeforeMs }: Horizon): Horizon {
    return { vector, expiredBeforeMs: Math.max(0, Math.min(expiredBeforeMs, time.wallMs() - floorMs)) };
  }

  async function round(): Promise<void> {
    const ring = parts.ring();
    if (ring === undefined) return;
    const partitions = await due(ring);
    if (partitions.length === 0) return;
    for (let at = 0; at < partitions.length && !rounds.isStopped(); at += PARTITIONS_AT_ONCE) {
      if (isQuiet(ring)) await raise(ring, partitions.slice(at, at + PARTITIONS_AT_ONCE));
    }
    const waiting = partitions.filter((partition) => snapshots.has(partition)).length;
    if (waiting > 0) telemetry.count("annulus.tombstones.waiting_for_evidence", waiting);
  }

  const rounds = createRounds(
    {
      time,
      // A member that does not answer, or a failing disk.
      failed: ({ message }) => telemetry.log("debug", "tombstones.round_failed", { reason: message }),
    },
    round,
    Math.min(ROUND_MS.max, Math.max(ROUND_MS.min, floorMs * ROUND_SHARE)),
  );

  async function clearance({ epoch, partitions, isToFlush }: ClearanceRequest): Promise<ClearanceReply> {
    if (isToFlush === true) await parts.engine.flush();
    const ring = parts.ring();
    const adopted = admission.adoptedEpoch();
    const isSame = ring?.epoch === epoch && adopted === epoch && ring.document.transition === undefined;
    const names = [...(ring?.document.members ?? []), ...hints.waiting().map(({ target }) => ({ name: target }))];
    const mayAnswer = isSame && hints.isComplete();
    const clear = partitions.map(
      (partition) =>
        mayAnswer &&
        leftovers.isClear(partition, epoch) &&
        !names.some(({ name }) => hints.mayHold({ partition, target: name })),
    );
    return { kind: "clearance", epoch: adopted, clear, incarnation: identity.incarnation() };
  }

  return {
    clearance,
    start: rounds.start,
    stop: rounds.stop,
  };
}

/** Undefined for what is damaged: repair brings it back, and until then no comparison is equal. */
function soundRecord(bytes: Uint8Array) {
  try {
    return decodeRecord(bytes);
  } catch (error) {
    if (!(error instanceof RecordCorruptError)) throw error;
    return undefined;
  }
}
