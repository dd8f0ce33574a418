/**
 * Answers what peers ask of this node's replica.
 *
 * A replica serves only partitions that it is home to, but for requests about hints, and those only where it is no home
 * (or where the hint is one more copy that nobody counts): a peer that goes by another ring is told so and asks again.
 */
import { KvError } from "../core/errors.ts";
import type { MemberId } from "../core/ring/document.ts";
import { serializeRing } from "../core/ring/document.ts";
import type { Ring } from "../core/ring/ring.ts";
import type { Reply, Request } from "../messages.ts";
import type { PeerIdentity, RequestHandler, Time } from "../ports.ts";
import type { Completeness } from "./completeness.ts";
import type { Gossiper } from "./gossiper.ts";
import type { KnownActors } from "./known-actors.ts";
import type { Repair } from "./repair.ts";
import type { OwnReplica } from "./replicas.ts";
import type { RingKeeper } from "./ring-keeper.ts";

const MERGED: Reply = { kind: "merged" };

/** @param self This node's name. */
export function createPeerRequests(
  self: MemberId,
  parts: {
    readonly own: OwnReplica;
    readonly rings: RingKeeper;
    readonly repair: Repair;
    readonly gossiper: Gossiper;
    readonly actors: KnownActors;
    readonly completeness: Completeness;
    readonly time: Time;
  },
): RequestHandler {
  const { own, rings, repair, gossiper, actors, completeness, time } = parts;
  function ownPartition(ring: Ring, key: Uint8Array): number {
    const partition = ring.partitionOf(key);
    if (ring.isHome(self, partition)) return partition;
    throw notHome(ring, partition);
  }

  function notHome(ring: Ring, partition: number): KvError {
    return new KvError(
      "STALE_RING",
      `Cannot serve partition ${partition}: ${self} is not its home at epoch ${ring.epoch}.`,
    );
  }

  /** The partition of a key that this node is asked to stand in for. */
  function foreignPartition(ring: Ring, key: Uint8Array, target: MemberId | undefined, counts: boolean): number {
    const partition = ring.partitionOf(key);
    const isKnown = target === undefined || (target !== self && ring.member(target) !== undefined);
    if (isKnown && !(counts && ring.isHome(self, partition))) return partition;
    throw new KvError(
      "STALE_RING",
      `Cannot stand in for ${target ?? "a home"} of partition ${partition}: the ring of epoch ${ring.epoch} says otherwise.`,
    );
  }

  /** A directory that was exchanged itself has forgotten whom it met: the asker may as well have been another. */
  function knowsAnother(from: PeerIdentity): boolean {
    return actors.isAnother(from) || completeness.missing() > 0;
  }

  return async (from, request: Request, budgetMs): Promise<Reply> => {
    // Who asks for the ring is not linked yet, and must not become known by asking.
    if (request.kind !== "ring") actors.note(from);
    switch (request.kind) {
      case "merge": {
        const { key, hint } = request;
        const ring = rings.required();
        const partition =
          hint === undefined ? ownPartition(ring, key) : foreignPartition(ring, key, hint.target, hint.counts);
        await own.merge(partition, request);
        return MERGED;
      }
      case "read": {
        const { key, asStandIn } = request;
        const ring = rings.required();
        const partition = asStandIn === true ? foreignPartition(ring, key, undefined, true) : ownPartition(ring, key);
        return { kind: "record", record: await own.read(partition, request) };
      }
      case "stamp": {
        const deadlineMs = time.monotonicMs() + budgetMs;
        const { key, hintFor } = request;
        const ring = rings.required();
        const partition = hintFor === undefined ? ownPartition(ring, key) : foreignPartition(ring, key, hintFor, true);
        const result = await own.stamp(partition, request, deadlineMs);
        return { kind: "stamped", record: result.record, context: result.context };
      }
      case "scan":
        if (!rings.required().isHome(self, request.partition)) throw notHome(rings.required(), request.partition);
        return own.scan(request);
      case "branches":
      case "leaves":
        if (!rings.required().isHome(self, request.partition)) throw notHome(rings.required(), request.partition);
        return repair.answer(request);
      case "roots":
        return repair.answer(request);
      case "gossip":
        return { kind: "gossiped", news: gossiper.exchange(request.news) };
      case "ring": {
        const ring = rings.current();
        const document = ring === undefined ? undefined : serializeRing(ring.document);
        return { kind: "ring", document, hadRing: rings.hadRing(), knowsAnother: knowsAnother(from) };
      }
    }
  };
}
