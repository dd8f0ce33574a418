/** Whether a receipt is true: what it says was acknowledged, or not found, is so on as many disks. */
import assert from "node:assert/strict";
import { equalBytes } from "../../node/core/bytes.ts";
import type { Receipt } from "../../node/core/errors.ts";
import { contextDescends } from "../../node/core/version/context.ts";
import { decodeToken } from "../../node/core/version/context-codec.ts";
import type { CausalContext, KvRecord } from "../../node/core/version/record.ts";
import type { SimulatedCluster } from "./cluster.ts";
import { recordIn, recordInHint } from "./disk-records.ts";
import { ownPlaceOf, placesOf } from "./places.ts";

/** What one disk holds of a write: the write itself, or a record that has seen it. */
type Copy = { readonly zones: ReadonlySet<string>; readonly isHome: boolean; readonly isHint: boolean };

/**
 * Checks the receipt of an acknowledged write.
 *
 * @param answer The token covers the write and nothing that it did not replace.
 * @param write `writeQuorum`, `zones`, `isStrict`: what it asked for. `startedMs`: when it began, for what was lost since may have held it. `observe` is shown each record that
 *   lies on a disk. `name`: its Idempotency-Key;
 *   who holds an event of that name holds the write, even where the token says more: a blind delete that is tried again
 *   reads again, and its token covers what that read saw.
 */
export function checkReceipt(
  cluster: SimulatedCluster,
  key: Uint8Array,
  answer: { readonly context: string; readonly receipt: Receipt },
  write: {
    readonly writeQuorum: number;
    readonly zones: number | undefined;
    readonly isStrict: boolean;
    readonly startedMs: number;
    readonly name: Uint8Array | undefined;
    readonly observe: (record: KvRecord) => void;
  },
): void {
  const { acks, hinted, zones } = answer.receipt;
  const { nowMs } = cluster.simulator;
  const span = { key: new TextDecoder().decode(key), startedMs: write.startedMs, endedMs: nowMs };
  const copies = copiesOf(cluster, span.key, {
    seen: decodeToken(answer.context, key),
    name: write.name,
    observe: write.observe,
  });
  const lost = cluster.losses.disksOf(span).size;
  // A hint that was delivered between its acknowledgement and the answer lies in its home's zone by now.
  const listed = new Set(copies.flatMap((copy) => [...copy.zones]));
  const homes = copies.filter(({ isHome }) => isHome).length;
  const rules: readonly (readonly [holds: boolean, rule: string])[] = [
    [acks >= write.writeQuorum, "a write is acknowledged by as many as it asked for"],
    [zones >= (write.zones ?? 1), "a write is acknowledged from as many zones as it asked for"],
    [hinted <= acks, "a receipt counts hints among its acknowledgements"],
    [copies.length + lost >= acks, "a receipt counts no more than the disks hold"],
    [homes + lost >= acks - hinted, "home replicas hold what they count for"],
    [listed.size + lost >= zones, "the ring lists the copies in the zones"],
    [!write.isStrict || hinted === 0, "no hint counts in strict mode"],
  ];
  for (const [holds, rule] of rules) {
    if (holds) continue;
    const told = `acks=${acks} hinted=${hinted} zones=${zones} of a write that is on [${copies.map(describe)}]`;
    assert.fail(`${rule}: ${nowMs.toFixed(1)} ms, partition ${cluster.ring.partitionOf(key)}: ${told}`);
  }
}

/** The homes of a key whose disk holds no record of it now. */
export function homesWithout(cluster: SimulatedCluster, key: Uint8Array): ReadonlySet<string> {
  const { machines, ring, isElastic } = cluster;
  const partition = ring.partitionOf(key);
  const at = ownPlaceOf(cluster, new TextDecoder().decode(key));
  // Where the ring changes, any machine may be a home.
  const lacking = machines.filter(
    ({ name, disk }) => (isElastic || ring.isHome(name, partition)) && disk.peek(at) === undefined,
  );
  return new Set(lacking.map(({ name }) => name));
}

/**
 * Checks the receipt of a read; of a "not found" that so many home replicas have nothing, for only they can know.
 *
 * @param read `lacking`: the homes that held nothing when it began. Who held a record then and holds none now may have
 *   answered either way: it was collected meanwhile, or went with its disk.
 */
export function checkReadReceipt(
  cluster: SimulatedCluster,
  key: Uint8Array,
  answer: { readonly context: string | undefined; readonly receipt: Receipt },
  read: {
    readonly readQuorum: number;
    readonly zones: number | undefined;
    readonly startedMs: number;
    readonly lacking: ReadonlySet<string>;
  },
): void {
  const { acks, hinted, zones } = answer.receipt;
  const { readQuorum, lacking, startedMs } = read;
  assert(acks >= readQuorum, `a read answers with as many replies as it asked for: acks=${acks} of ${readQuorum}`);
  assert(
    zones >= (read.zones ?? 1),
    `a read is answered from as many zones as it asked for: ${zones} of ${read.zones}`,
  );
  if (answer.context !== undefined) return;
  const span = { key: new TextDecoder().decode(key), startedMs, endedMs: cluster.simulator.nowMs };
  const lost = cluster.losses.disksOf(span).size;
  const silent = new Set([...lacking, ...homesWithout(cluster, key)]);
  assert(
    silent.size + lost >= acks - hinted && hinted === 0,
    `only home replicas that have nothing say "not found": acks=${acks} hinted=${hinted}, and [${[...silent]}] had nothing`,
  );
}

type Written = {
  readonly seen: CausalContext;
  readonly name: Uint8Array | undefined;
  readonly observe: (record: KvRecord) => void;
};

function holds(record: KvRecord, { seen, name, observe }: Written): boolean {
  observe(record);
  if (contextDescends(record.context, seen)) return true;
  return name !== undefined && record.events.some(({ kind, id }) => kind === "client" && equalBytes(id, name));
}

function copiesOf(cluster: SimulatedCluster, key: string, written: Written): Copy[] {
  const places = placesOf(cluster, key);
  const at = ownPlaceOf(cluster, key);
  const copies: Copy[] = [];
  for (const node of cluster.machines) {
    const { disk } = node;
    const own = recordIn(disk.peek(at));
    const isHome = own !== undefined && holds(own, written);
    let isHint = false;
    for (const place of places) {
      const hint = recordInHint(disk.peek(place.hint));
      if (hint !== undefined && holds(hint, written)) isHint = true;
    }
    if (isHome || isHint) copies.push({ zones: cluster.zonesOf(node), isHome, isHint });
  }
  return copies;
}

function describe({ zones, isHome, isHint }: Copy): string {
  return `${[...zones].join("/")}${isHome ? " home" : ""}${isHint ? " hint" : ""}`;
}
