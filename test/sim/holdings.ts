/** What simulated disks hold of keys, as the contexts of their records: for whoever asks what a loss has destroyed. */
import { dataKey, hintsRange, parseHintKey, parsePartitionedKey, wholeRange } from "../../node/core/keyspace.ts";
import { contextDescends, EMPTY_CONTEXT } from "../../node/core/version/context.ts";
import type { CausalContext, KvRecord } from "../../node/core/version/record.ts";
import type { SimulatedCluster } from "./cluster.ts";
import { horizonIn } from "./collected.ts";
import type { SimulatedDisk } from "./disk.ts";
import { hintIn, type KeptHint, recordIn } from "./disk-records.ts";
import { type Place, placesOf } from "./places.ts";

/** What is known by a hint, and whether a quorum counted it: else it may be given up. */
export type HeldHint = { readonly context: CausalContext; readonly isCounted: boolean };

/** What one disk knows of a key: by the record of its own, and by each hint, by the member that it is for. */
export type Holding = {
  readonly own: CausalContext;
  readonly hints: ReadonlyMap<string, HeldHint>;
  /** Of the key's partition: answers for what was deleted and forgotten. Not looked at of a disk that is struck. */
  readonly horizon: CausalContext;
};

export const HELD_NOTHING: Holding = { own: EMPTY_CONTEXT, hints: new Map(), horizon: EMPTY_CONTEXT };
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
    const hint = isHint ? hintIn(value) : undefined;
    const record = isHint ? hint?.record : recordIn(value);
    if (record === undefined) continue;
    observe(key, record);
    const before = held.get(key) ?? HELD_NOTHING;
    held.set(
      key,
      hint === undefined
        ? { ...before, own: record.context }
        : { ...before, hints: new Map(before.hints).set(parseHintKey(stored).target, heldBy(hint)) },
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
    const hints = new Map<string, HeldHint>();
    for (const { home, hint: hintAt } of places) {
      const hint = hintIn(disk.peek(hintAt));
      if (hint !== undefined) hints.set(home, heldBy(hint));
    }
    const horizon = at === undefined ? EMPTY_CONTEXT : horizonIn(disk.peek((places[0] as Place).horizon));
    return { own, hints, horizon };
  });
}

/** Whether some disk holds a record or hint of a key that knows all of a context. */
export function isHeld(cluster: SimulatedCluster, key: string, context: CausalContext): boolean {
  const knows = (known: CausalContext) => contextDescends(known, context);
  return holdingsOfKey(cluster, key).some(
    ({ own, hints }) => knows(own) || [...hints.values()].some(({ context: held }) => knows(held)),
  );
}

function heldBy({ record, isCounted }: KeptHint): HeldHint {
  return { context: record.context, isCounted };
}

/** The client's key of a record or hint on a disk; undefined for what is neither. */
export function clientKeyOf(stored: Uint8Array): string | undefined {
  if (stored[0] === HINT_SPACE) return new TextDecoder().decode(parseHintKey(stored).key);
  return stored[0] === DATA_SPACE ? new TextDecoder().decode(parsePartitionedKey(stored).key) : undefined;
}
