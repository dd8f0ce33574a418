/** What simulated disks hold of keys, as the contexts of their records: for whoever asks what a loss has destroyed. */
import { dataKey, hintsRange, parseHintKey, parsePartitionedKey, wholeRange } from "../../node/core/keyspace.ts";
import { EMPTY_CONTEXT, joinContexts } from "../../node/core/version/context.ts";
import type { CausalContext, KvRecord } from "../../node/core/version/record.ts";
import type { SimulatedCluster } from "./cluster.ts";
import type { SimulatedDisk } from "./disk.ts";
import { recordIn, recordInHint } from "./disk-records.ts";
import { placesOf } from "./places.ts";

/** What one disk knows of a key: by the record of its own, and by each hint, by the member that it is for. */
export type Holding = { readonly own: CausalContext; readonly hints: ReadonlyMap<string, CausalContext> };

export const HELD_NOTHING: Holding = { own: EMPTY_CONTEXT, hints: new Map() };
const HINT_SPACE = hintsRange().from[0];
const DATA_SPACE = dataKey(0, Uint8Array.of(0))[0];
const ENTRIES_MAX = 1_000_000;

/**
 * Of every key of which a disk holds something.
 *
 * @param observe Is shown each record.
 */
export function holdingsOf(
  disk: SimulatedDisk,
  observe: (key: string, record: KvRecord) => void = () => undefined,
): ReadonlyMap<string, Holding> {
  const held = new Map<string, Holding>();
  for (const { key: stored, value } of disk.entries({ ...wholeRange(), limit: ENTRIES_MAX })) {
    const key = clientKeyOf(stored);
    if (key === undefined) continue;
    const isHint = stored[0] === HINT_SPACE;
    const record = isHint ? recordInHint(value) : recordIn(value);
    if (record === undefined) continue;
    observe(key, record);
    const { own, hints } = held.get(key) ?? HELD_NOTHING;
    const { context } = record;
    held.set(
      key,
      isHint ? { own, hints: new Map(hints).set(parseHintKey(stored).target, context) } : { own: context, hints },
    );
  }
  return held;
}

/** What each disk holds of one key now. */
export function holdingsOfKey(cluster: SimulatedCluster, key: string): readonly Holding[] {
  const places = placesOf(cluster, key);
  const at = places[0]?.own;
  return cluster.machines.map(({ disk }) => {
    const own = (at === undefined ? undefined : recordIn(disk.peek(at))?.context) ?? EMPTY_CONTEXT;
    const hints = new Map<string, CausalContext>();
    for (const { home, hint } of places) {
      const record = recordInHint(disk.peek(hint));
      if (record !== undefined) hints.set(home, record.context);
    }
    return { own, hints };
  });
}

/** What all disks together know of a key now. */
export function heldOf(cluster: SimulatedCluster, key: string): CausalContext {
  return holdingsOfKey(cluster, key).reduce(
    (known, { own, hints }) => [...hints.values()].reduce(joinContexts, joinContexts(known, own)),
    EMPTY_CONTEXT,
  );
}

/** The client's key of a record or hint on a disk; undefined for what is neither. */
export function clientKeyOf(stored: Uint8Array): string | undefined {
  if (stored[0] === HINT_SPACE) return new TextDecoder().decode(parseHintKey(stored).key);
  return stored[0] === DATA_SPACE ? new TextDecoder().decode(parsePartitionedKey(stored).key) : undefined;
}
