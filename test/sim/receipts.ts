/** Whether a receipt is true: what it says was acknowledged lies on so many disks at the moment of the answer. */
import assert from "node:assert/strict";
import { successor } from "../../node/core/bytes.ts";
import type { Receipt } from "../../node/core/errors.ts";
import { decodeHint } from "../../node/core/hint.ts";
import { dataKey, hintKey } from "../../node/core/keyspace.ts";
import { contextDescends } from "../../node/core/version/context.ts";
import { decodeToken } from "../../node/core/version/context-codec.ts";
import type { CausalContext } from "../../node/core/version/record.ts";
import { decodeRecord } from "../../node/core/version/record-codec.ts";
import type { SimulatedCluster, SimulatedNode } from "./cluster.ts";

/** What one disk holds of a write: the write itself, or a record that has seen it. */
type Copy = { readonly zone: string; readonly isHome: boolean; readonly isHint: boolean };

/**
 * Checks the receipt of an acknowledged write.
 *
 * @param answer The token covers the write and nothing that it did not replace.
 */
export function checkReceipt(
  cluster: SimulatedCluster,
  key: Uint8Array,
  answer: { readonly context: string; readonly receipt: Receipt },
): void {
  const { acks, hinted, zones } = answer.receipt;
  const copies = copiesOf(cluster, key, decodeToken(answer.context, key));
  const told = `${cluster.simulator.nowMs.toFixed(1)} ms, partition ${cluster.ring.partitionOf(key)}: acks=${acks} hinted=${hinted} zones=${zones} of a write that is on [${copies.map(describe)}]`;
  assert(acks >= 1 && hinted <= acks, `a receipt counts hints among its acknowledgements: ${told}`);
  assert(copies.length >= acks, `a receipt counts no more than the disks hold: ${told}`);
  assert(
    copies.filter(({ isHome }) => isHome).length >= acks - hinted,
    `home replicas hold what they count for: ${told}`,
  );
  // A hint that was delivered between its acknowledgement and the answer lies in its home's zone by now.
  assert(new Set(copies.map(({ zone }) => zone)).size >= zones - hinted, `the copies lie in the zones: ${told}`);
  if (cluster.options.mode === "strict") assert.equal(hinted, 0, `no hint counts in strict mode: ${told}`);
}

function copiesOf({ nodes, ring }: SimulatedCluster, key: Uint8Array, written: CausalContext): Copy[] {
  const partition = ring.partitionOf(key);
  const homes = ring.homes(partition);
  const copies: Copy[] = [];
  for (const machine of nodes) {
    const own = valueAt(machine, dataKey(partition, key));
    const isHome = own !== undefined && contextDescends(decodeRecord(own).context, written);
    const isHint = homes.some(({ name }) => {
      const hint = valueAt(machine, hintKey({ partition, target: name, key }));
      return hint !== undefined && contextDescends(decodeRecord(decodeHint(hint).record).context, written);
    });
    if (isHome || isHint) copies.push({ zone: ring.member(machine.name)?.zone ?? "", isHome, isHint });
  }
  return copies;
}

function valueAt({ disk }: SimulatedNode, at: Uint8Array): Uint8Array | undefined {
  return disk.entries({ from: at, until: successor(at), limit: 1 })[0]?.value;
}

function describe({ zone, isHome, isHint }: Copy): string {
  return `${zone}${isHome ? " home" : ""}${isHint ? " hint" : ""}`;
}
