/**
 * Copies the partitions that a change brings to this node: the bulk of them, in storage order, page by page from a present
 * home; what is written meanwhile or differs between homes, anti-entropy finds afterwards, and so it becomes complete
 * (completeness.ts).
 *
 * Pages are paid for from the budget of background work. How far each partition has come lies on the disk, so that
 * a restart goes on from there: records lie in the same order at every home, whoever is asked next. A page that
 * came twice harms nobody, for records merge.
 */
import { KvError } from "../core/errors.ts";
import { metaKey } from "../core/keyspace.ts";
import type { MemberId } from "../core/ring/document.ts";
import type { Ring } from "../core/ring/ring.ts";
import { seal, unseal } from "../core/seal.ts";
import type { Engine, Random, Telemetry, Time, Transport } from "../ports.ts";
import type { Budget } from "./budget.ts";
import type { Completeness } from "./completeness.ts";
import type { Replicas } from "./replicas.ts";

export type TransferFigures = {
  readonly totalPartitions: number;
  /** Copied and compared. */
  readonly movedPartitions: number;
  /** As the homes estimated it when the copying began. */
  readonly totalBytes: number;
  readonly movedBytes: number;
};

export type Transfer = {
  /** Reads how far copying has come before. To be called before a ring is adopted. */
  open(): Promise<void>;
  /** A ring has come into force. */
  adopt(ring: Ring): void;
  /** Whether the bulk of a partition is on its way or still to come. */
  isCopying(partition: number): boolean;
  figures(): TransferFigures;
  /** Resolves when nothing is under way any more. */
  stop(): Promise<void>;
};

/** Where copying stands; keys of `cursors` are partitions, values the last key that came, as hex. */
type Saved = { readonly change: string; readonly copied: readonly number[]; readonly cursors: Record<string, string> };

const NAME = "transfer";
const PAGE_RECORDS = 256;
const PARTITIONS_AT_ONCE = 2;
const RETRY_MS = 500;
const SAVE_MS = 1_000;
const SIZES_TIMEOUT_MS = 10_000;
const NOTHING: TransferFigures = { totalPartitions: 0, movedPartitions: 0, totalBytes: 0, movedBytes: 0 };

