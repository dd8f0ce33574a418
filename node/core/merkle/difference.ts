/**
 * Comparing what two replicas say of the same nodes, and of the keys of the same leaf.
 */
import { equalBytes } from "../bytes.ts";
import { equalFingerprints, type Fingerprint } from "./fingerprint.ts";
import { SUM_BYTES } from "./tree.ts";

/** A key of a leaf with the fingerprint of its record. */
export type LeafKey = { readonly key: Uint8Array; readonly print: Fingerprint };

/** The nodes under `nodes`, `step` levels further down, in order. */
export function childrenOf(nodes: readonly number[], step: number): number[] {
  const children: number[] = [];
  for (const node of nodes) for (let child = 0; child < 2 ** step; child++) children.push(node * 2 ** step + child);
  return children;
}

/**
 * Those of `nodes` whose sums are not the same.
 *
 * @param mine One sum for each node, as `MerkleTree.sums` gives them.
 * @param theirs As many of the other replica.
 */
export function differingNodes(nodes: readonly number[], mine: Uint8Array, theirs: Uint8Array): number[] {
  return nodes.filter((_, index) => {
    const [from, until] = [index * SUM_BYTES, (index + 1) * SUM_BYTES];
    return !equalBytes(mine.subarray(from, until), theirs.subarray(from, until));
  });
}

/** What has to be done to make two replicas one, key by key. */
export type KeyDifferences = {
  /** Held there only. */
  readonly missingHere: readonly Uint8Array[];
  /** Held here only. */
  readonly missingThere: readonly Uint8Array[];
  /** Held on both sides, not the same. */
  readonly unlike: readonly Uint8Array[];
};

/** @param mine,theirs Keys of the same leaves, each once, in any order. */
export function differingKeys(mine: readonly LeafKey[], theirs: readonly LeafKey[]): KeyDifferences {
  const held = new Map(mine.map((entry) => [nameOf(entry.key), entry]));
  const missingHere: Uint8Array[] = [];
  const unlike: Uint8Array[] = [];
  for (const { key, print } of theirs) {
    const name = nameOf(key);
    const own = held.get(name);
    if (own === undefined) missingHere.push(key);
    else if (!equalFingerprints(own.print, print)) unlike.push(key);
    held.delete(name);
  }
  return { missingHere, missingThere: [...held.values()].map(({ key }) => key), unlike };
}

/** Keys as map keys: one character a byte. */
function nameOf(key: Uint8Array): string {
  return Buffer.prototype.latin1Slice.call(key, 0, key.length);
}
