/**
 * The ring of each cluster, as it was last read: of 65536 partitions it is some 3 MB, and each of fifty members would send
 * it at each look. One document is chosen for an epoch and never changes, so that nothing of it can have aged: which
 * epoch it knows each node says itself, at each look.
 */
import type { Cluster } from "../api/kvcluster.ts";
import { Recent } from "../core/recent.ts";
import { clusterId } from "../core/ring-view.ts";
import type { RingDocument } from "../core/world.ts";
import type { Rings, Time } from "../ports.ts";

/** For how long nobody may say that he knows the ring, or a later one, before older ones are believed again: disks were set back. */
const UNHEARD_MS = 90_000;
/** How long the ring of a cluster that is no longer looked at is kept. */
const KEPT_MS = 600_000;

/** For whom the ring itself is of no interest. */
export const NO_RINGS: Rings = { of: async () => undefined };

/** The rings of one cluster. @param id As its nodes call it: what strangers tell is of no use. */
export function createRings(id: string, time: Pick<Time, "monotonicMs">): Rings {
  let known: RingDocument | undefined;
  let heardMs = time.monotonicMs();
  const underWay = new Map<number, Promise<void>>();

  const isKnown = (epoch: number) => known !== undefined && known.epoch >= epoch;
  const keep = (document: RingDocument | undefined) => {
    if (document !== undefined && !isKnown(document.epoch)) known = document;
    return document;
  };
  // By nobody is an older one looked at.
  const ofKnown = (epoch: number) => (known?.epoch === epoch ? known : undefined);

  return {
    async of(ring, read) {
      const { epoch } = ring;
      if (ring.id !== id || epoch === 0) return undefined;
      const nowMs = time.monotonicMs();
      if (isKnown(epoch + 1) && nowMs - heardMs > UNHEARD_MS) known = undefined;
      if (known === undefined || epoch >= known.epoch) heardMs = nowMs;
      if (!isKnown(epoch)) await underWay.get(epoch);
      if (isKnown(epoch)) return ofKnown(epoch);
      const reading = read().then(keep);
      // Of a failure the caller is told. Whoever waits for this reads it himself then.
      const done = () => void underWay.delete(epoch);
      if (!underWay.has(epoch)) underWay.set(epoch, reading.then(done, done));
      return reading;
    },
  };
}

/** The rings of each cluster that is looked at. */
export function createRingsOf(time: Pick<Time, "monotonicMs">): (cluster: Cluster) => Rings {
  const kept = new Recent<Rings>(time, KEPT_MS);
  return (cluster) => {
    const id = clusterId(cluster);
    const key = `${cluster.metadata.uid} ${id}`;
    const known = kept.get(key);
    if (known !== undefined) return known;
    const rings = createRings(id, time);
    kept.set(key, rings);
    return rings;
  };
}
