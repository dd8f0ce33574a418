/**
 * What must hold at every moment of a run, looked at once a virtual second: nothing on a disk or in a node's memory
 * outgrows its bound, and no record names a dot that nobody can have given out.
 */
import assert from "node:assert/strict";
import { hintsRange } from "../../node/core/keyspace.ts";
import type { KvRecord } from "../../node/core/version/record.ts";
import type { SimulatedCluster, SimulatedNode } from "./cluster.ts";
import { recordIn } from "./disk-records.ts";
import { ownPlaceOf } from "./places.ts";

const INTERVAL_MS = 1_000;

/** How much there is to do: what nodes measure of themselves is bounded by that. */
export type Load = {
  readonly keys: readonly Uint8Array[];
  readonly clients: number;
  /** Bytes of the largest record or hint that was ever to be stored, and so of the largest value and all that stood beside it. */
  readonly largestBytes: () => number;
};

/** Looks at everything once a virtual second until the run ends. */
export function watchBounds(cluster: SimulatedCluster, load: Load): void {
  const look = () => {
    try {
      checkBounds(cluster, load);
    } catch (error) {
      cluster.bug ??= error;
      return;
    }
    cluster.simulator.after(INTERVAL_MS, look);
  };
  cluster.simulator.after(INTERVAL_MS, look);
}

/** @throws {AssertionError} A bound is passed. */
export function checkBounds(cluster: SimulatedCluster, load: Load): void {
  const places = load.keys.map((key) => {
    const name = new TextDecoder().decode(key);
    return { name, own: ownPlaceOf(cluster, name) };
  });
  for (const machine of cluster.nodes) {
    checkHints(cluster, machine);
    checkGauges(cluster, machine, load);
    for (const { name, own } of places) {
      const record = recordIn(machine.disk.peek(own));
      if (record !== undefined) checkRecord(cluster, `${name} at ${machine.name}`, record);
    }
  }
}

/** What may lie on a machine's disk since its last boot; see `budgetOf`. */
const allowances = new WeakMap<SimulatedNode, { readonly bootId: string; readonly bytes: number }>();

/**
 * A loss of power may take removals of hints from a log that is full, and leave younger hints in the next one, which was synced: then
 * more hints come back than the budget allows. They may become fewer, and no more.
 */
function budgetOf(machine: SimulatedNode, bytes: number, bytesMax: number): number {
  const { bootId } = machine;
  const before = allowances.get(machine);
  const allowed = before?.bootId === bootId ? before.bytes : before === undefined ? bytesMax : bytes;
  allowances.set(machine, { bootId, bytes: Math.max(bytesMax, Math.min(allowed, bytes)) });
  return Math.max(bytesMax, allowed);
}

/** No more hints than the budget allows, whoever they are for, and the node's own count agrees with its disk. */
function checkHints({ options, gauges }: SimulatedCluster, machine: SimulatedNode): void {
  const { name, disk, node } = machine;
  const waiting = disk.entries({ ...hintsRange(), limit: 10_000 });
  const bytes = waiting.reduce((sum, { key, value }) => sum + key.length + value.length, 0);
  const bytesMax = budgetOf(machine, bytes, options.hintBytesMax ?? Number.POSITIVE_INFINITY);
  assert(bytes <= bytesMax, `the hints of ${name} keep to their budget of ${bytesMax} bytes: ${bytes}`);
  if (node === undefined) return;
  const counted = gauges.get(`${name} annulus.hints.bytes`)?.() ?? 0;
  assert(counted >= 0 && counted <= bytesMax, `${name} counts hints of 0 to ${bytesMax} bytes: ${counted}`);
}

/**
 * What is under way at a node follows from what clients may ask for at once. A client waits for one answer, and what it gave up may
 * go on for as long again: two operations, each of which reaches a node as a record, or as hints for the other homes.
 * Background work has each key under way twice at most, as a record and as a hint, and asks each peer for a few things.
 */
function checkGauges(
  { gauges, options, living }: SimulatedCluster,
  { name, node }: SimulatedNode,
  { keys, clients, largestBytes }: Load,
): void {
  if (node === undefined) return;
  const records = 2 * clients * options.replicationFactor + 2 * keys.length;
  const most: Readonly<Record<string, number>> = {
    "annulus.transport.in_flight_requests": 4 * clients * options.replicationFactor + 8 * living.length,
    "annulus.transport.outgoing_bytes": records * largestBytes(),
    "annulus.commit.queued_bytes": records * largestBytes(),
  };
  for (const [gauge, bound] of Object.entries(most)) {
    const found = gauges.get(`${name} ${gauge}`)?.() ?? 0;
    assert(found <= bound, `${gauge} of ${name} is at most ${bound} with so many clients and keys: ${found}`);
  }
}

/** No member stamped under an incarnation that it has not reached. How much one stamp leaves in a record: stamp-bounds.ts. */
function checkRecord({ incarnations }: SimulatedCluster, where: string, { context }: KvRecord): void {
  for (const { actor, incarnation, counter } of [...context.vector, ...context.dots]) {
    const reached = incarnations.get(actor)?.();
    assert(
      reached !== undefined && incarnation <= reached,
      `${where} names dot ${actor}.${incarnation}:${counter}, and that member's incarnation is ${reached}`,
    );
  }
}

/** Once all is quiet and everybody is up: nothing waits anywhere. */
export function checkIdle({ living: nodes, gauges }: SimulatedCluster): void {
  for (const { name, disk } of nodes) {
    const hints = disk.entries({ ...hintsRange(), limit: 10_000 });
    assert.equal(hints.length, 0, `${name} has delivered all its hints`);
    for (const gauge of [
      "annulus.coordinator.reads_in_flight",
      "annulus.coordinator.writes_in_flight",
      "annulus.hints.bytes",
      "annulus.hints.waiting",
      "annulus.members.down",
      "annulus.rebuild.partitions_missing",
      "annulus.store.doubtful_keys",
    ])
      assert.equal(gauges.get(`${name} ${gauge}`)?.() ?? 0, 0, `${gauge} of ${name} is 0 when all is quiet`);
  }
}
