/**
 * All that keeps this node's partitions equal to their other homes: trees, comparison, rounds, scrub, wired together.
 *
 *     replica ── each write ──► ledger ──► trees ◄── compare ◄── anti-entropy, round after round
 *                                            ▲
 *                                            └── scrub, slowly
 */
import type { MemberId } from "../core/ring/document.ts";
import type { Ring } from "../core/ring/ring.ts";
import type { RepairReply, RepairRequest } from "../messages.ts";
import type { Engine, Random, Telemetry, Time } from "../ports.ts";
import { createAntiEntropy, type RepairProgress } from "./anti-entropy.ts";
import type { Budget } from "./budget.ts";
import { type Comparer, createComparer } from "./compare.ts";
import type { Completeness } from "./completeness.ts";
import type { Doubts } from "./doubts.ts";
import type { GroupCommit } from "./group-commit.ts";
import { createHorizonExchange } from "./horizon-exchange.ts";
import type { Horizons } from "./horizons.ts";
import type { Identity } from "./identity.ts";
import { answerRepair } from "./repair-answers.ts";
import type { Collection, Replica } from "./replica.ts";
import type { Replicas } from "./replicas.ts";
import { createScrub } from "./scrub.ts";
import type { TreeLedger } from "./tree-ledger.ts";
import { createTrees, type Trees } from "./trees.ts";

export type Repair = {
  readonly trees: Trees;
  readonly comparer: Comparer;
  /** Answers a peer; that this node is home to the partition is the caller's to check. */
  answer(request: RepairRequest): Promise<RepairReply>;
  /** Begins a round over all partitions of this node now, or another one after the round that runs. */
  passNow(): void;
  progress(): RepairProgress;
  /** Begins to build, compare and scrub. */
  start(): void;
  /** Begins nothing any more. */
  close(): void;
};

export type RepairOptions = {
  /** Time between two rounds of anti-entropy. */
  readonly repairIntervalMs: number;
  /** Time that a pass of the scrub over everything takes. */
  readonly scrubIntervalMs: number;
};

/** How long a comparison waits for one reply: the other side may have to read, on a small budget. */
const TIMEOUT_MS = 30_000;

/** @param parts `ledger` is the one that `replica` tells of every write. */
export function createRepair(
  parts: {
    readonly ring: () => Ring | undefined;
    readonly isUp: (member: MemberId) => boolean;
    readonly completeness: Completeness;
    readonly horizons: Horizons;
    readonly collection: Collection;
    readonly identity: Pick<Identity, "incarnation">;
    readonly doubts: Doubts;
    readonly adoptedEpoch: () => number;
    readonly isCopying: (partition: number) => boolean;
    readonly kept: () => readonly number[];
    readonly ledger: TreeLedger;
    readonly replica: Replica;
    readonly replicas: Replicas;
    readonly engine: Engine;
    readonly commit: GroupCommit;
    readonly budget: Budget;
    readonly time: Time;
    readonly random: Random;
    readonly telemetry: Telemetry;
  },
  { repairIntervalMs, scrubIntervalMs }: RepairOptions,
): Repair {
  const trees = createTrees(parts);
  const exchange = createHorizonExchange(parts, { timeoutMs: TIMEOUT_MS });
  const comparer = createComparer(
    { ...parts, trees, readOwn: parts.replica.read, covered: exchange.covered },
    { timeoutMs: TIMEOUT_MS },
  );
  const rounds = createAntiEntropy(
    { ...parts, horizons: exchange, trees, comparer },
    { intervalMs: repairIntervalMs, timeoutMs: TIMEOUT_MS },
  );
  const partitions = () => parts.ring()?.partitionsOf(parts.replicas.self) ?? [];
  const scrub = createScrub({ ...parts, partitions, trees }, { intervalMs: scrubIntervalMs });
  return {
    trees,
    comparer,
    answer: (request) => answerRepair({ ...parts, trees }, request),
    passNow: rounds.passNow,
    progress: rounds.progress,
    start() {
      rounds.start();
      scrub.start();
    },
    close() {
      rounds.close();
      scrub.close();
      trees.close();
    },
  };
}
