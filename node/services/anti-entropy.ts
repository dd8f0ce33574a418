/**
 * Anti-entropy: compares every partition of this node with every other home of it, round after round, and mends what
 * differs (DeCandia et al. 2007, §4.7; design §6).
 *
 * A round goes to one peer after the other. One request brings the roots of all partitions that the two share; those
 * whose roots differ are mended one at a time, on the budget of background work. Peers that are down, and partitions
 * whose tree is being built, are left to the next round. What a round asks when nothing differs is 22 bytes a partition
 * and peer. Both sides of a pair do so: a partition is compared as often as it has other homes, twice an interval each.
 */
import { equalBytes } from "../core/bytes.ts";
import { KvError } from "../core/errors.ts";
import type { PartitionRoot } from "../core/merkle/packed.ts";
import type { MemberId } from "../core/ring/document.ts";
import type { Ring } from "../core/ring/ring.ts";
import type { HorizonMark } from "../messages.ts";
import type { Random, Telemetry, Time, Timer } from "../ports.ts";
import type { Comparer } from "./compare.ts";
import type { Completeness } from "./completeness.ts";
import type { HorizonExchange } from "./horizon-exchange.ts";
import type { Replicas } from "./replicas.ts";
import type { Trees } from "./trees.ts";

/** How far repair has come, from memory. */
export type RepairProgress = {
  readonly running: boolean;
  /** Rounds that ended since the start. */
  readonly rounds: number;
  /** Partitions of this node, and those whose tree is built. */
  readonly owned: number;
  readonly built: number;
  /** For each partition of this node: since when, at the latest, it was found equal to every other home of it. */
  readonly partitions: readonly { readonly partition: number; readonly equalAtMs: number | undefined }[];
};

export type AntiEntropy = {
  start(): void;
  /** Begins a round now, or another one after the round that runs. */
  passNow(): void;
  progress(): RepairProgress;
  close(): void;
};

/** Partitions whose roots are asked for at once: a reply of 17 KiB. */
const ROOTS_AT_ONCE = 1_024;
/** Between two rounds of a node that is being rebuilt. */
const REBUILDING_PAUSE_MS = 500;
/** Times that what was mended is compared and mended again within one round. */
const MENDS_MAX = 3;

/** Failures that are one partition's own: a record of it is too large to be sent, or damaged. */
const OWN: ReadonlySet<string> = new Set(["TOO_LARGE", "INVALID_REQUEST", "STORAGE_FAILED"]);

/** A partition whose roots differ, with what the peer said beside its root. */
type Differing = {
  readonly partition: number;
  readonly peerBits: number;
  readonly isComplete: boolean;
  readonly epoch: number;
};

/** What a peer says of a partition, and the epoch that it had adopted. */
type TheirRoot = {
  readonly root: PartitionRoot;
  readonly mark: HorizonMark | undefined;
  readonly epoch: number;
};

/** What is asked of one peer in one round. */
type Visit = { readonly ring: Ring; readonly peer: MemberId };

