/** Records as bytes: exact both ways, and any other byte string is refused with one typed error. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import fc from "fast-check";
import { KvError } from "../../../node/core/errors.ts";
import { checksumOf } from "../../../node/core/version/checksum.ts";
import { mergeEncoded } from "../../../node/core/version/merge-encoded.ts";
import type { KvRecord } from "../../../node/core/version/record.ts";
import {
  decodeRecord,
  encodeRecord,
  RECORD_FORMAT,
  RecordCorruptError,
} from "../../../node/core/version/record-codec.ts";
import { writeUint32 } from "../../../node/core/version/wire.ts";
import { A, B, C, dot, SIBLING, withContext, write } from "./examples.ts";
import { scriptArbitrary, World } from "./world.ts";

const FORMAT_BYTES = 1;
const HEAD_BYTES = 5;

/** Every field in use: expiry, types, tombstone, events of both kinds, a past, events not all seen, isolated dots. */
function fullRecord(): KvRecord {
  let record = write(undefined, dot(A, 2 ** 40), {
    value: "x".repeat(300),
    contentType: "text/plä",
    event: "one",
  }).record;
  const behind = withContext({ vector: [dot(B, 7, 3)], dots: [dot(B, 9, 3), dot(C, 1, 2 ** 31)] });
  record = write(record, dot(A, 2 ** 40 + 1), {
    base: behind,
    event: "two",
    kind: "forward",
    expiresAtMs: 2 ** 53 - 1,
  }).record;
  record = write(record, dot(A, 2 ** 53 - 1), { base: SIBLING, value: undefined, nowMs: 0 }).record;
  return write(record, dot(A, 1, 5), { base: SIBLING, value: "", contentType: "application/octet-stream" }).record;
}

/** Decodes, or fails the test for anything but the one error; gives back whether it was a record. */
function decodes(bytes: Uint8Array): boolean {
  try {
    const record = decodeRecord(bytes);
    assert.equal(Buffer.compare(encodeRecord(record), bytes), 0, "accepted bytes that it would not write");
    return true;
  } catch (error) {
    assert(error instanceof RecordCorruptError, `threw ${error}`);
    return false;
  }
}

/** The bytes with a checksum that fits, so that what is behind the checksum is reached. */
function sealed(bytes: Uint8Array): Uint8Array {
  const copy = Uint8Array.from(bytes);
  if (copy.length < HEAD_BYTES) return copy;
  copy[0] = RECORD_FORMAT;
  writeUint32(copy, FORMAT_BYTES, checksumOf(copy.subarray(HEAD_BYTES), 0));
  return copy;
}

describe("an encoded record", () => {
  it("decodes to what was encoded, with every field in use", () => {
    const record = fullRecord();
    const decoded = decodeRecord(encodeRecord(record));
    assert.deepEqual(decoded, record);
    assert.notDeepEqual(record.eventsSeen, record.context.vector, "the example does not use every field");
  });

  it("is the same bytes for equal records, whatever way they came about", () => {
    fc.assert(
      fc.property(scriptArbitrary(), (script) => {
        const world = new World(script.replicas, Number.POSITIVE_INFINITY);
        world.run(script, () => {});
        for (const { record } of world.past) {
          const bytes = encodeRecord(record);
          assert.deepEqual(decodeRecord(bytes), record);
          assert.equal(Buffer.compare(encodeRecord(structuredClone(record)), bytes), 0);
        }
      }),
      { numRuns: 150 },
    );
  });

  it("gives values back as views into its bytes", () => {
    const bytes = encodeRecord(fullRecord());
    const value = decodeRecord(bytes).siblings[0]?.value;
    assert.equal(value?.buffer, bytes.buffer);
  });

  it("is read the same from the middle of a larger buffer", () => {
    const bytes = encodeRecord(fullRecord());
    const larger = Buffer.concat([Buffer.alloc(3, 255), bytes, Buffer.alloc(9, 255)]);
    assert.deepEqual(decodeRecord(larger.subarray(3, 3 + bytes.length)), fullRecord());
  });
});

describe("bytes that are no record", () => {
  const valid = Uint8Array.from(encodeRecord(fullRecord()));

  it("are refused when any bit of a record is flipped", () => {
    for (let bit = 0; bit < valid.length * 8; bit++) {
      const flipped = valid.slice();
      flipped[bit >>> 3] = (flipped[bit >>> 3] ?? 0) ^ (1 << (bit & 7));
      assert(!decodes(flipped), `bit ${bit} does not count`);
    }
  });

  it("are refused when a record is cut short or has something behind it, also with a checksum that fits", () => {
    for (let size = 0; size < valid.length; size++) {
      assert(!decodes(valid.subarray(0, size)));
      assert(!decodes(sealed(valid.subarray(0, size))));
    }
    assert(!decodes(sealed(Buffer.concat([valid, Buffer.of(0)]))));
  });

  it("never cause another error, nor are accepted unless they are exactly what would be written", () => {
    let accepted = 0;
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 200 }),
        fc.array(fc.tuple(fc.nat(), fc.nat({ max: 255 })), { maxLength: 3 }),
        (random, edits) => {
          decodes(random);
          decodes(sealed(random));
          const edited = valid.slice();
          for (const [at, byte] of edits) edited[at % edited.length] = byte;
          if (decodes(sealed(edited))) accepted += 1;
        },
      ),
      { numRuns: 5_000 },
    );
    assert(accepted > 100, "no edit got past the checksum");
  });

  it("cannot claim more than they hold: huge counts end at once", () => {
    const huge = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f];
    for (let place = 0; place < 6; place++)
      assert(!decodes(sealed(Buffer.from([0, 0, 0, 0, 0, ...new Array(place).fill(0), ...huge]))));
  });

  it("of a newer release are told apart from damage", () => {
    const newer = valid.slice();
    newer[0] = RECORD_FORMAT + 1;
    assert.throws(() => decodeRecord(newer), /newer release/);
    newer[0] = 0;
    assert.throws(() => decodeRecord(newer), /its format is 0/);
  });

  it("are named by where they came from when records are merged", () => {
    const damaged = valid.slice(0, -1);
    const sourceOf = (run: () => unknown): string => {
      try {
        run();
      } catch (error) {
        if (error instanceof RecordCorruptError && error instanceof KvError && error.code === "STORAGE_FAILED")
          return error.source;
        throw error;
      }
      return "nothing";
    };
    assert.equal(
      sourceOf(() => mergeEncoded(damaged, valid)),
      "local",
    );
    assert.equal(
      sourceOf(() => mergeEncoded(valid, damaged)),
      "incoming",
    );
    assert.equal(
      sourceOf(() => mergeEncoded(undefined, damaged)),
      "incoming",
    );
    assert.equal(
      sourceOf(() => decodeRecord(damaged)),
      "record",
    );
  });
});
