/** How the zones share a ring's home replicas: what people are shown and warned of. */
import type { RingDocument, RingMember } from "./document.ts";

export type ZoneFigures = {
  /** Places of home replicas in each zone that has a member in the ring. */
  readonly homes: ReadonlyMap<string, number>;
  /** Partitions two of whose homes share a zone though there are as many zones as homes. */
  readonly crowded: number;
};

/** Counts the present homes of a ring by zone. */
export function zoneFigures(document: RingDocument): ZoneFigures {
  const homes = new Map<string, number>();
  for (const { zone, state, weight } of document.members) if (state !== "left" && weight > 0) homes.set(zone, 0);
  const enough = Math.min(homes.size, document.replicationFactor);
  let crowded = 0;
  for (const list of document.homes) {
    const zones = new Set<string>();
    for (const index of list) {
      const { zone } = document.members[index] as RingMember;
      zones.add(zone);
      homes.set(zone, (homes.get(zone) ?? 0) + 1);
    }
    if (zones.size < enough) crowded += 1;
  }
  return { homes, crowded };
}
