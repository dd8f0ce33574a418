/**
 * One storage node, wired from its ports. The same wiring runs in production (`main.ts`) and in the simulator.
 *
 * Start: replica and coordinator stand, the transport listens, then the ring is read or asked for. Stop: the other way
 * round, so that nothing is acknowledged by a part that is already gone.
 */

import type { Durability } from "./core/errors.ts";
import { AdaptiveLimit } from "./core/overload/adaptive-limit.ts";
import { QuantileFollower } from "./core/quorum/latency.ts";
import { Pace } from "./core/quorum/pace.ts";
import { type MemberId, PARTITIONS_MAX, type RingDocument } from "./core/ring/document.ts";
import type { Ring } from "./core/ring/ring.ts";
import type { KeyVersions } from "./core/version/key-versions.ts";
import type { ProgressReply } from "./messages.ts";
import type { Ports, Timer } from "./ports.ts";
import { createAdmission } from "./services/admission.ts";
import { type BackupDifference, createBackupDifference } from "./services/backup-difference.ts";
import { createBudget } from "./services/budget.ts";
import type { Changes } from "./services/changes.ts";
import { createCollector } from "./services/collector.ts";
import { createCompleteness } from "./services/completeness.ts";
import { type Coordinator, createCoordinator } from "./services/coordinator.ts";
import { createDoubtCure } from "./services/doubt-cure.ts";
import { createDoubts } from "./services/doubts.ts";
import { createElasticity, type Elasticity } from "./services/elasticity.ts";
import { createExporter, type Exporter } from "./services/export.ts";
import { createGossiper } from "./services/gossiper.ts";
import { createGroupCommit } from "./services/group-commit.ts";
import { createHintDelivery } from "./services/hint-delivery.ts";
import { createHints } from "./services/hints.ts";
import { createHorizons } from "./services/horizons.ts";
import type { Identity } from "./services/identity.ts";
import { createKeyVersions } from "./services/key-versions.ts";
import { createKnownActors, rememberingWhoAnswers } from "./services/known-actors.ts";
import { isPastChanging } from "./services/listing.ts";
import { createPeerRequests } from "./services/peer-requests.ts";
import { createRepair, type Repair, type RepairOptions } from "./services/repair.ts";
import { type Collection, createReplica } from "./services/replica.ts";
import { createOwnReplica, createReplicas } from "./services/replicas.ts";
import { createRestorer, type Restorer } from "./services/restore.ts";
import { createRingKeeper } from "./services/ring-keeper.ts";
import { createStatus, type Status } from "./services/status.ts";
import { createTombstones } from "./services/tombstones.ts";
import { TreeLedger } from "./services/tree-ledger.ts";

export type NodeSettings = {
  readonly clusterId: string;
  readonly member: MemberId;
  /** The first ring that the settings describe; undefined for a node that is not among the first members. */
  readonly firstRing: RingDocument | undefined;
  /** `host:port` of peers to ask for the ring. */
  readonly seeds: readonly string[];
  /** How long a client waits when it does not say, in ms. */
  readonly timeoutMs: number;
  readonly gossipIntervalMs: number;
  /** Suspicion (phi) from which a silent member is suspected. */
  readonly phiThreshold: number;
  readonly durability: Durability;
  readonly siblingsMax: number;
  /** Bytes of a key's concurrent values past which a write that adds to them is refused. */
  readonly siblingBytesMax: number;
  readonly contextEntriesMax: number;
  readonly recordCacheBytes: number;
  /** Client requests in work, reads and writes each, that the adaptive limits never pass. */
  readonly inFlightMax: number;
  /** Age at which a hint expires that no quorum counted, in ms. */
  readonly hintWindowMs: number;
  /** Bytes of hints beyond which none is taken. */
  readonly hintBytesMax: number;
  /** What hints, repair and transfer together may take while clients do not suffer. */
  readonly backgroundBytesPerSecond: number;
  /** The least age at which a tombstone is collected, in ms. */
  readonly tombstoneAgeMs: number;
  readonly repair: RepairOptions;
};

