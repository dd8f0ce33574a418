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
/**
 * Of what a node measures: each operation of a client has a few requests to peers under way, with records of some hundred
 * bytes, seldom of some ten KiB, and those that were given up stay a moment longer.
 */
const GAUGES_MAX: Readonly<Record<string, number>> = {
  "annulus.transport.in_flight_requests": 200,
  "annulus.transport.outgoing_bytes": 1 << 20,
  "annulus.commit.queued_bytes": 1 << 20,
};

/** Looks at everything once a virtual second until the run ends. */
export function watchBounds(cluster: SimulatedCluster, keys: readonly Uint8Array[]): void {
  const look = () => {
    try {
      checkBounds(cluster, keys);
    } catch (error) {
      cluster.bug ??= error;
      return;
    }
    cluster.simulator.after(INTERVAL_MS, look);
  };
  cluster.simulator.after(INTERVAL_MS, look);
}

/** @throws {AssertionError} A bound is passed. */
export function checkBounds(cluster: SimulatedCluster, keys: readonly Uint8Array[]): void {
  const places = keys.map((key) => {
    const name = new TextDecoder().decode(key);
    return { name, own: ownPlaceOf(cluster, name) };
  });
  for (const machine of cluster.nodes) {
    checkHints(cluster, machine);
    checkGauges(cluster, machine);
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

function checkGauges({ gauges }: SimulatedCluster, { name, node }: SimulatedNode): void {
  if (node === undefined) return;
  for (const [gauge, most] of Object.entries(GAUGES_MAX)) {
    const found = gauges.get(`${name} ${gauge}`)?.() ?? 0;
    assert(found <= most, `${gauge} of ${name} is at most ${most}: ${found}`);
  }
}

/**
 * A vector has an entry for each incarnation that stamped the key, so that there are no more than incarnations; and no
 * member stamped under one that it has not reached. Beside siblings that merges brought together, a key has no more than
 * each incarnation may have let through: one that follows a loss knows nothing of what the one before let in.
 */
function checkRecord({ options, incarnations }: SimulatedCluster, where: string, record: KvRecord): void {
  const { vector, dots } = record.context;
  for (const { actor, incarnation, counter } of [...vector, ...dots]) {
    const reached = incarnations.get(actor)?.();
    assert(
      reached !== undefined && incarnation <= reached,
      `${where} names dot ${actor}.${incarnation}:${counter}, and that member's incarnation is ${reached}`,
    );
  }
  const total = [...incarnations.values()].reduce((sum, reached) => sum + reached(), 0);
  assert(vector.length <= total, `${where} has ${vector.length} entries, with ${total} incarnations in all`);
  const siblingsMax = (options.siblingsMax ?? Number.POSITIVE_INFINITY) * total;
  assert(record.siblings.length <= siblingsMax, `${where} has ${record.siblings.length} values at once`);
}

/** Once all is quiet and everybody is up: nothing waits anywhere. */
export function checkIdle({ living: nodes, gauges }: SimulatedCluster): void {
  for (const { name, disk } of nodes) {
    const hints = disk.entries({ ...hintsRange(), limit: 10_000 });
    assert.equal(hints.length, 0, `${name} has delivered all its hints`);
    for (const gauge of [
      "annulus.hints.bytes",
      "annulus.hints.waiting",
      "annulus.members.down",
      "annulus.rebuild.partitions_missing",
      "annulus.store.doubtful_keys",
    ])
      assert.equal(gauges.get(`${name} ${gauge}`)?.() ?? 0, 0, `${gauge} of ${name} is 0 when all is quiet`);
  }
}
