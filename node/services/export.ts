/**
 * Reads a whole partition at read quorum, page by page in storage order.
 *
 * R home replicas each send a page of their own records after the same key. Only keys up to the nearest end of those
 * pages are known from all of them, so the merged page ends there; the next one begins behind it. A key that one
 * replica missed is therefore still exported, as a read at R would have shown it.
 */
import { KvError } from "../core/errors.ts";
import { compareStored } from "../core/keyspace.ts";
import { readOrder } from "../core/quorum/targets.ts";
import type { Ring } from "../core/ring/ring.ts";
import { encodeToken } from "../core/version/context-codec.ts";
import { mergeEncoded } from "../core/version/merge-encoded.ts";
import type { Sibling } from "../core/version/record.ts";
import { decodeRecord } from "../core/version/record-codec.ts";
import { viewRecord } from "../core/version/view.ts";
import type { ScannedEntry, ScannedReply } from "../messages.ts";
import type { ReadParts } from "./read.ts";

export type ExportedPair = {
  readonly key: Uint8Array;
  /** As a read shows them; only tombstones when the key is deleted. */
  readonly siblings: readonly Sibling[];
  /** Token of all that is shown. */
  readonly context: string;
};

export type ExportPage = {
  /** In storage order (`compareStored`). Empty only when the partition ends here. */
  readonly entries: readonly ExportedPair[];
  readonly done: boolean;
  readonly epoch: number;
};

/** A page of records as replicas keep them. */
export type RecordPage = {
  /** In storage order (`compareStored`). Empty only when the partition ends here. */
  readonly entries: readonly ScannedEntry[];
  readonly done: boolean;
  readonly epoch: number;
};

export type Exporter = {
  /**
   * @param partition 0 .. partitions − 1.
   * @param after Keys up to and with this one are left out.
   * @param limit Records asked of each replica, 1 .. 1_000.
   * @throws {KvError} INVALID_REQUEST, NOT_READY, QUORUM_UNAVAILABLE, TIMED_OUT.
   */
  page(partition: number, after: Uint8Array | undefined, limit: number): Promise<ExportPage>;
  /**
   * The same keys as records, encoded, with contexts, tombstones and events: for a backup.
   *
   * Merged over max(R, N − W + 1) homes, so that one of them is among any W that acknowledged a write.
   */
  records(partition: number, after: Uint8Array | undefined, limit: number): Promise<RecordPage>;
};

/** @param defaults `timeoutMs`: for one page. */
export function createExporter(
  parts: ReadParts & { readonly ring: () => Ring },
  defaults: { readonly timeoutMs: number },
): Exporter {
  const { replicas, isUp, random, time, pace } = parts;

  /** Pages of so many homes; the next home takes the place of one that fails. */
  async function pages(ring: Ring, { partition, after, limit, required }: Asked) {
    const order = readOrder(ring.homes(partition), { self: replicas.self, isUp, rotation: random.uint32(), pace });
    const request = { kind: "scan", epoch: ring.epoch, partition, after, limit } as const;
    let next = 0;
    let lastError: KvError | undefined;
    const one = async (): Promise<ScannedReply> => {
      for (;;) {
        const member = order[next++];
        if (member === undefined) {
          throw new KvError(
            "QUORUM_UNAVAILABLE",
            `Cannot export partition ${partition}: ${required} home replicas are needed.`,
            {
              details: { required, retryAfterS: 1 },
              cause: lastError,
            },
          );
        }
        try {
          return await replicas.scan(member.name, request, defaults.timeoutMs);
        } catch (error) {
          if (!(error instanceof KvError)) throw error;
          lastError = error;
        }
      }
    };
    return Promise.all(Array.from({ length: required }, one));
  }

  function ringFor(partition: number): Ring {
    const ring = parts.ring();
    if (partition < ring.partitions) return ring;
    throw new KvError("INVALID_REQUEST", `Cannot export partition ${partition}: the ring has ${ring.partitions}.`);
  }

  return {
    async page(partition, after, limit) {
      const ring = ringFor(partition);
      const required = ring.readQuorum;
      const { entries, done } = mergePages(await pages(ring, { partition, after, limit, required }));
      const nowMs = time.wallMs();
      return {
        entries: entries.map(({ key, record }) => {
          const { siblings, context } = viewRecord(decodeRecord(record), nowMs);
          return { key, siblings, context: encodeToken(context, key) };
        }),
        done,
        epoch: ring.epoch,
      };
    },
    async records(partition, after, limit) {
      const ring = ringFor(partition);
      const required = Math.max(ring.readQuorum, ring.replicationFactor - ring.writeQuorum + 1);
      return { ...mergePages(await pages(ring, { partition, after, limit, required })), epoch: ring.epoch };
    },
  };
}

type Asked = {
  readonly partition: number;
  readonly after: Uint8Array | undefined;
  readonly limit: number;
  /** Homes that must have sent their page. */
  readonly required: number;
};

/** Merges pages that begin after the same key, up to the nearest end of those that are not the partition's last. */
export function mergePages(pages: readonly ScannedReply[]): {
  readonly entries: readonly ScannedEntry[];
  readonly done: boolean;
} {
  let upTo: Uint8Array | undefined;
  for (const page of pages) {
    const last = page.entries.at(-1)?.key;
    if (page.done || last === undefined) continue;
    if (upTo === undefined || compareStored(last, upTo) < 0) upTo = last;
  }
  const merged = new Map<string, ScannedEntry>();
  for (const page of pages) {
    for (const entry of page.entries) {
      if (upTo !== undefined && compareStored(entry.key, upTo) > 0) break;
      const name = Buffer.from(entry.key).toString("latin1");
      const record = mergeEncoded(merged.get(name)?.record, entry.record).bytes;
      merged.set(name, { key: entry.key, record });
    }
  }
  const entries = [...merged.values()].sort((a, b) => compareStored(a.key, b.key));
  return { entries, done: pages.every((page) => page.done) };
}
