/**
 * All that changes the ring and follows its changes, wired together.
 *
 *     asked for ── changes ──► agreement ──► ring document ──► transfer (gains) ── leftovers (losses)
 *                                  ▲                                  │
 *                                  └────────── driver ◄── progress ◄──┘
 */
import type { MemberId } from "../core/ring/document.ts";
import type { Engine, Random, Telemetry, Time, Transport } from "../ports.ts";
import type { Admission } from "./admission.ts";
import { type Agreement, createAgreement } from "./agreement.ts";
import type { Budget } from "./budget.ts";
import { type Changes, createChanges } from "./changes.ts";
import type { Completeness } from "./completeness.ts";
import { createDriver } from "./driver.ts";
import type { HintLedger } from "./hint-ledger.ts";
import type { Horizons } from "./horizons.ts";
import type { Identity } from "./identity.ts";
import { createLeftovers, type Leftovers } from "./leftovers.ts";
import { createPartitionSizes, type PartitionSizes } from "./partition-sizes.ts";
import { createPeerDisks } from "./peer-disks.ts";
import { createProgress, type Progress } from "./progress.ts";
import type { Repair } from "./repair.ts";
import type { Replica } from "./replica.ts";
import type { Replicas } from "./replicas.ts";
import type { RingKeeper } from "./ring-keeper.ts";
import { createTransfer, type Transfer } from "./transfer.ts";

export type Elasticity = {
  readonly agreement: Agreement;
  readonly changes: Changes;
  readonly progress: Progress;
  readonly sizes: PartitionSizes;
  readonly transfer: Transfer;
  readonly leftovers: Leftovers;
  /** The partitions that this node keeps, and so needs trees of: its own, and those that it has still to give up. */
  kept(): readonly number[];
  /** Reads what must be known before a ring is adopted. */
  open(): Promise<void>;
  /** Begins to drive, to copy and to give up. */
  start(): void;
  /** Resolves when nothing is under way any more. */
  stop(): Promise<void>;
};

/** How long a page of a partition, or a record of it, may take. */
const TIMEOUT_MS = 10_000;
/** How long a member may take to make durable what it was sent. */
const FLUSH_TIMEOUT_MS = 30_000;

/** @param self This node's name. */
export function createElasticity(
  self: MemberId,
  parts: {
    readonly rings: RingKeeper;
    readonly identity: Identity;
    readonly admission: Admission;
    readonly completeness: Completeness;
    readonly replica: Replica;
    readonly replicas: Replicas;
    readonly repair: Repair;
    readonly hints: HintLedger;
    readonly horizons: Horizons;
    readonly isUp: (member: MemberId) => boolean;
    readonly metActorOf: (member: MemberId) => string | undefined;
    readonly budget: Budget;
    readonly engine: Engine;
    readonly transport: Transport;
    readonly time: Time;
    readonly random: Random;
    readonly telemetry: Telemetry;
  },
): Elasticity {
  const { rings, repair } = parts;
  const agreement = createAgreement(parts, { member: self });
  const sizes = createPartitionSizes({ ...parts, trees: repair.trees });
  const transfer = createTransfer({ ...parts, self, copied: repair.passNow }, { timeoutMs: TIMEOUT_MS });
  const leftovers: Leftovers = createLeftovers({
    ...parts,
    self,
    comparer: repair.comparer,
    disks: createPeerDisks(parts.transport, { timeoutMs: FLUSH_TIMEOUT_MS }),
    keepTrees: () => repair.trees.own(kept()),
  });
  const kept = () => [...(rings.current()?.partitionsOf(self) ?? []), ...leftovers.partitions()];
  const progress = createProgress(self, { ...parts, transfer, leftovers });
  const driver = createDriver({ ...parts, self, agreement, progress });
  const changes = createChanges({ ...parts, self, agreement, driver, progress, sizes });
  return {
    agreement,
    changes,
    progress,
    sizes,
    transfer,
    leftovers,
    kept,
    async open() {
      await agreement.open();
      await transfer.open();
      rings.onAdopted(transfer.adopt);
      rings.onAdopted(leftovers.adopt);
    },
    start() {
      leftovers.start();
      driver.start();
    },
    async stop() {
      agreement.close();
      await driver.stop();
      await Promise.all([transfer.stop(), leftovers.stop()]);
    },
  };
}
