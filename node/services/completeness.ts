/**
 * For which partitions this node's own copy may be believed.
 *
 * A directory that was given a ring older than itself took somebody's place: a disk was lost or exchanged, and what it
 * had acknowledged may now be on fewer than W disks. Until this node has merged what N − W + 1 of the other homes of a
 * partition hold, it neither stamps for that partition nor counts towards R: every write that W homes acknowledged is
 * among those, for at most one of its W copies was the lost one. What it is sent it stores all the same, and that counts towards W.
 *
 *   rebuilding ──compared with N − W + 1 other homes, for every partition it is home to──> complete, for good
 *
 * The mark lies on the disk beside the ring (identity.ts) and is taken away once all is merged; a node that restarts
 * before begins anew, at the cost of comparing again what is equal by then. Source: design of the rebuilding member;
 * DeCandia et al. 2007, §4.7 (recovery of a lost replica by Merkle trees).
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
  /** Whether a comparison of the partition with this home is still needed. */
  needs(partition: number, home: MemberId): boolean;
  /** Everything that `home` held of the partition when the comparison began has been merged here. */
  compared(partition: number, home: MemberId): void;
  /** A ring has come into force. */
  adopt(ring: Ring): void;
};

/** @param self This node's name. */
export function createCompleteness(
  self: MemberId,
  parts: { readonly identity: Identity; readonly telemetry: Telemetry },
): Completeness {
  const { identity, telemetry } = parts;
  /** Of each partition that is not complete, the homes it was compared with; undefined when there is none. */
  let incomplete: Map<number, Set<MemberId>> | undefined;
  let neededHomes = 0;
  let isEnding = false;
  telemetry.gauge("annulus.rebuild.partitions_missing", () => incomplete?.size ?? 0);

  /** Once: a node that could not store that it is complete has told nobody, and tries with the next comparison. */
  function end(): void {
    if (isEnding) return;
    isEnding = true;
    identity.endRebuilding().then(
      () => {
        incomplete = undefined;
        telemetry.log("info", "rebuild.complete");
      },
      (error: unknown) => {
        isEnding = false;
        if (!(error instanceof KvError)) throw error;
        telemetry.log("warn", "rebuild.not_stored", { reason: error.message });
      },
    );
  }

  return {
    isComplete: (partition) => incomplete === undefined || !incomplete.has(partition),
    requireComplete(partition) {
      if (incomplete === undefined || !incomplete.has(partition)) return;
      throw new KvError(
        "NOT_READY",
        `Cannot answer for partition ${partition}: ${self} is being rebuilt and may lack what its lost disk held. Ask another home.`,
        { details: { retryAfterS: 1 } },
      );
    },
    missing: () => incomplete?.size ?? 0,
    needs: (partition, home) => incomplete?.get(partition)?.has(home) === false,
    compared(partition, home) {
      if (incomplete === undefined) return;
      const homes = incomplete.get(partition)?.add(home);
      if (homes !== undefined && homes.size >= neededHomes) incomplete.delete(partition);
      if (incomplete.size === 0) end();
    },
    adopt(ring) {
      if (!identity.isRebuilding() || incomplete !== undefined) return;
      const { replicationFactor, writeQuorum } = ring.document;
      // With W = 1 the lost disk may have been the only one: then no number of others makes up for it.
      neededHomes = Math.min(replicationFactor - writeQuorum + 1, replicationFactor - 1);
      incomplete = new Map(ring.partitionsOf(self).map((partition) => [partition, new Set<MemberId>()]));
      telemetry.log("warn", "rebuild.begun", { partitions: incomplete.size, neededHomes });
      if (neededHomes === 0) incomplete.clear();
      if (incomplete.size === 0) end();
    },
  };
}
