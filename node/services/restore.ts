/**
 * Merges records of a backup into the living cluster: never over what is there, and never back what was deleted since.
 *
 * A tombstone may have been collected since the backup. Only a home that *vouches* for the partition's horizon
 * (horizons.ts), is complete and lost no record can tell a record that it lost from one that was deleted, so each record is judged by this node's own copy first:
 *
 *     not home, not complete, or does not vouch ── unjudged: another node is to be asked
 *     merged here ── forgotten: outdated, goes nowhere else
 *                 └─ kept: what this node holds now, tombstones beside it, goes to the other homes until W have it
 *
 * A home that misses it gets it by anti-entropy. Contexts and dots stay what they were: actors are random for each data
 * directory, so that dots of another cluster are never this one's, and those of this one name the same write.
 */
import { KvError } from "../core/errors.ts";
import { bitOf, type WriteTally, writeTallyOf } from "../core/quorum/write-tally.ts";
import type { Ring } from "../core/ring/ring.ts";
import type { ScannedEntry } from "../messages.ts";
import type { Collection } from "./replica.ts";
import type { Replicas } from "./replicas.ts";

export type RestoreOutcome = {
  /** Records that W homes hold now. */
  readonly merged: number;
  /** Records left out: deleted or replaced since. */
  readonly outdated: number;
  /** Places in the batch of those that this node cannot judge. */
  readonly unjudged: readonly number[];
};

export type Restorer = {
  /**
   * Repeating it, whole or in part, changes nothing.
   *
   * @throws {KvError} NOT_READY; INVALID_REQUEST: no records; QUORUM_UNAVAILABLE: fewer than W homes hold one, though some
   *   may; what the store of this node throws.
   */
  restore(entries: readonly ScannedEntry[]): Promise<RestoreOutcome>;
};

/** Records of a batch at once: group commit makes them durable together. */
const AT_ONCE = 16;

type Verdict = "merged" | "outdated" | "unjudged";

/** @param options `timeoutMs`: for the reply of one home. */
export function createRestorer(
  parts: {
    readonly replicas: Replicas;
    readonly ring: () => Ring;
    readonly collection: Pick<Collection, "of" | "vouches">;
  },
  { timeoutMs }: { readonly timeoutMs: number },
): Restorer {
  const { replicas, collection } = parts;
  const { self } = replicas;

  async function one(ring: Ring, { key, record }: ScannedEntry): Promise<Verdict> {
    const partition = ring.partitionOf(key);
    const { epoch } = ring;
    const isJudge = ring.homes(partition).some(({ name }) => name === self) && ring.isWriter(self, partition);
    const knowsDeleted = () => collection.of(partition) === undefined || collection.vouches(partition);
    if (!isJudge || !knowsDeleted()) return "unjudged";
    const read = () => replicas.read(self, partition, { kind: "read", epoch, key }, timeoutMs);
    try {
      await read();
    } catch (error) {
      // Not complete, or in doubt about this key: its own copy says nothing of what is missing.
      if (error instanceof KvError) return "unjudged";
      throw error;
    }
    await replicas.merge(self, partition, { kind: "merge", epoch, key, record }, timeoutMs);
    const held = await read();
    // It lost something meanwhile, and may have taken what was deleted: that goes no further from here.
    if (!knowsDeleted()) return "unjudged";
    if (held === undefined) return "outdated";
    await spread(ring, { key, record: held });
    return "merged";
  }

  /** Resolves once W homes of each write set hold the record; rejects once they cannot. */
  function spread(ring: Ring, { key, record }: ScannedEntry): Promise<void> {
    const { epoch } = ring;
    const partition = ring.partitionOf(key);
    const writers = ring.writers(partition);
    const tally = writeTallyOf({ acks: ring.writeQuorum, zones: 1 }, writers, ring.writeSets(partition));
    for (const writer of writers) tally.ask(bitOf(writers, writer));
    return new Promise((resolve, reject) => {
      const decide = () => {
        const verdict = tally.verdict();
        if (verdict === "won") resolve();
        if (verdict === "lost") reject(shortfall(tally));
      };
      const request = { kind: "merge", epoch, key, record } as const;
      for (const writer of writers) {
        const merging =
          writer.name === self ? Promise.resolve() : replicas.merge(writer.name, partition, request, timeoutMs);
        merging.then(
          () => {
            tally.acked(bitOf(writers, writer), writer.zone);
            decide();
          },
          (error: unknown) => {
            if (!(error instanceof KvError)) return reject(error);
            tally.failed(bitOf(writers, writer), error.outcome);
            decide();
          },
        );
      }
    });
  }

  return {
    async restore(entries) {
      const ring = parts.ring();
      const verdicts: Verdict[] = [];
      for (let next = 0; next < entries.length; next += AT_ONCE) {
        verdicts.push(...(await Promise.all(entries.slice(next, next + AT_ONCE).map((entry) => one(ring, entry)))));
      }
      const count = (wanted: Verdict) => verdicts.filter((verdict) => verdict === wanted).length;
      const unjudged = verdicts.flatMap((verdict, place) => (verdict === "unjudged" ? [place] : []));
      return { merged: count("merged"), outdated: count("outdated"), unjudged };
    },
  };
}

function shortfall({ weakest: { acks, required } }: WriteTally): KvError {
  return new KvError("QUORUM_UNAVAILABLE", `Cannot restore: ${acks} of ${required} home replicas hold a record.`, {
    outcome: "unknown",
    details: { required, acknowledged: acks, retryAfterS: 1 },
  });
}
