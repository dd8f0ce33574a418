/**
 * For which partitions this node's own copy may be believed. Two things make it doubtful:
 *
 * **Rebuilding.** A directory that was given a ring older than itself took somebody's place: a disk was lost or exchanged,
 * and what it had acknowledged may now be on fewer than W disks. Until this node has merged what N − W + 1 of the other homes
 * of a partition hold, it neither stamps for it nor counts towards R: every write that W homes acknowledged is among those,
 * for at most one of its W copies was the lost one. What it is sent it stores all the same, and that counts towards W. Where more
 * disks were lost, those homes may be incomplete themselves, and would wait for each other: once it has merged what each of the
 * others holds, complete or not, nothing is left to wait for.
 *
 * **Gaining.** A partition that a change of the ring brings is complete once this node has merged what all present homes
 * that can be reached hold, and N − W + 1 of them at least, each having adopted the change: what such a home took before
 * is merged here, and what it takes afterwards must reach W of the homes to be as well (design §3). A change of R and W may
 * ask the same of present homes; they go on serving.
 *
 * The mark of rebuilding lies on the disk beside the ring (identity.ts) and is taken away once all is merged; a node that
 * restarts before begins anew, at the cost of comparing again what is equal by then. So does a gaining one.
 * Source: DeCandia et al. 2007, §4.7 (recovery of a lost replica by Merkle trees).
 */
import { KvError } from "../core/errors.ts";
import type { MemberId } from "../core/ring/document.ts";
import type { Ring } from "../core/ring/ring.ts";
import type { Telemetry } from "../ports.ts";
import type { Identity } from "./identity.ts";

export type Completeness = {
  /** Whether this node holds all that it should of the partition. Constant time; true for what it is no home of. */
  isComplete(partition: number): boolean;
  /** @throws {KvError} NOT_READY while the partition is not complete. */
  requireComplete(partition: number): void;
  /** Partitions that are not complete. */
  missing(): number;
  /** Whether a lost disk is the reason for some of them. */
  isRebuilding(): boolean;
  /** Partitions of a change under way that are not complete yet. */
  gaining(): readonly number[];
  /** The change for which all is here that it brings; undefined while it is not, or there is none. */
  completeFor(): string | undefined;
  /**
   * Everything that `home` held of the partition when the comparison began has been merged here.
   *
   * @param epoch What `home` had adopted then.
   */
  compared(partition: number, home: MemberId, epoch: number): void;
  /** Everything that `home` holds is here too, but it may lack something itself. */
  met(partition: number, home: MemberId): void;
  /** Looks anew whether enough homes were compared: some may have gone down since. */
  review(): void;
  /** A ring has come into force. */
  adopt(ring: Ring): void;
};

/** Of one partition, the other homes whose records are all here: those that were complete, and any. */
type Loss = { readonly complete: Set<MemberId>; readonly all: Set<MemberId> };

/** The partitions that one change brings. */
type Gains = {
  readonly id: string;
  /** The epoch from which on a home has adopted the change. */
  readonly sinceEpoch: number;
  /** Of each partition that is not complete, the homes it was compared with. */
  readonly open: Map<number, Set<MemberId>>;
  /** An incarnation of which nothing was given up is on the disk. */
  isFresh: boolean;
  /** What was merged would survive the loss of power, whatever the durability of writes. */
  isStored: boolean;
};

/**
 * @param self This node's name.
 * @param parts `isUp`: who can be reached.
 */
