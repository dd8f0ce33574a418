import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import fc from "fast-check";
import { childrenOf, differingKeys, differingNodes } from "../../../node/core/merkle/difference.ts";
import type { Fingerprint } from "../../../node/core/merkle/fingerprint.ts";
import {
  packLeafKeys,
  packNumbers,
  packRoots,
  unpackLeafKeys,
  unpackNumbers,
  unpackRoots,
} from "../../../node/core/merkle/packed.ts";
import { KEYS_PER_LEAF_MAX, leafBitsFor, MerkleTree, placesOf, STEP_BITS } from "../../../node/core/merkle/tree.ts";

const lane = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
const print: fc.Arbitrary<Fingerprint> = fc.record({ a: lane, b: lane, c: lane, d: lane }, { noNullPrototype: true });
const place = fc.oneof(
  fc.nat({ max: 0xffff_ffff }),
  fc.constantFrom(0, 1, 2 ** 31 - 1, 2 ** 31, 0x0fff_ffff, 0x1000_0000, 0xffff_ffff),
);
const bits = fc.integer({ min: 4, max: 10 });

/** The plain model: a set of records by their place, one at each. */
type Model = ReadonlyMap<number, Fingerprint>;
const records: fc.Arbitrary<Model> = fc.array(fc.tuple(place, print), { maxLength: 60 }).map((pairs) => new Map(pairs));

function treeOf(model: Model, leafBits: number): MerkleTree {
  const tree = new MerkleTree(leafBits);
  for (const [at, record] of model) tree.add(at, record);
  return tree;
}

/** Sums a node of the model by the definition. */
function plainSum(model: Model, depth: number, node: number): Uint8Array {
  const { from, until } = placesOf(depth, node);
  const lanes = [0n, 0n, 0n, 0n];
  for (const [at, { a, b, c, d }] of model) {
    if (at < from || at >= until) continue;
    [a, b, c, d].forEach((value, index) => {
      lanes[index] = BigInt.asUintN(32, (lanes[index] as bigint) + BigInt(value));
    });
  }
  return Uint8Array.from(lanes.flatMap((value) => [24n, 16n, 8n, 0n].map((shift) => Number((value >> shift) & 0xffn))));
}

/** Goes down from the root as two replicas do; gives the leaves that differ at the resolution both have. */
function descend(mine: MerkleTree, theirs: MerkleTree): number[] {
  const common = Math.min(mine.bits, theirs.bits);
  let depth = 0;
  let nodes = differingNodes([0], mine.root(), theirs.root());
  while (depth < common && nodes.length > 0) {
    const step = Math.min(STEP_BITS, common - depth);
    const children = childrenOf(nodes, step);
    depth += step;
    nodes = differingNodes(children, mine.sums(depth, children), theirs.sums(depth, children));
  }
  return nodes;
}

