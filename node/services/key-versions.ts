/**
 * What each home replica holds of one key, asked of each by itself: for a person who wants to see where replicas differ.
 *
 * Nothing is merged, repaired or counted. A home answers as it does to any read: one that is being rebuilt refuses.
 */
import { KvError } from "../core/errors.ts";
import type { MemberId } from "../core/ring/document.ts";
import type { Ring } from "../core/ring/ring.ts";
import { checksumOf } from "../core/version/checksum.ts";
import type { HeldVersion, KeyVersions } from "../core/version/key-versions.ts";
import { decodeRecord } from "../core/version/record-codec.ts";
import type { Replicas } from "./replicas.ts";

/** Any seed does, as long as it is the same for all homes. */
const CHECKSUM_SEED = 0;

/**
 * @param parts `ring`: the one in force; throws NOT_READY before there is one.
 * @param options `timeoutMs`: how long one home may take.
 * @returns Asks all homes of a key at once.
 */
export function createKeyVersions(
  { replicas, ring }: { readonly replicas: Pick<Replicas, "read">; readonly ring: () => Ring },
  { timeoutMs }: { readonly timeoutMs: number },
): (key: Uint8Array) => Promise<KeyVersions> {
  return async (key) => {
    const current = ring();
    const { epoch } = current;
    const partition = current.partitionOf(key);
    const ask = async ({ name, zone }: { readonly name: MemberId; readonly zone: string }): Promise<HeldVersion> => {
      try {
        const bytes = await replicas.read(name, partition, { kind: "read", epoch, key }, timeoutMs);
        if (bytes === undefined) return { name, zone, record: undefined, checksum: undefined };
        return { name, zone, record: decodeRecord(bytes), checksum: checksumOf(bytes, CHECKSUM_SEED) };
      } catch (error) {
        if (!(error instanceof KvError)) throw error;
        return { name, zone, error };
      }
    };
    return { epoch, partition, homes: await Promise.all(current.homes(partition).map(ask)) };
  };
}