/** @param parts `copied`: is told when all has come that anti-entropy need not find. */
export function createTransfer(
  parts: {
    readonly self: MemberId;
    readonly replicas: Replicas;
    readonly transport: Transport;
    readonly completeness: Completeness;
    readonly isUp: (member: MemberId) => boolean;
    readonly copied: () => void;
    readonly budget: Budget;
    readonly engine: Engine;
    readonly time: Time;
    readonly random: Random;
    readonly telemetry: Telemetry;
  },
  { timeoutMs }: { readonly timeoutMs: number },
): Transfer {
  const { self, replicas, completeness, budget, engine, time, random, telemetry } = parts;
  let ring: Ring | undefined;
  let change: string | undefined;
  let gains: readonly number[] = [];
  const copied = new Set<number>();
  const cursors = new Map<number, Uint8Array>();
  let totalBytes = 0;
  let movedBytes = 0;
  let savedMs = Number.NEGATIVE_INFINITY;
  let running: Promise<void> = Promise.resolve();
  let stopped = false;

  const isCurrent = (of: string) => !stopped && change === of && ring?.document.transition?.phase === "prepare";

  async function save(): Promise<void> {
    if (change === undefined) return;
    savedMs = time.monotonicMs();
    const at = [...cursors].map(([partition, key]) => [String(partition), Buffer.from(key).toString("hex")]);
    const saved: Saved = { change, copied: [...copied], cursors: Object.fromEntries(at) };
    const write = { kind: "put", key: metaKey(NAME), value: seal(NAME, JSON.stringify(saved)) } as const;
    try {
      await engine.batch([write], { sync: false });
    } catch (error) {
      // A restart copies some pages twice.
      if (!(error instanceof KvError)) throw error;
      telemetry.log("debug", "transfer.not_saved", { reason: error.message });
    }
  }

  /** Present homes of a partition that can be asked, in random order. */
  function sources(partition: number): MemberId[] {
    const homes = ring?.presentHomes(partition) ?? [];
    const up = homes.map(({ name }) => name).filter((name) => name !== self && parts.isUp(name));
    const from = up.length === 0 ? 0 : random.uint32() % up.length;
    return [...up.slice(from), ...up.slice(0, from)];
  }

  /** One page from one home; gives whether the partition ended with it. */
  async function copyPage(partition: number, source: MemberId): Promise<boolean> {
    const { epoch } = ring as Ring;
    const after = cursors.get(partition);
    const request = { kind: "scan", epoch, partition, after, limit: PAGE_RECORDS } as const;
    const { entries, done } = await replicas.scan(source, request, timeoutMs);
    const merges = entries.map(({ key, record }) =>
      replicas.merge(self, partition, { kind: "merge", epoch, key, record }, timeoutMs),
    );
    await Promise.all(merges);
    const bytes = entries.reduce((sum, { key, record }) => sum + key.length + record.length, 0);
    movedBytes += bytes;
    telemetry.count("annulus.transfer.bytes", bytes);
    const last = entries.at(-1);
    if (last !== undefined) cursors.set(partition, Uint8Array.from(last.key));
    await budget.spend(bytes);
    return done;
  }

  /** Copies a partition, from whoever answers; returns when that has ended, or could not go on. */
  async function copy(of: string, partition: number): Promise<void> {
    for (const source of sources(partition)) {
      try {
        while (isCurrent(of)) {
          if (await copyPage(partition, source)) {
            copied.add(partition);
            cursors.delete(partition);
            return;
          }
          if (time.monotonicMs() - savedMs > SAVE_MS) await save();
        }
        return;
      } catch (error) {
        if (!(error instanceof KvError)) throw error;
        telemetry.count("annulus.transfer.failures");
        telemetry.log("debug", "transfer.source_failed", { partition, source, reason: error.message });
      }
    }
  }

  /** Asks the homes what there is to come. */
  async function estimate(of: string): Promise<void> {
    const asked = new Map<MemberId, number[]>();
    for (const partition of gains) {
      const source = sources(partition)[0];
      if (source !== undefined) asked.set(source, [...(asked.get(source) ?? []), partition]);
    }
    let bytes = 0;
    for (const [source, partitions] of asked) {
      try {
        const reply = await parts.transport.request(source, { kind: "sizes", partitions }, SIZES_TIMEOUT_MS);
        if (reply.kind === "sizes") bytes += reply.bytes.reduce((sum, size) => sum + size, 0);
      } catch (error) {
        if (!(error instanceof KvError)) throw error;
        telemetry.log("debug", "transfer.no_estimate", { source, reason: error.message });
      }
    }
    if (isCurrent(of)) totalBytes = bytes;
  }

  async function run(of: string): Promise<void> {
    if (gains.length > 0) await estimate(of);
    for (;;) {
      const open = gains.filter((partition) => !copied.has(partition));
      if (open.length === 0 || !isCurrent(of)) break;
      const waiting = [...open];
      const worker = async (): Promise<void> => {
        for (let next = waiting.shift(); next !== undefined && isCurrent(of); next = waiting.shift()) {
          await copy(of, next);
        }
      };
      await Promise.all(Array.from({ length: PARTITIONS_AT_ONCE }, worker));
      await save();
      if (isCurrent(of) && gains.some((partition) => !copied.has(partition))) await pause(RETRY_MS);
    }
    if (isCurrent(of)) parts.copied();
  }

  function pause(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      time.after(delayMs, resolve);
    });
  }

  function begin(id: string): void {
    running = running.then(() => (isCurrent(id) ? run(id) : undefined));
    // A broken invariant stops the node.
    running.catch((error: unknown) => {
      throw error;
    });
  }

  return {
    async open() {
      const sealed = await engine.get(metaKey(NAME));
      const text = sealed === undefined ? undefined : unseal(NAME, sealed);
      if (text === undefined) return;
      const saved = JSON.parse(text) as Saved;
      change = saved.change;
      for (const partition of saved.copied) copied.add(partition);
      for (const [partition, key] of Object.entries(saved.cursors)) {
        cursors.set(Number(partition), Buffer.from(key, "hex"));
      }
    },
    adopt(adopted) {
      const isFirst = ring === undefined;
      ring = adopted;
      const { transition } = adopted.document;
      const id = transition?.id;
      if (id === change && !isFirst) return;
      if (id !== change) {
        copied.clear();
        cursors.clear();
        movedBytes = 0;
        totalBytes = 0;
      }
      // Of its own homes that must be made complete too, it has the bulk.
      gains = id === undefined ? [] : adopted.gains(self);
      for (const partition of gains) if (adopted.isPresentHome(self, partition)) copied.add(partition);
      change = id;
      if (id !== undefined && transition?.phase === "prepare") begin(id);
    },
    isCopying: (partition) =>
      change !== undefined && isCurrent(change) && gains.includes(partition) && !copied.has(partition),
    figures() {
      if (change === undefined) return NOTHING;
      const open = completeness.gaining().length;
      return { totalPartitions: gains.length, movedPartitions: gains.length - open, totalBytes, movedBytes };
    },
    async stop() {
      stopped = true;
      await running;
    },
  };
}
