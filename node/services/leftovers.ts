/**
 * Gives up what the ring has taken from this node, by evidence and never by delay (design §3).
 *
 *     not this node's ── no write under way by an earlier ring, no hints of it kept here
 *                     ── every present member of its write sets compared, what it lacks merged there ──> removed, page by page
 *
 * Nothing is added to such a partition any more, so one comparison with each member is enough; who joins the sets
 * meanwhile is compared as well. A member that comes back after a long absence goes the same way: it offers, then drops.
 * One that was removed as destroyed does neither: the members went on without what it holds, and merging that now could
 * bring back what was deleted since. Its records stay as they are, for `annulus salvage`.
 */
import { KvError } from "../core/errors.ts";
import { parsePartitionedKey, partitionRange } from "../core/keyspace.ts";
import type { MemberId } from "../core/ring/document.ts";
import type { Ring } from "../core/ring/ring.ts";
import type { Engine, Telemetry, Time } from "../ports.ts";
import type { Admission } from "./admission.ts";
import type { Budget } from "./budget.ts";
import type { Comparer } from "./compare.ts";
import type { HintLedger } from "./hint-ledger.ts";
import type { Horizons } from "./horizons.ts";
import type { Identity } from "./identity.ts";
import type { Replica } from "./replica.ts";
import type { Replicas } from "./replicas.ts";
import { createRounds } from "./rounds.ts";

export type Leftovers = {
  /** The partitions that are here and not this node's, as far as they are known. */
  partitions(): readonly number[];
  /** Whether nothing is here by the ring of this epoch that is not this node's, and no hint is. */
  isEmptied(epoch: number): boolean;
  /** Whether nothing of the partition is here to be given up, by the ring of this epoch. */
  isClear(partition: number, epoch: number): boolean;
  /** A ring has come into force. */
  adopt(ring: Ring): void;
  start(): void;
  /** Resolves when nothing is under way any more. */
  stop(): Promise<void>;
};

const ROUND_MS = 1_000;
const PAGE_RECORDS = 128;
const TIMEOUT_MS = 30_000;

/** @param parts `keepTrees`: is told of which partitions trees are needed for the comparison. */
export function createLeftovers(parts: {
  readonly self: MemberId;
  readonly identity: Identity;
  readonly replica: Replica;
  readonly replicas: Replicas;
  readonly comparer: Comparer;
  readonly admission: Admission;
  readonly hints: HintLedger;
  readonly horizons: Horizons;
  readonly isUp: (member: MemberId) => boolean;
  readonly keepTrees: () => void;
  readonly engine: Engine;
  readonly budget: Budget;
  readonly time: Time;
  readonly telemetry: Telemetry;
}): Leftovers {
  const { self, identity, replica, replicas, comparer, admission, hints, horizons, engine, budget, time, telemetry } =
    parts;
  let ring: Ring | undefined;
  /** Of each partition to give up, the members that were shown to hold all of it. */
  const open = new Map<number, Set<MemberId>>();
  /** The epoch by which the disk was last searched. */
  let searchedEpoch = 0;
  telemetry.gauge("annulus.leftovers.partitions", () => open.size);

  /** Whether the members went on without this directory. */
  function isDestroyed(): boolean {
    const member = ring?.member(self);
    return member?.isDestroyed === true && (member.actor === undefined || member.actor === identity.actor);
  }

  const isOwn = (partition: number) => ring === undefined || ring.isWriter(self, partition);

  /** Finds what lies on the disk and is not this node's. */
  async function search(): Promise<void> {
    const searched = ring;
    if (searched === undefined || searchedEpoch === searched.epoch) return;
    // What was let in by an earlier ring may be on its way yet.
    await admission.settled();
    for (let partition = 0; partition < searched.partitions && !rounds.isStopped(); partition++) {
      if (isOwn(partition)) open.delete(partition);
      else if (!open.has(partition)) {
        const [first] = await engine.scan({ ...partitionRange(partition), limit: 1 });
        if (first !== undefined) open.set(partition, new Set());
      }
    }
    if (ring === searched) searchedEpoch = searched.epoch;
    if (open.size > 0) parts.keepTrees();
  }

  function hasHints(partition: number): boolean {
    if (!hints.isComplete()) return true;
    return hints.waiting().some(({ target }) => hints.partitionsOf(target).includes(partition));
  }

  /** Shows every member that the ring wants the partition at all that is here; gives whether all have it now. */
  async function offer(partition: number, shown: Set<MemberId>): Promise<boolean> {
    const { epoch } = ring as Ring;
    const members = (ring as Ring).writers(partition).map(({ name }) => name);
    for (const peer of members) {
      if (shown.has(peer)) continue;
      if (rounds.isStopped() || !parts.isUp(peer)) return false;
      const { roots } = await replicas.compare(peer, { kind: "roots", epoch, partitions: [partition] }, TIMEOUT_MS);
      const root = roots[0];
      if (root === undefined) return false;
      await comparer.mend({ epoch, partition, peer, peerBits: root.bits, isOffer: true });
      shown.add(peer);
      telemetry.count("annulus.leftovers.offered");
    }
    return (ring as Ring).writers(partition).every(({ name }) => shown.has(name));
  }

  /** Removes the records of a partition page by page, as long as it is not this node's and all have it. */
  async function drop(partition: number, shown: ReadonlySet<MemberId>): Promise<void> {
    await identity.markGivingUp();
    await horizons.disown(partition);
    const range = partitionRange(partition);
    const mayGo = () =>
      !rounds.isStopped() &&
      !isOwn(partition) &&
      (ring as Ring).writers(partition).every(({ name }) => shown.has(name));
    while (mayGo()) {
      const page = await engine.scan({ ...range, limit: PAGE_RECORDS });
      if (page.length === 0) {
        open.delete(partition);
        telemetry.count("annulus.leftovers.dropped");
        return;
      }
      await Promise.all(page.map(({ key }) => replica.drop(partition, parsePartitionedKey(key).key, mayGo)));
      await budget.spend(page.reduce((sum, { key, value }) => sum + key.length + value.length, 0));
    }
  }

  async function round(): Promise<void> {
    if (ring === undefined || ring.member(self) === undefined || isDestroyed()) return;
    await search();
    for (const [partition, shown] of [...open]) {
      if (rounds.isStopped()) return;
      if (isOwn(partition)) {
        open.delete(partition);
        continue;
      }
      // While it moves, its homes to be get all of it from the present ones.
      if (hasHints(partition) || ring.writeSets(partition).length > 1) continue;
      try {
        if (await offer(partition, shown)) await drop(partition, shown);
      } catch (error) {
        if (!(error instanceof KvError)) throw error;
        telemetry.log("debug", "leftovers.waiting", { partition, reason: error.message });
      }
    }
  }

  const rounds = createRounds(
    {
      time,
      failed: ({ message }) => telemetry.log("warn", "leftovers.round_failed", { reason: message }),
    },
    round,
    ROUND_MS,
  );

  return {
    partitions: () => [...open.keys()],
    isEmptied: (epoch) =>
      ring?.epoch === epoch &&
      searchedEpoch === epoch &&
      open.size === 0 &&
      hints.isComplete() &&
      hints.waiting().length === 0,
    isClear: (partition, epoch) => ring?.epoch === epoch && searchedEpoch === epoch && !open.has(partition),
    adopt(adopted) {
      ring = adopted;
    },
    start: rounds.start,
    stop: rounds.stop,
  };
}
