/**
 * Answers what peers ask of this node's replica.
 *
 * A replica serves only partitions that it is home to: a peer that goes by another ring is told so and asks again.
 */
import { KvError } from "../core/errors.ts";
import type { MemberId } from "../core/ring/document.ts";
import { serializeRing } from "../core/ring/document.ts";
import type { Ring } from "../core/ring/ring.ts";
import type { Reply, Request } from "../messages.ts";
import type { RequestHandler, Time } from "../ports.ts";
import type { Repair } from "./repair.ts";
import type { Replica } from "./replica.ts";
import type { RingKeeper } from "./ring-keeper.ts";

const MERGED: Reply = { kind: "merged" };

/** @param self This node's name. */
export function createPeerRequests(
  self: MemberId,
  parts: { readonly replica: Replica; readonly rings: RingKeeper; readonly repair: Repair; readonly time: Time },
): RequestHandler {
  const { replica, rings, repair, time } = parts;
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

  return async (_from, request: Request, budgetMs): Promise<Reply> => {
    switch (request.kind) {
      case "merge":
        await replica.merge(ownPartition(rings.required(), request.key), request.key, request.record);
        return MERGED;
      case "read": {
        const record = await replica.read(ownPartition(rings.required(), request.key), request.key);
        return { kind: "record", record };
      }
      case "stamp": {
        const deadlineMs = time.monotonicMs() + budgetMs;
        const result = await replica.stamp(ownPartition(rings.required(), request.key), request, deadlineMs);
        return { kind: "stamped", record: result.record, context: result.context };
      }
      case "scan":
        if (!rings.required().isHome(self, request.partition)) throw notHome(rings.required(), request.partition);
        return replica.scan(request);
      case "branches":
      case "leaves":
        if (!rings.required().isHome(self, request.partition)) throw notHome(rings.required(), request.partition);
        return repair.answer(request);
      case "roots":
        return repair.answer(request);
      case "ring": {
        const ring = rings.current();
        const document = ring === undefined ? undefined : serializeRing(ring.document);
        return { kind: "ring", document, hadRing: rings.hadRing() };
      }
    }
  };
}
