/**
 * Spreads collection horizons along with anti-entropy, and learns from it where this node may vouch.
 *
 * Beside each root a peer names its horizon by a digest. One that differs is asked for, joined with this node's and stored,
 * before anything of the partition is compared: so whoever gets a partition by a change of the ring, or anew on an empty
 * disk, has its horizon before it is complete. Both sides of a pair do so, and so both end with the join.
 *
 * Whoever is found equal to a replica that vouches for the same horizon holds what that one holds, and vouches too.
 */

import { equalBytes } from "../core/bytes.ts";
import { KvError } from "../core/errors.ts";
import type { MemberId } from "../core/ring/document.ts";
import { isCovered } from "../core/version/collect.ts";
import { decodeHorizon, HorizonMalformedError, NO_HORIZON } from "../core/version/horizon-codec.ts";
import { decodeRecord } from "../core/version/record-codec.ts";
import type { HorizonMark } from "../messages.ts";
import type { Telemetry } from "../ports.ts";
import type { Horizons } from "./horizons.ts";
import type { Identity } from "./identity.ts";
import type { Collection, Replica } from "./replica.ts";
import type { Replicas } from "./replicas.ts";

export type HorizonExchange = {
  /**
   * Takes over the horizons of a peer that this node does not have.
   *
   * @param partitions That both keep, with the peer's marks of them in the same order.
   * @throws {KvError} What the peer, the way to it, or the disk says.
   */
  adoptFrom(peer: MemberId, epoch: number, partitions: readonly number[], marks: readonly HorizonMark[]): Promise<void>;
  /** Whether the partition can be compared: its horizon has been applied to all that is here. */
  isSettled(partition: number): boolean;
  /** To be asked for before the peer is: what this node loses from then on counts. */
  witness(): number;
  /** The partition was found equal to a peer's. */
  foundEqual(partition: number, mark: HorizonMark | undefined, witness: number): Promise<void>;
  /**
   * A peer knows a record to be deleted that is held here: it is dropped where this node is the one that cannot tell. Where
   * both can, one of them is wrong, and nobody knows which: the two stay different, and a person is told.
   */
  covered(peer: MemberId, partition: number, key: Uint8Array, record: Uint8Array): Promise<void>;
};

/** @param timeoutMs For one request. */
export function createHorizonExchange(
  parts: {
    readonly horizons: Horizons;
    readonly collection: Collection;
    readonly identity: Pick<Identity, "incarnation">;
    readonly replica: Replica;
    readonly replicas: Replicas;
    readonly telemetry: Telemetry;
  },
  { timeoutMs }: { readonly timeoutMs: number },
): HorizonExchange {
  const { horizons, collection, identity, replica, replicas, telemetry } = parts;

  function contradicted(peer: MemberId, partition: number, key: Uint8Array): void {
    telemetry.count("annulus.repair.contradictions");
    telemetry.log("error", "repair.contradiction", { peer, partition, key: Buffer.from(key).toString("base64url") });
  }

  return {
    isSettled: horizons.isSettled,
    witness: () => identity.incarnation(),
    async adoptFrom(peer, epoch, partitions, marks) {
      const wanted = partitions.filter((partition, index) => {
        const digest = marks[index]?.digest ?? NO_HORIZON;
        return digest !== NO_HORIZON && digest !== horizons.digest(partition);
      });
      if (wanted.length === 0) return;
      const reply = await replicas.compare(peer, { kind: "horizons", epoch, partitions: wanted }, timeoutMs);
      for (const [index, partition] of wanted.entries()) {
        const bytes = reply.horizons[index];
        if (bytes !== undefined) await horizons.adopt(partition, decoded(peer, bytes));
      }
    },
    async foundEqual(partition, mark, witness) {
      const digest = horizons.digest(partition);
      if (digest === NO_HORIZON || mark?.vouches !== true || mark.digest !== digest) return;
      await horizons.vouch(partition, digest, witness);
    },
    async covered(peer, partition, key, record) {
      const horizon = horizons.of(partition);
      // A horizon that only the peer has, or has further, comes with the next visit.
      if (horizon === undefined || !isCovered(decodeRecord(record), horizon.vector)) return;
      if (collection.vouches(partition)) {
        // What is still to be collected here under this very horizon is no contradiction.
        if (horizons.isSettled(partition)) contradicted(peer, partition, key);
        return;
      }
      await replica.drop(partition, key, (held) => held !== undefined && equalBytes(held, record));
      telemetry.count("annulus.tombstones.dropped");
    },
  };
}

function decoded(peer: MemberId, bytes: Uint8Array) {
  try {
    return decodeHorizon(bytes);
  } catch (cause) {
    if (!(cause instanceof HorizonMalformedError)) throw cause;
    throw new KvError("PEER_UNREACHABLE", `Cannot use a horizon that ${peer} sent: ${cause.message}`, { cause });
  }
}