/** @param options `intervalMs`: from one round's end to the next one's beginning, about; `timeoutMs`: for one request. */
export function createAntiEntropy(
  parts: {
    readonly ring: () => Ring | undefined;
    readonly isUp: (member: MemberId) => boolean;
    readonly replicas: Replicas;
    readonly trees: Trees;
    readonly comparer: Comparer;
    /** Is told of every comparison that ended, and makes rounds follow each other soon while one is needed. */
    readonly completeness: Completeness;
    /** Takes over what a peer knows to be collectable, before anything of the partition is compared. */
    readonly horizons: HorizonExchange;
    /** Whether a partition is being copied as a whole just now: comparing it would find nothing but what is on its way. */
    readonly isCopying: (partition: number) => boolean;
    /** The partitions that trees are kept of: also those that are no longer this node's, until they are given up. */
    readonly kept: () => readonly number[];
    readonly time: Time;
    readonly random: Random;
    readonly telemetry: Telemetry;
  },
  options: { readonly intervalMs: number; readonly timeoutMs: number },
): AntiEntropy {
  const { replicas, trees, comparer, completeness, horizons, time, random, telemetry } = parts;
  const { self } = replicas;
  /** When each partition was last found equal to each other home, by the wall clock. */
  const equalAt = new Map<number, Map<MemberId, number>>();
  let timer: Timer | undefined;
  let running = false;
  let again = false;
  let closed = false;
  let rounds = 0;

  /** The roots of some partitions at a peer, by partition, with the epoch that it had adopted. */
  async function rootsOf({ ring, peer }: Visit, partitions: readonly number[]): Promise<Map<number, TheirRoot>> {
    const found = new Map<number, TheirRoot>();
    for (let at = 0; at < partitions.length; at += ROOTS_AT_ONCE) {
      const some = partitions.slice(at, at + ROOTS_AT_ONCE);
      const request = { kind: "roots", epoch: ring.epoch, partitions: some } as const;
      const reply = await replicas.compare(peer, request, options.timeoutMs);
      const { roots, epoch } = reply;
      telemetry.count("annulus.repair.sent_bytes", some.length * 4);
      telemetry.count("annulus.repair.received_bytes", roots.length * 22);
      await horizons.adoptFrom(peer, ring.epoch, some, reply.horizons);
      some.forEach((partition, index) => {
        found.set(partition, { root: roots[index], mark: reply.horizons[index], epoch });
      });
    }
    return found;
  }

  /** Compares roots; gives the partitions that differ, with the resolution of the peer's tree. */
  async function differing(visit: Visit, partitions: readonly number[]) {
    const witness = horizons.witness();
    const roots = await rootsOf(visit, partitions);
    const found: Differing[] = [];
    for (const [partition, { root: theirs, mark, epoch }] of roots) {
      const mine = horizons.isSettled(partition) ? trees.ready(partition) : undefined;
      if (mine === undefined || theirs === undefined) {
        telemetry.count("annulus.repair.partitions_not_ready");
      } else if (equalBytes(mine.root(), theirs.sum)) {
        noteEqual(partition, visit.peer);
        await horizons.foundEqual(partition, mark, witness);
        if (theirs.isComplete) completeness.compared(partition, visit.peer, epoch);
        else completeness.met(partition, visit.peer);
      } else found.push({ partition, peerBits: theirs.bits, isComplete: theirs.isComplete, epoch });
    }
    telemetry.count("annulus.repair.partitions_compared", partitions.length);
    telemetry.count("annulus.repair.partitions_differing", found.length);
    return found;
  }

  function noteEqual(partition: number, peer: MemberId): void {
    const homes = equalAt.get(partition) ?? new Map<MemberId, number>();
    homes.set(peer, time.wallMs());
    equalAt.set(partition, homes);
  }

  async function visit(ring: Ring, peer: MemberId): Promise<void> {
    let partitions: readonly number[] = ring
      .partitionsOf(self)
      .filter((partition) => isComparable({ ring, peer }, partition));
    for (let mends = 0; partitions.length > 0 && mends <= MENDS_MAX && !closed; mends++) {
      const found = await differing({ ring, peer }, partitions);
      if (mends === MENDS_MAX) return;
      partitions = await mendAll({ ring, peer }, shuffled(found, random));
    }
  }

  /**
   * Mends what differs. One partition that fails keeps no other one from it; two that do so in succession, in a way that is
   * not their own, are the peer's or this node's failure.
   *
   * @returns The partitions to compare once more.
   */
  async function mendAll({ ring, peer }: Visit, found: readonly Differing[]): Promise<number[]> {
    const mended: number[] = [];
    let hasFailed = false;
    for (const { partition, peerBits, isComplete, epoch } of found) {
      if (closed) return [];
      try {
        const isMended = await mend({ epoch: ring.epoch, partition, peer, peerBits });
        if (isMended && isComplete) completeness.compared(partition, peer, epoch);
        mended.push(partition);
        hasFailed = false;
      } catch (error) {
        if (!(error instanceof KvError) || (hasFailed && !OWN.has(error.code))) throw error;
        hasFailed = !OWN.has(error.code);
        telemetry.count("annulus.repair.partitions_failed");
        telemetry.log("debug", "repair.partition_failed", { peer, partition, code: error.code, reason: error.message });
      }
    }
    return mended;
  }

  /** Who is to get a partition pulls it from its present homes; nobody else compares with who does not have it yet. */
  function isComparable({ ring, peer }: Visit, partition: number): boolean {
    if (!ring.isWriter(peer, partition) || parts.isCopying(partition)) return false;
    if (ring.document.transition?.phase !== "prepare") return true;
    return ring.isPresentHome(peer, partition);
  }

  /** Whether all that the peer had acknowledged when this began is held here now. */
  async function mend(pairing: Parameters<Comparer["mend"]>[0]): Promise<boolean> {
    try {
      return await comparer.mend(pairing);
    } catch (error) {
      if (!(error instanceof KvError) || error.code !== "NOT_READY") throw error;
      telemetry.count("annulus.repair.partitions_not_ready");
      return false;
    }
  }

  async function round(): Promise<void> {
    const ring = parts.ring();
    if (ring === undefined) return;
    trees.own(parts.kept());
    for (const { name } of shuffled(ring.document.members, random)) {
      if (name === self || closed || !parts.isUp(name)) continue;
      try {
        await visit(ring, name);
      } catch (error) {
        if (!(error instanceof KvError)) throw error;
        telemetry.count("annulus.repair.failures");
        if (!closed) telemetry.log("debug", "repair.visit_failed", { peer: name, reason: error.message });
      }
    }
  }

  async function run(): Promise<void> {
    running = true;
    const startMs = time.monotonicMs();
    await round();
    completeness.review();
    running = false;
    rounds += 1;
    telemetry.observe("annulus.repair.round.duration", time.monotonicMs() - startMs);
    if (closed) return;
    const usualMs = options.intervalMs * (0.75 + random.uint32() / 2 ** 33);
    const delayMs = again ? 0 : completeness.missing() > 0 ? Math.min(usualMs, REBUILDING_PAUSE_MS) : usualMs;
    again = false;
    timer = time.after(delayMs, () => void run());
  }

  return {
    start() {
      // Not at once: whoever starts has links to make first, and all nodes may start together.
      timer = time.after((options.intervalMs * random.uint32()) / 2 ** 32, () => void run());
    },
    passNow() {
      if (closed) return;
      if (running) {
        again = true;
        return;
      }
      timer?.cancel();
      void run();
    },
    progress() {
      const ring = parts.ring();
      const owned = ring?.partitionsOf(self) ?? [];
      const partitions = owned.map((partition) => {
        const others = ring?.homes(partition).filter(({ name }) => name !== self) ?? [];
        const times = others.map(({ name }) => equalAt.get(partition)?.get(name) ?? Number.NaN);
        const oldestMs = Math.min(...times);
        return { partition, equalAtMs: Number.isFinite(oldestMs) ? oldestMs : undefined };
      });
      return { running, rounds, ...trees.progress(), partitions };
    },
    close() {
      closed = true;
      timer?.cancel();
    },
  };
}

/** The items in random order. */
function shuffled<T>(items: readonly T[], random: Random): T[] {
  const order = [...items];
  for (let at = order.length - 1; at > 0; at--) {
    const other = random.uint32() % (at + 1);
    [order[at], order[other]] = [order[other] as T, order[at] as T];
  }
  return order;
}
