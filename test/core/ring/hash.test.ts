/** Where keys live. These values are on disks: a change here is a new disk format, never a refactoring. */
import assert from "node:assert/strict";
import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { keyHash, mix32, nameHash, partitionOf, placeOf, tokenOf } from "../../../node/core/ring/hash.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

describe("the hash of a key", () => {
  // Published with the reference implementation and its ports (xxHash, cespare/xxhash, pierrec/xxHash).
  it.each([
    ["", 0xef46db3751d8e999n],
    ["a", 0xd24ec4f1a98c6e5bn],
    ["as", 0x1c330fb2d66be179n],
    ["asd", 0x631c37ce72a97393n],
    ["asdf", 0x415872f599cea71en],
    ["abc", 0x44bc2cf5ad770999n],
    ["xxhash", 0x32dd38952c4bc720n],
    ["Nobody inspects the spammish repetition", 0xfbcea83c8a378bf1n],
    ["Call me Ishmael. Some years ago--never mind how long precisely-", 0x02a2e85470d6fd96n],
  ])("is XXH64 with seed 0: of %j", (text, expected) => {
    expect(keyHash(bytes(text))).toBe(expected);
  });

  it("takes any bytes, and any view of them", () => {
    const long = Uint8Array.from({ length: 1_024 }, (_, index) => index % 256);
    const padded = new Uint8Array(1_030);
    padded.set(long, 3);
    expect(keyHash(padded.subarray(3, 1_027))).toBe(keyHash(long));
    expect(keyHash(Buffer.from(long))).toBe(keyHash(long));
  });
});

describe("the place of a key within its partition", () => {
  it.each([
    ["", 0x02cc5d05],
    ["a", 0x550d7456],
    ["as", 0x9d5a0464],
    ["asd", 0x3d83552b],
    ["asdf", 0x5e702c32],
  ])("is XXH32 with seed 0: of %j", (text, expected) => {
    expect(placeOf(bytes(text))).toBe(expected);
  });
});

describe("the partition of a key", () => {
  it.each([
    ["a", 1, 0],
    ["a", 2, 1],
    ["a", 512, 0xd24e >> 7],
    ["a", 65_536, 0xd24e],
    ["as", 512, 0x1c33 >> 7],
    ["", 4_096, 0xef4],
  ])("is the top bits of its hash: %j of %d is %d", (text, partitions, expected) => {
    expect(partitionOf(bytes(text), partitions)).toBe(expected);
  });

  it("is the one whose hashes begin at its token and end before the next", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 1_024 }), fc.integer({ min: 0, max: 16 }), (key, bits) => {
        const partitions = 2 ** bits;
        const partition = partitionOf(key, partitions);
        const hash = keyHash(key);
        assert(hash >= BigInt(`0x${tokenOf(partition, partitions)}`));
        if (partition + 1 < partitions) assert(hash < BigInt(`0x${tokenOf(partition + 1, partitions)}`));
      }),
      { seed: 1, numRuns: 500 },
    );
  });

  it("holds about as many keys as every other", () => {
    const counts = new Array<number>(64).fill(0);
    for (let index = 0; index < 64_000; index++) {
      const partition = partitionOf(bytes(`user/${index}`), 64);
      counts[partition] = (counts[partition] ?? 0) + 1;
    }
    // 1,000 expected in each, standard deviation 31: five of them either way.
    expect(Math.min(...counts)).toBeGreaterThan(845);
    expect(Math.max(...counts)).toBeLessThan(1_155);
  });
});

describe("a token", () => {
  it("is 16 hex digits, evenly apart", () => {
    expect([0, 1, 2, 3].map((partition) => tokenOf(partition, 4))).toEqual([
      "0000000000000000",
      "4000000000000000",
      "8000000000000000",
      "c000000000000000",
    ]);
    expect(tokenOf(511, 512)).toBe("ff80000000000000");
    expect(tokenOf(0, 1)).toBe("0000000000000000");
  });
});

describe("numbers that planners draw", () => {
  // Nodes of two releases must plan alike: these values are as fixed as the hash.
  it("never change", () => {
    expect(nameHash("kv-0")).toBe(Number(keyHash(bytes("kv-0")) % 2n ** 32n));
    expect([mix32(0, 0), mix32(1, 2), mix32(0xffff_ffff, 65_535)]).toEqual([2_462_723_854, 697_614_773, 575_640_126]);
  });
});
