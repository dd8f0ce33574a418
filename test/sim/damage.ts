/** Damage to single records on simulated disks, and how long it goes unnoticed. */
import { equalBytes } from "../../node/core/bytes.ts";
import { dataKey, hintsRange, parseHintKey } from "../../node/core/keyspace.ts";
import type { SimulatedCluster, SimulatedNode } from "./cluster.ts";
import { strike } from "./destruction.ts";
import type { Loss } from "./losses.ts";

const WATCH_MS = 100;

/** Storage keys of what a machine keeps of a key for others. */
export function hintsOf({ disk }: SimulatedNode, key: Uint8Array): readonly Uint8Array[] {
  const hints = disk.entries({ ...hintsRange(), limit: 10_000 });
  return hints.map(({ key: at }) => at).filter((at) => equalBytes(parseHintKey(at).key, key));
}

/**
 * Flips a bit of what a machine's disk holds of a key. The node may serve the record from memory until it reads the disk or
 * writes it anew: so long what is read of it counts as a copy that is lost.
 *
 * @param at Of a hint for the key; its own record when left out.
 * @returns Whether there was anything.
 */
export function rot(
  cluster: SimulatedCluster,
  machine: SimulatedNode,
  key: Uint8Array,
  at = ownPlaceOf(cluster, key),
): boolean {
  const { simulator } = cluster;
  const loss: Loss = {
    kind: "rot",
    member: machine.name,
    key: new TextDecoder().decode(key),
    fromMs: Number.NEGATIVE_INFINITY,
    atMs: simulator.nowMs,
    untilMs: Number.POSITIVE_INFINITY,
  };
  const isDamaged = strike(cluster, machine, {
    destroy: () => machine.disk.flipBit(at),
    lossOf: (struck, isStruck) => (isStruck && struck === loss.key ? loss : undefined),
  });
  if (!isDamaged) return false;
  const damaged = machine.disk.peek(at);
  const isThere = () => {
    const found = machine.disk.peek(at);
    return found !== undefined && damaged !== undefined && equalBytes(found, damaged);
  };
  const watch = () => {
    simulator.after(WATCH_MS, () => {
      if (isThere()) watch();
      else loss.untilMs = simulator.nowMs;
    });
  };
  watch();
  return true;
}

function ownPlaceOf({ ring }: SimulatedCluster, key: Uint8Array): Uint8Array {
  return dataKey(ring.partitionOf(key), key);
}