describe("a Merkle tree of a partition", () => {
  it("is, after any sequence of writes, what summing everything anew would give, at every node", () => {
    const writes = fc.array(fc.tuple(place, fc.option(print, { nil: undefined })), { maxLength: 80 });
    fc.assert(
      fc.property(writes, bits, (sequence, leafBits) => {
        const tree = new MerkleTree(leafBits);
        const model = new Map<number, Fingerprint>();
        for (const [at, next] of sequence) {
          const held = model.get(at);
          if (held !== undefined) tree.remove(at, held);
          if (next === undefined) model.delete(at);
          else {
            tree.add(at, next);
            model.set(at, next);
          }
        }
        assert.equal(tree.keys, model.size);
        assert.deepEqual(tree.root(), plainSum(model, 0, 0));
        for (let depth = 0; depth <= leafBits; depth += 2) {
          const nodes = [...new Set([...model.keys()].map((at) => Math.floor(at / 2 ** (32 - depth))))];
          const expected = nodes.map((node) => plainSum(model, depth, node));
          assert.deepEqual(tree.sums(depth, nodes), Uint8Array.from(expected.flatMap((sum) => [...sum])));
        }
      }),
    );
  });

  it("has the same root as another exactly when the sets are the same, whatever the resolutions", () => {
    fc.assert(
      fc.property(records, records, bits, bits, fc.boolean(), (one, other, bitsOne, bitsOther, same) => {
        const second = same ? one : other;
        const isSame = same || (one.size === other.size && [...one].every(([at, record]) => other.get(at) === record));
        assert.equal(descend(treeOf(one, bitsOne), treeOf(second, bitsOther)).length === 0, isSame);
      }),
    );
  });

  it("leads to exactly the leaves that differ", () => {
    const changes = fc.array(fc.tuple(place, print), { maxLength: 8 });
    fc.assert(
      fc.property(records, changes, bits, bits, (model, changed, bitsOne, bitsOther) => {
        const other = new Map([...model, ...changed]);
        const common = Math.min(bitsOne, bitsOther);
        const leaves = changed
          .filter(([at]) => model.get(at) !== other.get(at))
          .map(([at]) => Math.floor(at / 2 ** (32 - common)));
        const expected = [...new Set(leaves)].sort((a, b) => a - b);
        assert.deepEqual(descend(treeOf(model, bitsOne), treeOf(other, bitsOther)), expected);
      }),
    );
  });

  it("folds into what it would have been at the coarser resolution", () => {
    fc.assert(
      fc.property(records, bits, bits, (model, a, b) => {
        const [coarse, fine] = [Math.min(a, b), Math.max(a, b)];
        assert.deepEqual(treeOf(model, fine).folded(coarse).encode(), treeOf(model, coarse).encode());
      }),
    );
  });

  it("takes over some places of another and leaves the rest", () => {
    fc.assert(
      fc.property(records, records, bits, fc.nat({ max: 15 }), (model, truth, leafBits, node) => {
        const tree = treeOf(model, leafBits);
        const places = placesOf(4, node);
        const inside = ([at]: [number, Fingerprint]) => at >= places.from && at < places.until;
        const expected = new Map([...[...model].filter((pair) => !inside(pair)), ...[...truth].filter(inside)]);
        const before = tree.encode();
        const changed = tree.replace(treeOf(truth, leafBits), places);
        assert.deepEqual(tree.encode(), treeOf(expected, leafBits).encode());
        assert.equal(tree.keys, expected.size);
        assert.deepEqual(tree.root(), treeOf(expected, leafBits).root());
        assert.equal(changed === 0, Buffer.compare(before, tree.encode()) === 0);
      }),
    );
  });

  it("comes out of its bytes as it went in, and out of no others", () => {
    fc.assert(
      fc.property(records, bits, fc.uint8Array({ maxLength: 400 }), (model, leafBits, other) => {
        const tree = treeOf(model, leafBits);
        const encoded = tree.encode();
        const decoded = MerkleTree.decode(encoded);
        assert.deepEqual(decoded?.encode(), encoded);
        assert.deepEqual(decoded?.root(), tree.root());
        assert.equal(decoded?.keys, model.size);
        assert.equal(MerkleTree.decode(encoded.subarray(1)) === undefined || encoded[1] === 4, true);
        const fromOther = MerkleTree.decode(other);
        if (fromOther !== undefined) assert.deepEqual(fromOther.encode(), other);
      }),
    );
  });

  it("has as many leaves as its keys need, and says when it has too few", () => {
    for (const keys of [0, 1, 511, 512, 513, 100_000, 4_000_000, 50_000_000]) {
      const leafBits = leafBitsFor(keys);
      assert(leafBits === 16 || keys <= KEYS_PER_LEAF_MAX << leafBits);
      assert(leafBits === 4 || keys > (KEYS_PER_LEAF_MAX / 2) << (leafBits - 1), "no more leaves than are needed");
    }
    const tree = new MerkleTree(4);
    for (let key = 0; key < 16 * KEYS_PER_LEAF_MAX; key++) tree.add(key * 4_000_000, { a: key, b: 1, c: 2, d: 3 });
    assert.equal(tree.isTooFull(), false);
    tree.add(7, { a: 1, b: 1, c: 1, d: 1 });
    assert.equal(tree.isTooFull(), true);
  });
});

describe("the keys of leaves that differ", () => {
  it("are sorted into those that one side misses and those that are not the same", () => {
    const keys = fc.uniqueArray(fc.uint8Array({ minLength: 1, maxLength: 6 }), {
      selector: (key) => Buffer.from(key).toString("hex"),
      maxLength: 12,
    });
    const which = fc.array(fc.constantFrom("here", "there", "same", "unlike"), { minLength: 12, maxLength: 12 });
    fc.assert(
      fc.property(keys, which, (all, kinds) => {
        const one = { a: 1, b: 2, c: 3, d: 4 };
        const other = { a: 1, b: 2, c: 3, d: 5 };
        const of = (...wanted: string[]) => all.filter((_, index) => wanted.includes(kinds[index] as string));
        const mine = of("here", "same", "unlike").map((key) => ({ key, print: one }));
        const unlike = of("unlike");
        const theirs = of("there", "same", "unlike").map((key) => ({ key, print: unlike.includes(key) ? other : one }));
        assert.deepEqual(differingKeys(mine, theirs.reverse()), {
          missingHere: of("there").reverse(),
          missingThere: of("here"),
          unlike: unlike.reverse(),
        });
      }),
    );
  });
});

describe("the lists of a comparison", () => {
  it("come out of their bytes as they went in", () => {
    const key = fc.uint8Array({ minLength: 1, maxLength: 40 });
    const entries = fc.array(fc.record({ key, print }, { noNullPrototype: true }));
    const root = fc.record(
      {
        bits: fc.integer({ min: 4, max: 16 }),
        sum: fc.uint8Array({ minLength: 16, maxLength: 16 }),
        isComplete: fc.boolean(),
      },
      { noNullPrototype: true },
    );
    fc.assert(fc.property(entries, (list) => assert.deepEqual(unpackLeafKeys(packLeafKeys(list)), list)));
    fc.assert(fc.property(fc.array(place), (list) => assert.deepEqual(unpackNumbers(packNumbers(list)), list)));
    fc.assert(
      fc.property(fc.array(fc.option(root, { nil: undefined })), (list) =>
        assert.deepEqual(unpackRoots(packRoots(list)), list),
      ),
    );
  });

  it("are refused, or are some list, whatever the bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 120 }), (bytes) => {
        const entries = unpackLeafKeys(bytes);
        if (entries !== undefined) assert.deepEqual(packLeafKeys(entries), bytes);
        const numbers = unpackNumbers(bytes);
        assert.equal(numbers !== undefined, bytes.length % 4 === 0);
        if (numbers !== undefined) assert.deepEqual(packNumbers(numbers), bytes);
        for (const root of unpackRoots(bytes) ?? []) assert(root === undefined || root.sum.length === 16);
      }),
      { numRuns: 1_000 },
    );
  });
});