export type StorageNode = {
  readonly coordinator: Coordinator;
  readonly status: Status;
  readonly exporter: Exporter;
  readonly restorer: Restorer;
  readonly backupDifference: BackupDifference;
  readonly repair: Repair;
  readonly changes: Changes;
  /** What each home replica of a key holds of it. */
  keyVersions(key: Uint8Array): Promise<KeyVersions>;
  /** How far this node is with what the ring asks of it. */
  progress(): ProgressReply;
  /** Distinct zones of the ring, N, and its epoch; 0 before there is a ring. */
  bounds(): { readonly zoneCount: number; readonly replicationFactor: number; readonly epoch: number };
  start(): Promise<void>;
  /** Finishes what is in flight and marks the stop as clean. The engine stays open: its owner closes it. */
  stop(): Promise<void>;
};

/** Under load, flushes begin this far apart: measured at 16 connections, it takes a tenth off the CPU of a write. */
const COMMIT_INTERVAL_MS = 1;
/** A batch holds at most this much, so that one slow flush does not make thousands wait for the next. */
const COMMIT_BATCH_BYTES_MAX = 1 << 20;
/** Beyond this the node sheds writes rather than keep them all in memory. */
const COMMIT_QUEUE_BYTES_MAX = 32 << 20;

/** What background work keeps however long the clients wait, as a share of what it may take otherwise. */
const BACKGROUND_FLOOR = 1 / 64;

/** Hints that were used last: a key that is written again and again while its home is away. */
const HINT_CACHE_BYTES = 2 << 20;
/** How long a home may take to acknowledge one hint, or to show one record. No client waits for it. */
const HOME_TIMEOUT_MS = 5_000;
/** How long one home may take to list leaves: it reads their records first, on a small budget, ms. */
const LISTING_TIMEOUT_MS = 30_000;

/**
 * After an unclean stop the trees are built by reading everything: not while the node, and perhaps all the others of its
 * machine, are still busy starting to serve.
 */
const TREES_AFTER_MS = 3_000;

/** Of reads and writes each: so many are always taken. Fewer are no queue to speak of, and share flushes and packets. */
const IN_FLIGHT_MIN = 32;
/** Before anything is known of the machine; under a load that it bears the limit is at its ceiling within a second. */
const IN_FLIGHT_START = 128;

/** Where the follower of read latencies begins, and the bounds it keeps to, in ms. */
const HEDGE = { quantile: 0.95, startMs: 20, minMs: 2, maxMs: 1_000 };

/**
 * @param settings Values, read and checked by `config.ts`.
 * @param world Its transport speaks for `identity`.
 * @param identity Who this node is, opened from the same engine.
 */
