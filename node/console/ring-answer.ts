/** The ring as `GET /v1/ring` answers it, as far as the page shows it, and what follows from it. Pure. */

export type RingAnswer = {
  readonly epoch: number;
  readonly partitions: number;
  readonly n: number;
  readonly r: number;
  readonly w: number;
  readonly mode: string;
  readonly members: readonly {
    readonly name: string;
    readonly zone: string;
    readonly weight: number;
    readonly state: string;
  }[];
  readonly preferenceLists: readonly (readonly string[])[];
  readonly transition?: { readonly phase: string; readonly preferenceLists: readonly (readonly string[])[] };
};

/** For each member the partitions that it is home to, by the place in the preference list. */
export function homesOf(lists: RingAnswer["preferenceLists"]): ReadonlyMap<string, readonly (readonly number[])[]> {
  const homes = new Map<string, number[][]>();
  for (const [partition, list] of lists.entries()) {
    for (const [place, name] of list.entries()) {
      const places = homes.get(name) ?? [];
      homes.set(name, places);
      for (let at = places.length; at <= place; at += 1) places.push([]);
      places[place]?.push(partition);
    }
  }
  return homes;
}

/** How many places each member has in all preference lists together. */
export function homeCounts(lists: RingAnswer["preferenceLists"]): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const list of lists) for (const name of list) counts.set(name, (counts.get(name) ?? 0) + 1);
  return counts;
}

/** Partitions that get a home which they have not, under the change under way. */
export function movingPartitions({ preferenceLists, transition }: RingAnswer): readonly number[] {
  if (transition === undefined) return [];
  return transition.preferenceLists.flatMap((next, partition) => {
    const now = preferenceLists[partition] ?? [];
    return next.every((name) => now.includes(name)) ? [] : [partition];
  });
}

/** What one partition's homes are, and what they are to be, in a sentence. */
export function partitionText({ preferenceLists, transition }: RingAnswer, partition: number): string {
  const now = preferenceLists[partition] ?? [];
  const next = transition?.preferenceLists[partition] ?? now;
  const homes = `Partition ${partition}: ${now.join(", ")}`;
  return next.join() === now.join() ? homes : `${homes}; to be ${next.join(", ")}`;
}
