/**
 * What was known before its deletion was forgotten: the collection horizons that lie on simulated disks.
 *
 * A record that was collected leaves nothing of itself; the horizon of its partition answers for all that it knew. To a
 * checker who asks whether a write is known, that is as good as the record. Whether what is missing was really deleted, the
 * horizon cannot say: the history does, which demands a deletion for every value that is gone.
 */
import { horizonKey } from "../../node/core/keyspace.ts";
import { unsealBytes } from "../../node/core/seal.ts";
import { EMPTY_CONTEXT, joinContexts } from "../../node/core/version/context.ts";
import { decodeHorizon } from "../../node/core/version/horizon-codec.ts";
import type { CausalContext } from "../../node/core/version/record.ts";
import type { SimulatedCluster } from "./cluster.ts";

/** Before the horizon itself lie two incarnations; see node/services/horizons.ts. */
const HEAD_BYTES = 8;

const decoded = new WeakMap<Uint8Array, CausalContext>();

/** @param stored As `SimulatedDisk.peek` gives it. */
export function horizonIn(stored: Uint8Array | undefined): CausalContext {
  if (stored === undefined) return EMPTY_CONTEXT;
  const known = decoded.get(stored);
  if (known !== undefined) return known;
  const content = unsealBytes("horizon", stored);
  const context =
    content === undefined ? EMPTY_CONTEXT : { vector: decodeHorizon(content.subarray(HEAD_BYTES)).vector, dots: [] };
  decoded.set(stored, context);
  return context;
}

/** What the horizons of a key's partition cover, over all disks. */
export function collectedOf({ ring, nodes }: SimulatedCluster, key: string): CausalContext {
  const at = horizonKey(ring.partitionOf(new TextEncoder().encode(key)));
  return nodes.reduce((known, { disk }) => joinContexts(known, horizonIn(disk.peek(at))), EMPTY_CONTEXT);
}