export function createNode(settings: NodeSettings, world: Ports, identity: Identity): StorageNode {
  const { member, durability, firstRing, seeds } = settings;
  const actors = createKnownActors(world);
  const ports = { ...world, transport: rememberingWhoAnswers(world.transport, actors) };
  const { time, random, engine, transport, telemetry } = ports;
  const commit = createGroupCommit(
    { engine, telemetry, time },
    {
      sync: durability === "disk",
      intervalMs: COMMIT_INTERVAL_MS,
      batchBytesMax: COMMIT_BATCH_BYTES_MAX,
      queueBytesMax: COMMIT_QUEUE_BYTES_MAX,
      // Whoever sent a write waits about so long for it.
      queueMsMax: settings.timeoutMs,
    },
  );
  const limits = {
    siblingsMax: settings.siblingsMax,
    siblingBytesMax: settings.siblingBytesMax,
    contextEntriesMax: settings.contextEntriesMax,
    // Forgetting an entry needs a full comparison of all homes, and nobody makes one yet.
    mayForget: () => false,
  };
  const disk = { engine, commit, identity, time, telemetry };
  const ledger = new TreeLedger();
  const doubts = createDoubts(disk);
  const horizons = createHorizons(disk);
  const collection: Collection = {
    of: horizons.of,
    // What a home lacks that does not hold everything yet says nothing; nor does one that lost a record.
    vouches: (partition) =>
      horizons.isVouched(partition) && completeness.isComplete(partition) && doubts.isSure(partition),
  };
  const stored = { ...disk, doubts, ledger, collection };
  const replica = createReplica(stored, { ...limits, cacheBytes: settings.recordCacheBytes });
  const rings = createRingKeeper({ identity, transport, time, telemetry }, { member, firstRing, seeds });
  const hints = createHints(
    {
      ...{ ...disk, leftover: replica.read },
      targets: () => rings.required().document.members,
      partitions: () => rings.current()?.document.partitions ?? PARTITIONS_MAX,
    },
    { bytesMax: settings.hintBytesMax, cacheBytes: HINT_CACHE_BYTES, countWaitMsMax: settings.timeoutMs, limits },
  );
  const isUp = (name: MemberId): boolean => gossiper.isUp(name);
  const completeness = createCompleteness(member, {
    ...{ identity, isUp, telemetry },
    flush: () => engine.flush(),
    async freshen() {
      // What was let in by an earlier ring may still be stamped in place of a home.
      await admission.settled();
      if (hints.mayHaveStamped()) await identity.renewIncarnation("what it stamped was given up, or is in hints");
    },
  });
  const actorOf = (name: MemberId) => (name === member ? identity.actor : transport.identityOf(name)?.actor);
  const admission = createAdmission(member, rings, identity, (ring) => {
    return isPastChanging(ring, actorOf, elasticity.agreement.barredFrom(ring.epoch + 1));
  });
  /** What background work goes by. A directory whose place another took brings nothing back that was deleted since. */
  const ringOfOwn = (): Ring | undefined => (identity.isSuperseded() ? undefined : rings.current());
  // First of all: what comes after it relies on which writes may still be under way.
  rings.onAdopted(admission.adopt);
  rings.onAdopted(completeness.adopt);
  const own = createOwnReplica({ replica, hints, completeness, doubts, admission });
  const { gossipIntervalMs, phiThreshold } = settings;
  const gossiper = createGossiper(
    {
      transport,
      time,
      random,
      telemetry,
      epoch: () => rings.current()?.epoch ?? 0,
      heardEpoch: (name, epoch) => void rings.catchUp(name, epoch),
    },
    { member, intervalMs: gossipIntervalMs, phiThreshold },
  );
  rings.onAdopted(({ document }) =>
    gossiper.setMembers(
      document.members
        .filter(({ state, isDestroyed }) => state !== "left" && isDestroyed !== true)
        .map(({ name }) => name),
    ),
  );
  const background = settings.backgroundBytesPerSecond;
  const budget = createBudget(
    { time, telemetry },
    { bytesPerSecondMax: background, bytesPerSecondMin: background * BACKGROUND_FLOOR },
  );
  const replicas = createReplicas(member, own, { transport, time, telemetry });
  const repair = createRepair(
    {
      ring: ringOfOwn,
      isUp,
      completeness,
      horizons,
      collection,
      identity,
      doubts,
      adoptedEpoch: admission.adoptedEpoch,
      isCopying: (partition) => elasticity.transfer.isCopying(partition),
      kept: () => elasticity.kept(),
      ledger,
      replica,
      replicas,
      engine,
      commit,
      budget,
      time,
      random,
      telemetry,
    },
    settings.repair,
  );
  const elasticity: Elasticity = createElasticity(member, {
    ...{
      rings,
      identity,
      admission,
      completeness,
      replica,
      replicas,
      repair,
      hints: hints.ledger,
      horizons,
      isUp,
      metActorOf: actors.metActorOf,
      budget,
    },
    ...ports,
  });
  const collector = createCollector({ horizons, replica, budget, ...ports });
  const tombstones = createTombstones(
    {
      ...{ self: member, ring: ringOfOwn, admission, completeness, leftovers: elasticity.leftovers },
      ...{ hints: hints.ledger, identity, horizons, collection, trees: repair.trees, comparer: repair.comparer },
      ...{ replicas, isUp, budget },
      ...ports,
    },
    { floorMs: settings.tombstoneAgeMs },
  );
  const pace = new Pace();
  telemetry.gauge("annulus.read.slow_replicas", () => pace.slowCount);
  telemetry.gauge("annulus.replica.latency", () => pace.medians());
  const { inFlightMax, timeoutMs } = settings;
  const inFlight = {
    min: Math.min(IN_FLIGHT_MIN, inFlightMax),
    start: Math.min(IN_FLIGHT_START, inFlightMax),
    max: inFlightMax,
    timeoutMs,
  };
  const parts = {
    limits: { reads: new AdaptiveLimit(inFlight), writes: new AdaptiveLimit(inFlight) },
    replicas,
    ring: () => rings.required(),
    laterRing: rings.catchUp,
    isUp,
    time,
    random,
    telemetry,
    durability,
    durabilityOf: (name: string) => (name === member ? durability : (transport.identityOf(name)?.durability ?? "os")),
    usualLatency: new QuantileFollower(HEDGE),
    pace,
    served: budget.served,
  };
  const cure = createDoubtCure(
    { doubts, replica, replicas, ring: ringOfOwn, isUp, commit, time, telemetry },
    { timeoutMs: HOME_TIMEOUT_MS, requestTimeoutMs: settings.timeoutMs },
  );
  const delivery = createHintDelivery(
    { hints, replicas, ring: ringOfOwn, isUp, budget, time, telemetry },
    { windowMs: settings.hintWindowMs, timeoutMs: HOME_TIMEOUT_MS },
  );
  const status = createStatus(
    { rings, completeness, membership: gossiper, transport, identity, hints: hints.ledger, repair, time },
    { clusterId: settings.clusterId, member },
  );
  let building: Timer | undefined;
  return {
    coordinator: createCoordinator(parts, { timeoutMs }),
    status,
    repair,
    changes: elasticity.changes,
    progress: elasticity.progress.own,
    exporter: createExporter(parts, { timeoutMs }),
    keyVersions: createKeyVersions(parts, { timeoutMs }),
    backupDifference: createBackupDifference({ ...parts, answerOwn: repair.answer }, { timeoutMs: LISTING_TIMEOUT_MS }),
    restorer: createRestorer({ replicas, ring: parts.ring, collection }, { timeoutMs: HOME_TIMEOUT_MS }),
    bounds() {
      const ring = rings.current();
      const { zoneCount = 0, replicationFactor = 0, epoch = 0 } = ring ?? {};
      return { zoneCount, replicationFactor, epoch };
    },
    async start() {
      await repair.trees.load(identity.wasStoppedCleanly);
      await doubts.open();
      await hints.open();
      await actors.open();
      await horizons.open();
      await elasticity.open();
      const { agreement, progress, sizes } = elasticity;
      await transport.start(
        createPeerRequests({
          own,
          rings,
          admission,
          agreement,
          identity,
          repair,
          gossiper,
          actors,
          completeness,
          progress,
          sizes,
          tombstones,
          time,
          telemetry,
        }),
      );
      gossiper.start();
      await rings.open();
      rings.onAdopted(() => {
        building?.cancel();
        building = time.after(TREES_AFTER_MS, () => repair.trees.own(elasticity.kept()));
      });
      repair.start();
      rings.onAdopted(() => {
        if (completeness.missing() > 0) repair.passNow();
      });
      delivery.start();
      collector.start();
      tombstones.start();
      cure.start();
      elasticity.start();
    },
    async stop() {
      status.drain();
      rings.close();
      building?.cancel();
      repair.close();
      await tombstones.stop();
      await collector.stop();
      await elasticity.stop();
      await cure.stop();
      await delivery.stop();
      await gossiper.leave();
      await transport.stop();
      await commit.close();
      await repair.trees.save();
      await identity.stopClean();
    },
  };
}
