/** Briefs: sums of them are the first halves of the sums of a tree with the same records, at any resolution. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import fc from "fast-check";
import {
  briefOf,
  briefSums,
  differingLeaves,
  halvesOf,
  leafOf,
  packBriefs,
  unpackBriefs,
} from "../../../node/core/merkle/brief.ts";
import { childrenOf } from "../../../node/core/merkle/difference.ts";
import { MerkleTree } from "../../../node/core/merkle/tree.ts";

const lane = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
const print = fc.record({ a: lane, b: lane, c: lane, d: lane });
const entries = fc.array(fc.record({ place: fc.nat(0xffff_ffff), print }), { maxLength: 50 });

describe("briefs", () => {
  it("sum up as the first halves of a tree's sums, so that a difference shows in its leaf and nowhere else", () => {
    fc.assert(
      fc.property(entries, fc.integer({ min: 4, max: 8 }), fc.nat(0xffff_ffff), print, (held, bits, place, other) => {
        const tree = new MerkleTree(8);
        for (const one of held) tree.add(one.place, one.print);
        const sums = () => halvesOf(tree.sums(bits, childrenOf([0], bits)));
        const mine = briefSums(
          bits,
          held.map((one) => ({ place: one.place, brief: briefOf(one.print) })),
        );
        assert.deepEqual(Buffer.from(mine), Buffer.from(sums()));
        assert.deepEqual(differingLeaves(mine, sums()), []);
        tree.add(place, other);
        const isNothing = other.a === 0 && other.b === 0;
        assert.deepEqual(differingLeaves(mine, sums()), isNothing ? [] : [leafOf(place, bits)]);
      }),
    );
  });

  it("are read as they were packed, and other bytes are no list of them", () => {
    fc.assert(
      fc.property(fc.array(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })), (briefs) =>
        assert.deepEqual(unpackBriefs(packBriefs(briefs)), briefs),
      ),
    );
    assert.equal(unpackBriefs(new Uint8Array(9)), undefined);
    assert.deepEqual(packBriefs([briefOf({ a: -1, b: 1, c: 5, d: 6 })]), Uint8Array.of(255, 255, 255, 255, 0, 0, 0, 1));
  });
});