export function createCompleteness(
  self: MemberId,
  parts: {
    readonly identity: Pick<Identity, "isRebuilding" | "endRebuilding">;
    /** Goes on under an incarnation of which this node has all dots in its records, as a home. */
    readonly freshen: () => Promise<void>;
    /** Makes durable all that was merged. */
    readonly flush: () => Promise<void>;
    readonly isUp: (member: MemberId) => boolean;
    readonly telemetry: Telemetry;
  },
): Completeness {
  const { identity, telemetry } = parts;
  /** One at a time: a disk that failed is tried again with the next review. */
  let isStepping = false;
  let ring: Ring | undefined;
  /** Of each partition whose lost copy is not made good, the homes it was compared with; undefined when there is none. */
  let lost: Map<number, Loss> | undefined;
  let gains: Gains | undefined;
  let isEnding = false;
  telemetry.gauge("annulus.rebuild.partitions_missing", () => lost?.size ?? 0);
  telemetry.gauge("annulus.transfer.partitions_missing", () => gains?.open.size ?? 0);

  /** Once: a node that could not store that it is complete has told nobody, and tries with the next comparison. */
  function endRebuilding(): void {
    if (isEnding) return;
    isEnding = true;
    const storing = async () => {
      await parts.flush();
      await identity.endRebuilding();
    };
    storing().then(
      () => {
        lost = undefined;
        isEnding = false;
        telemetry.count("annulus.rebuild.completed");
        telemetry.log("info", "rebuild.complete");
      },
      (error: unknown) => {
        isEnding = false;
        if (!(error instanceof KvError)) throw error;
        telemetry.log("warn", "rebuild.not_stored", { reason: error.message });
      },
    );
  }

  function others(partition: number): readonly MemberId[] {
    const homes = ring?.homes(partition) ?? [];
    return homes.map(({ name }) => name).filter((name) => name !== self);
  }

  /** Whether a lost copy is made good. With W = 1 it may have been the only one: then no number of homes makes up for it. */
  function isRefilled(partition: number, { complete, all }: Loss): boolean {
    const { replicationFactor, writeQuorum } = (ring as Ring).document;
    // What was declared destroyed will never be compared.
    const left = others(partition).filter((name) => ring?.member(name)?.isDestroyed !== true);
    return complete.size >= replicationFactor - writeQuorum + 1 || left.every((name) => all.has(name));
  }

  const newLoss = (): Loss => ({ complete: new Set(), all: new Set() });

  const isLost = (partition: number) => lost?.has(partition) === true;

  function isMerged(partition: number, homes: ReadonlySet<MemberId>): boolean {
    const { replicationFactor, writeQuorum } = (ring as Ring).document;
    // A copy that was lost counts for nothing.
    const own = (ring as Ring).isPresentHome(self, partition) && !isLost(partition) ? 1 : 0;
    if (homes.size + own < replicationFactor - writeQuorum + 1) return false;
    return presentOthers(partition).every((name) => homes.has(name) || !parts.isUp(name));
  }

  function presentOthers(partition: number): readonly MemberId[] {
    const homes = ring?.presentHomes(partition) ?? [];
    return homes.map(({ name }) => name).filter((name) => name !== self);
  }

  function review(): void {
    if (ring === undefined) return;
    for (const [partition, loss] of lost ?? []) if (isRefilled(partition, loss)) lost?.delete(partition);
    for (const [partition, homes] of gains?.open ?? []) if (isMerged(partition, homes)) gains?.open.delete(partition);
    ended();
  }

  function ended(): void {
    // While something is still to come, a *switch* may have been chosen for the sake of what the lost disk held.
    if (lost?.size === 0 && (gains?.open.size ?? 0) === 0) endRebuilding();
    advance();
  }

  /**
   * What is to be done on the disk before this node says that it is complete: a fresh incarnation (design §4), and, once all is
   * merged, that this would survive the loss of power. Reads count on it from *switch* on, and the homes that acknowledged
   * the writes give them up.
   */
  function advance(): void {
    const of = gains;
    if (of === undefined || isStepping) return;
    if (of.isFresh && (of.open.size > 0 || of.isStored)) return;
    const step = of.isFresh ? storeGains : freshenFor;
    isStepping = true;
    step(of).then(
      () => {
        isStepping = false;
        advance();
      },
      (error: unknown) => {
        isStepping = false;
        if (!(error instanceof KvError)) throw error;
        telemetry.log("warn", "transfer.not_stored", { change: of.id, reason: error.message });
      },
    );
  }

  async function freshenFor(of: Gains): Promise<void> {
    await parts.freshen();
    of.isFresh = true;
  }

  async function storeGains(of: Gains): Promise<void> {
    await parts.flush();
    of.isStored = true;
    telemetry.log("info", "transfer.complete", { change: of.id });
  }

  /** To be called before `adoptGains`: what was still to come when *prepare* ended is known by the gains of before. */
  function adoptLost(): void {
    if (ring === undefined || !identity.isRebuilding()) return;
    const before = lost;
    const { document, partitionsOf, isPresentHome } = ring;
    // Until reads move, what is new here is filled as a gain. From *switch* on it is this member's as the rest is, and lost with
    // it: it was another directory of this name that was complete when reads moved.
    const isPrepared = document.transition?.phase === "prepare";
    const isNew = (partition: number) => isPrepared && !isPresentHome(self, partition);
    const kept = partitionsOf(self).filter((partition) => !isNew(partition));
    if (before === undefined) {
      lost = new Map(kept.map((partition) => [partition, newLoss()]));
      telemetry.log("warn", "rebuild.begun", { partitions: lost.size });
      return;
    }
    const unfilled = [...(gains?.open.keys() ?? [])].map((partition) => [partition, newLoss()] as const);
    lost = new Map([...unfilled, ...before].filter(([partition]) => kept.includes(partition)));
  }

  function adoptGains(): void {
    const transition = ring?.document.transition;
    // By *switch* whoever gains is complete: that was the condition of its being published. See `adoptLost` for a lost disk.
    if (ring === undefined || transition?.phase !== "prepare") gains = undefined;
    else if (gains?.id !== transition.id) {
      const open = new Map(ring.gains(self).map((partition) => [partition, new Set<MemberId>()]));
      gains = {
        id: transition.id,
        sinceEpoch: transition.phaseEpoch,
        open,
        isFresh: open.size === 0,
        isStored: open.size === 0,
      };
      if (open.size > 0) telemetry.log("info", "transfer.begun", { change: gains.id, partitions: open.size });
    }
    advance();
  }

  /** A present home that the change asks to be made complete as well serves as before meanwhile: it is believed as such. */
  const isGaining = (partition: number) =>
    gains?.open.has(partition) === true && ring?.isPresentHome(self, partition) !== true;
  return {
    isComplete: (partition) => !isLost(partition) && !isGaining(partition),
    requireComplete(partition) {
      if (!isLost(partition) && !isGaining(partition)) return;
      throw new KvError(
        "NOT_READY",
        `Cannot answer for partition ${partition}: ${self} ${isLost(partition) ? "is being rebuilt and may lack what its lost disk held" : "does not hold all of it yet"}. Ask another home.`,
        { details: { retryAfterS: 1 } },
      );
    },
    missing: () => (lost?.size ?? 0) + (gains?.open.size ?? 0),
    isRebuilding: () => (lost?.size ?? 0) > 0,
    gaining: () => [...(gains?.open.keys() ?? [])],
    completeFor() {
      if (ring?.document.transition?.phase === "switch") return ring.document.transition.id;
      return gains?.open.size === 0 && gains.isFresh && gains.isStored ? gains.id : undefined;
    },
    compared(partition, home, epoch) {
      const ofLost = lost?.get(partition);
      if (ofLost !== undefined && others(partition).includes(home)) {
        ofLost.complete.add(home);
        ofLost.all.add(home);
      }
      const ofGains = gains?.open.get(partition);
      if (ofGains !== undefined && epoch >= (gains as Gains).sinceEpoch && presentOthers(partition).includes(home)) {
        ofGains.add(home);
      }
      if (ofLost !== undefined && isRefilled(partition, ofLost)) lost?.delete(partition);
      if (ofGains !== undefined && isMerged(partition, ofGains)) gains?.open.delete(partition);
      ended();
    },
    met(partition, home) {
      const loss = lost?.get(partition);
      if (loss === undefined || !others(partition).includes(home)) return;
      loss.all.add(home);
      if (isRefilled(partition, loss)) lost?.delete(partition);
      ended();
    },
    review,
    adopt(adopted) {
      ring = adopted;
      adoptLost();
      adoptGains();
      review();
    },
  };
}
