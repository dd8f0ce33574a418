/**
 * Gives up what the ring has taken from this node, by evidence and never by delay (design §3).
 *
 *     not this node's ── no write under way by an earlier ring, no hints of it kept here
 *                     ── every present member of its write sets compared, what it lacks merged there
 *                     ── each of them has flushed, and lost nothing meanwhile ──> removed, page by page
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
import type { PeerDisks } from "./peer-disks.ts";
import type { Replica } from "./replica.ts";
import type { Replicas } from "./replicas.ts";
import { createRounds } from "./rounds.ts";
import { createSetbacks } from "./setbacks.ts";
import { boundedPage, PAGE_BYTES } from "./stored-pages.ts";

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
/** Partitions that are offered before those who were offered them flush. */
const PARTITIONS_AT_ONCE = 64;
const PAGE_RECORDS = 128;
const TIMEOUT_MS = 30_000;

/** @param parts `keepTrees`: is told of which partitions trees are needed for the comparison. */
export function createLeftovers(parts: {
  readonly self: MemberId;
  readonly identity: Identity;
  readonly replica: Replica;
  readonly replicas: Replicas;
  readonly comparer: Comparer;
  readonly disks: PeerDisks;
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
  const { self, identity, replica, replicas, comparer, disks, admission, hints, horizons, engine, budget } = parts;
  const { time, telemetry } = parts;
  let ring: Ring | undefined;
  /** Of each partition to give up, the members that were shown to hold all of it, and what witnesses that they lost nothing since. */
  const open = new Map<number, Map<MemberId, string>>();
  /** Partitions of which nobody knows whether something is here to be given up: they could not be read. */
  const unread = new Set<number>();
  const setbacks = createSetbacks(time);
  /** The epoch by which the disk was last searched. */
  let searchedEpoch = 0;
  telemetry.gauge("annulus.leftovers.partitions", () => open.size + unread.size);

  /** Whether the members went on without this directory. */
  function isSetAside(): boolean {
    const member = ring?.member(self);
    if (identity.isSuperseded()) return true;
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
      else if (!open.has(partition)) await look(partition);
    }
    if (ring === searched) searchedEpoch = searched.epoch;
    if (open.size > 0) parts.keepTrees();
  }

  /** Learns whether anything lies here of a partition that is not this node's. */
  async function look(partition: number): Promise<void> {
    try {
      const [first] = await engine.scan({ ...partitionRange(partition), limit: 1 });
      if (first !== undefined && !isOwn(partition)) open.set(partition, new Map());
      unread.delete(partition);
      setbacks.forget(partition);
    } catch (error) {
      if (!(error instanceof KvError)) throw error;
      unread.add(partition);
      setbacks.failed(partition);
      telemetry.log("debug", "leftovers.partition_unread", { partition, reason: error.message });
    }
  }

  /** Looks again at what could not be read. */
  async function searchUnread(): Promise<void> {
    const kept = open.size;
    let tried = 0;
    for (const partition of unread) {
      if (rounds.isStopped()) return;
      if (isOwn(partition)) unread.delete(partition);
      else if (setbacks.isDue(partition)) {
        await look(partition);
        tried += 1;
      }
    }
    if (tried > 0 && unread.size > 0) telemetry.log("warn", "leftovers.unread", { partitions: unread.size });
    if (open.size > kept) parts.keepTrees();
  }

  function hasHints(partition: number): boolean {
    if (!hints.isComplete()) return true;
    return hints.waiting().some(({ target }) => hints.partitionsOf(target).includes(partition));
  }

  const writersOf = (partition: number): readonly MemberId[] =>
    (ring as Ring).writers(partition).map(({ name }) => name);
  /** The members that the ring wants to have the partition and that were not shown yet. */
  const unshown = (partition: number): readonly MemberId[] =>
    writersOf(partition).filter((name) => open.get(partition)?.has(name) !== true);

  /** Has a member merge what it lacks of a partition; gives whether it could be compared. */
  async function show(partition: number, peer: MemberId): Promise<boolean> {
    const { epoch } = ring as Ring;
    const { roots } = await replicas.compare(peer, { kind: "roots", epoch, partitions: [partition] }, TIMEOUT_MS);
    const root = roots[0];
    if (root === undefined) return false;
    const pairing = { epoch, partition, peer, peerBits: root.bits, isOffer: true } as const;
    // A record that no message can hold, say, keeps the partition here, and no other one.
    const isShown = await isDone({ peer, partition }, async () => void (await comparer.mend(pairing)));
    if (isShown) telemetry.count("annulus.leftovers.offered");
    return isShown;
  }

  /** Shows a member partitions that it was not shown yet. */
  async function offer(peer: MemberId, partitions: readonly number[]): Promise<void> {
    const witness = await disks.witness(peer, (ring as Ring).epoch);
    for (const partition of partitions) {
      if (witness === undefined || rounds.isStopped() || !parts.isUp(peer)) return;
      if (await show(partition, peer)) open.get(partition)?.set(peer, witness);
    }
  }

  /** Has a member make durable what it was shown; what it lost since is to be shown again. */
  async function confirm(peer: MemberId, partitions: readonly number[]): Promise<void> {
    const witness = await disks.flushed(peer, (ring as Ring).epoch);
    for (const partition of partitions) {
      const shown = open.get(partition);
      if (shown?.get(peer) !== witness) shown?.delete(peer);
    }
  }

  /** Removes the records of a partition page by page, as long as it is not this node's and all have it. */
  async function drop(partition: number): Promise<void> {
    const mayGo = () => !rounds.isStopped() && !isOwn(partition) && unshown(partition).length === 0;
    if (!mayGo()) return;
    await identity.markGivingUp();
    await horizons.disown(partition);
    const range = partitionRange(partition);
    while (mayGo()) {
      const { entries: page } = await boundedPage(engine, { ...range, limit: PAGE_RECORDS }, PAGE_BYTES);
      if (page.length === 0) {
        open.delete(partition);
        telemetry.count("annulus.leftovers.dropped");
        return;
      }
      await Promise.all(page.map(({ key }) => replica.drop(partition, parsePartitionedKey(key).key, mayGo)));
      await budget.spend(page.reduce((sum, { key, value }) => sum + key.length + value.length, 0));
    }
  }

  /** Runs a step that others may hold up, and tells whether it was done; it is tried again in a later round. */
  async function isDone(what: object, step: () => Promise<void>): Promise<boolean> {
    try {
      await step();
      return true;
    } catch (error) {
      if (!(error instanceof KvError)) throw error;
      telemetry.log("debug", "leftovers.waiting", { ...what, reason: error.message });
      return false;
    }
  }

  /** Offers some partitions to whoever is to have them, then drops those that all have on their disks. */
  async function giveUp(partitions: readonly number[]): Promise<void> {
    for (const peer of new Set(partitions.flatMap(unshown))) {
      const wanted = partitions.filter((partition) => unshown(partition).includes(peer));
      await isDone({ peer }, () => offer(peer, wanted));
    }
    let ready = partitions.filter((partition) => unshown(partition).length === 0);
    for (const peer of new Set(ready.flatMap(writersOf))) {
      const asked = ready.filter((partition) => writersOf(partition).includes(peer));
      const isConfirmed = !rounds.isStopped() && (await isDone({ peer }, () => confirm(peer, asked)));
      if (!isConfirmed) ready = ready.filter((partition) => !asked.includes(partition));
    }
    for (const partition of ready) await isDone({ partition }, () => drop(partition));
  }

  async function round(): Promise<void> {
    if (ring === undefined || ring.member(self) === undefined || isSetAside()) return;
    await search();
    await searchUnread();
    // While one moves, its homes to be get all of it from the present ones.
    const free = [...open.keys()].filter(
      (partition) => !hasHints(partition) && (ring as Ring).writeSets(partition).length === 1,
    );
    for (let at = 0; at < free.length && !rounds.isStopped(); at += PARTITIONS_AT_ONCE) {
      await giveUp(free.slice(at, at + PARTITIONS_AT_ONCE));
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
      unread.size === 0 &&
      hints.isComplete() &&
      hints.waiting().length === 0,
    isClear: (partition, epoch) =>
      ring?.epoch === epoch && searchedEpoch === epoch && !open.has(partition) && !unread.has(partition),
    adopt(adopted) {
      ring = adopted;
      // What comes to it from now on was shown to nobody, also where it is gone again before the next round.
      for (const partition of open.keys()) if (isOwn(partition)) open.delete(partition);
    },
    start: rounds.start,
    stop: rounds.stop,
  };
}
