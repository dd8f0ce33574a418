import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import fc from "fast-check";
import {
  compareStored,
  dataKey,
  horizonKey,
  horizonRange,
  isMetaKey,
  metaKey,
  parseHorizonKey,
  parsePartitionedKey,
  partitionRange,
  placesRange,
  quarantineKey,
  quarantineRange,
  wholeRange,
} from "../../node/core/keyspace.ts";
import { placeOf } from "../../node/core/ring/hash.ts";

const partitions = fc.integer({ min: 0, max: 65_535 });
const keys = fc.uint8Array({ maxLength: 32 });
/** Two keys of one place: they were searched for. */
const COLLIDING = ["key 105450", "key 8715"] as const;
const before = (a: Uint8Array, b: Uint8Array) => Buffer.compare(a, b) < 0;
const within = (range: { from: Uint8Array; until: Uint8Array }, key: Uint8Array) =>
  !before(key, range.from) && before(key, range.until);

describe("the key space of a node", () => {
  it("gives back the partition and the key it was made from", () => {
    fc.assert(
      fc.property(partitions, keys, (partition, key) => {
        assert.deepEqual(parsePartitionedKey(dataKey(partition, key)), { partition, key });
        assert.deepEqual(parsePartitionedKey(quarantineKey(partition, key)), { partition, key });
      }),
    );
  });

  it("keeps the horizon of a partition beside the records, as a value of the node itself", () => {
    fc.assert(
      fc.property(partitions, (partition) => {
        const at = horizonKey(partition);
        assert.equal(parseHorizonKey(at), partition);
        assert(within(horizonRange(), at) && within(wholeRange(), at) && isMetaKey(at));
      }),
    );
  });

  it("orders records by partition first, by the key's place second and by its bytes third", () => {
    fc.assert(
      fc.property(partitions, keys, partitions, keys, (partitionA, keyA, partitionB, keyB) => {
        const expected = partitionA === partitionB ? compareStored(keyA, keyB) : partitionA - partitionB;
        assert.equal(Buffer.compare(dataKey(partitionA, keyA), dataKey(partitionB, keyB)), Math.sign(expected));
      }),
    );
    const [first, second] = COLLIDING.map((text) => Buffer.from(text)) as [Buffer, Buffer];
    assert.equal(placeOf(first), placeOf(second));
    assert(compareStored(first, second) < 0);
    assert(before(dataKey(1, first), dataKey(1, second)));
  });

  it("holds a record in every range of places that its own place lies in, and in no other", () => {
    const places = fc.oneof(fc.nat({ max: 0xffff_ffff }), fc.constantFrom(0, 2 ** 31, 2 ** 32));
    fc.assert(
      fc.property(partitions, keys, places, places, (partition, key, a, b) => {
        const [from, until] = [Math.min(a, b), Math.max(a, b)];
        const place = placeOf(key);
        assert.equal(
          within(placesRange(partition, from, until), dataKey(partition, key)),
          place >= from && place < until,
        );
        assert(within(placesRange(partition, place, place + 1), dataKey(partition, key)));
      }),
    );
    assert.deepEqual(placesRange(65_535, 0, 2 ** 32).until, partitionRange(65_535).until);
  });

  it("holds a record in the range of its own partition and in no other", () => {
    fc.assert(
      fc.property(partitions, keys, partitions, (partition, key, other) => {
        assert.equal(within(partitionRange(other), dataKey(partition, key)), other === partition);
      }),
    );
    assert(within(partitionRange(65_535), dataKey(65_535, new Uint8Array(1_024).fill(0xff))));
  });

  it("keeps the spaces apart", () => {
    const key = Uint8Array.of(0xff, 0xff);
    assert(!within(partitionRange(65_535), quarantineKey(0, new Uint8Array(0))));
    assert(within(quarantineRange(), quarantineKey(65_535, key)));
    assert(!within(quarantineRange(), dataKey(65_535, key)));
    assert(isMetaKey(metaKey("identity")));
    assert(!isMetaKey(dataKey(1, key)) && !isMetaKey(quarantineKey(1, key)));
    for (const stored of [metaKey("identity"), dataKey(3, key), quarantineKey(3, key)]) {
      assert(within(wholeRange(), stored));
    }
  });

  it("refuses a partition that two bytes cannot hold, and a key of another space", () => {
    assert.throws(() => dataKey(65_536, new Uint8Array(1)), /uint16/);
    assert.throws(() => dataKey(-1, new Uint8Array(1)), /uint16/);
    assert.throws(() => metaKey("naïve"), /ASCII/);
    assert.throws(() => parsePartitionedKey(metaKey("identity")), /space/);
  });
});
