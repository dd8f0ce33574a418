/** What destroys records on simulated disks, and how it is noted: of each key what the disk knew before and after. */
import type { SimulatedCluster, SimulatedNode } from "./cluster.ts";
import type { LostValue } from "./disk-contents.ts";
import { clientKeyOf, HELD_NOTHING, holdingsOf, holdingsOfKey } from "./holdings.ts";
import type { Loss } from "./losses.ts";

/**
 * Lets something destroy what lies on a machine's disk.
 *
 * @param destroy Gives what is to be noted of it by itself.
 * @param lossOf What is to be noted of a key that the disk held something of; undefined is nothing.
 */
export function strike<T>(
  cluster: SimulatedCluster,
  machine: SimulatedNode,
  { destroy, lossOf }: { readonly destroy: () => T; readonly lossOf: (key: string, by: T) => Loss | undefined },
): T {
  const { disk } = machine;
  const before = holdingsOf(disk, cluster.onDestroyed);
  const result = destroy();
  const after = holdingsOf(disk);
  for (const [key, held] of before) {
    const loss = lossOf(key, result);
    if (loss === undefined) continue;
    // Where homes change, copies move, and what was left right after says nothing of later.
    if (!cluster.isElastic)
      loss.strike = { before: held, after: after.get(key) ?? HELD_NOTHING, left: holdingsOfKey(cluster, key) };
    cluster.losses.note(loss);
  }
  cluster.onStruck(machine);
  return result;
}

/** Ends what runs on a machine's disk; a loss of power takes the newest values of some storage keys. */
export function endDisk(cluster: SimulatedCluster, machine: SimulatedNode, kind: "process" | "machine"): void {
  const { name: member, disk } = machine;
  // With `disk` nothing that was acknowledged can be among it.
  if (kind === "process" || cluster.options.durability === "disk") {
    disk.crash(kind);
    return;
  }
  // A hint that counted moves to its home after the acknowledgement: what is lost there may be as old as the write.
  const mayHandOn = !cluster.isStrict || cluster.options.requests?.modes === true;
  const atMs = cluster.simulator.nowMs;
  strike(cluster, machine, {
    destroy: () => oldestByKey(disk.crash(kind)),
    lossOf: (key, lost) => {
      const fromMs = lost.get(key);
      if (fromMs === undefined) return undefined;
      cluster.simulator.tell(`${member} lost its newest record of ${key}, from ${fromMs.toFixed(1)} on`);
      return { kind: "power", member, key, fromMs: mayHandOn ? Number.NEGATIVE_INFINITY : fromMs, atMs };
    },
  });
}

/**
 * Puts an empty disk in the place of a machine's. What the loss of power took by itself nobody can see any more.
 *
 * @param end Ends what runs on it.
 */
export function wipeDisk(cluster: SimulatedCluster, machine: SimulatedNode, end: () => void): void {
  const { isElastic, losses, simulator } = cluster;
  const of = { kind: "disk", member: machine.name, fromMs: Number.NEGATIVE_INFINITY, atMs: simulator.nowMs } as const;
  // Where homes change, what a disk held counts by itself, for its copies may have moved there.
  if (isElastic) losses.note({ ...of, key: undefined });
  strike(cluster, machine, {
    destroy: () => {
      end();
      machine.disk.wipe();
    },
    lossOf: (key) => (isElastic ? undefined : { ...of, key }),
  });
}

/** Since when something of a client's key is lost. */
function oldestByKey(lost: readonly LostValue[]): ReadonlyMap<string, number> {
  const oldest = new Map<string, number>();
  for (const { key: stored, fromMs } of lost) {
    const key = clientKeyOf(stored);
    if (key !== undefined) oldest.set(key, Math.min(fromMs, oldest.get(key) ?? fromMs));
  }
  return oldest;
}
