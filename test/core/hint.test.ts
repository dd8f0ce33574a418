import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import fc from "fast-check";
import { decodeHint, encodeHint, type Hint, mergeHints } from "../../node/core/hint.ts";
import {
  hintKey,
  hintQuarantineKey,
  hintRange,
  hintsRange,
  parseHintKey,
  wholeRange,
} from "../../node/core/keyspace.ts";
import { mergeRecords } from "../../node/core/version/record.ts";
import { decodeRecord, encodeRecord, RecordCorruptError } from "../../node/core/version/record-codec.ts";
import { stampWrite } from "../../node/core/version/stamp.ts";

/** A record of one blind write of one of a few actors. */
const record = fc
  .tuple(fc.constantFrom("a", "b", "c"), fc.integer({ min: 1, max: 9 }), fc.uint8Array({ maxLength: 20 }))
  .map(([actor, counter, value]) => {
    const stamped = stampWrite({
      record: undefined,
      dot: { actor: actor.repeat(32), incarnation: 1, counter },
      base: { kind: "sibling" },
      content: { value, contentType: "text/plain", expiresAtMs: undefined },
      nowMs: 1_700_000_000_000 + counter,
      limits: { siblingsMax: 50, siblingBytesMax: 1 << 20 },
    });
    return encodeRecord(stamped.record);
  });
const hint: fc.Arbitrary<Hint> = fc.record({
  counted: fc.boolean(),
  stampedHere: fc.boolean(),
  storedAtMs: fc.integer({ min: 0, max: 2 ** 48 - 1 }),
  record,
});
const isRefused = (bytes: Uint8Array) => {
  try {
    decodeHint(bytes);
    return false;
  } catch (error) {
    assert(error instanceof RecordCorruptError, `threw ${error}`);
    return true;
  }
};

describe("a hint", () => {
  it("comes back from its bytes as it went in", () => {
    fc.assert(
      fc.property(hint, (given) => {
        const { record: kept, ...head } = decodeHint(encodeHint(given));
        assert.deepEqual({ ...head, record: Buffer.from(kept) }, { ...given, record: Buffer.from(given.record) });
      }),
    );
  });

  it("takes the nearest time that fits from a clock that shows none", () => {
    const at = (storedAtMs: number) => {
      const [given] = fc.sample(hint, 1);
      return decodeHint(encodeHint({ ...(given as Hint), storedAtMs })).storedAtMs;
    };
    assert.equal(at(-5), 0);
    assert.equal(at(2 ** 60), 2 ** 48 - 1);
    assert.equal(at(17.9), 17);
  });

  it("is refused with any of its bits flipped, and with any bytes that are none, never otherwise than as corrupt", () => {
    fc.assert(
      fc.property(hint, fc.nat(), fc.nat({ max: 7 }), (given, place, bit) => {
        const bytes = Buffer.from(encodeHint(given));
        const at = place % bytes.length;
        bytes[at] = (bytes[at] ?? 0) ^ (1 << bit);
        assert(isRefused(bytes));
      }),
    );
    fc.assert(fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => assert(isRefused(bytes))));
  });

  it("merges with another as their records do; what was counted, or stamped here, stays so", () => {
    fc.assert(
      fc.property(hint, hint, (held, incoming) => {
        const merged = mergeHints(held, incoming);
        const records = mergeRecords(decodeRecord(held.record), decodeRecord(incoming.record));
        assert.deepEqual(Buffer.from(merged.record), Buffer.from(encodeRecord(records)));
        assert.equal(merged.counted, held.counted || incoming.counted);
        assert.equal(merged.stampedHere, held.stampedHere || incoming.stampedHere);
        assert(merged.storedAtMs >= held.storedAtMs);
        assert.equal(mergeHints(merged, incoming), merged, "and has nothing to add when it comes again");
      }),
    );
  });

  it("does not take up what is no record", () => {
    const [given] = fc.sample(hint, 1);
    const broken = { ...(given as Hint), record: Uint8Array.of(1, 2, 3) };
    assert.throws(() => mergeHints(undefined, broken), RecordCorruptError);
    assert.throws(() => mergeHints(given, broken), RecordCorruptError);
  });
});

describe("the key space of hints", () => {
  const place = fc.record(
    {
      partition: fc.integer({ min: 0, max: 65_535 }),
      target: fc.stringMatching(/^[a-z0-9.-]{1,63}$/),
      key: fc.uint8Array({ maxLength: 32 }),
    },
    { noNullPrototype: true },
  );
  const within = ({ from, until }: { from: Uint8Array; until: Uint8Array }, key: Uint8Array) =>
    Buffer.compare(key, from) >= 0 && Buffer.compare(key, until) < 0;

  it("gives back what a storage key was made from", () => {
    fc.assert(fc.property(place, (given) => assert.deepEqual(parseHintKey(hintKey(given)), given)));
  });

  it("holds a hint in the range of its partition and target and of no other, also where names begin alike", () => {
    fc.assert(
      fc.property(place, place, fc.boolean(), (one, other, isPrefix) => {
        const target = isPrefix ? other.target.slice(0, 1) + one.target : other.target;
        const at = hintKey({ ...other, target });
        const isSame = one.partition === other.partition && one.target === target;
        assert.equal(within(hintRange(one.partition, one.target), at), isSame);
        assert(within(hintsRange(), at) && within(wholeRange(), at));
        assert(!within(hintsRange(), hintQuarantineKey(at)) && within(wholeRange(), hintQuarantineKey(at)));
      }),
    );
  });
});
