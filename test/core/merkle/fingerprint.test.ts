import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import fc from "fast-check";
import { equalFingerprints, fingerprintOf } from "../../../node/core/merkle/fingerprint.ts";
import { type KvRecord, mergeRecords } from "../../../node/core/version/record.ts";
import { decodeRecord, encodeRecord } from "../../../node/core/version/record-codec.ts";
import { A, B, bytes, dot, NOW_MS, SIBLING, write } from "../version/examples.ts";

const key = bytes("key");
const printOf = (record: KvRecord, of = key) => fingerprintOf(of, encodeRecord(record), record);
const same = (a: KvRecord, b: KvRecord) => equalFingerprints(printOf(a), printOf(b));

describe("the fingerprint of a record", () => {
  it("is the same for the same record of the same key, and for no other", () => {
    const value = fc.string({ maxLength: 5 });
    fc.assert(
      fc.property(value, value, fc.nat({ max: 3 }), fc.nat({ max: 3 }), (v1, v2, n1, n2) => {
        const one = write(undefined, dot(A, n1 + 1), { value: v1 }).record;
        const other = write(undefined, dot(A, n2 + 1), { value: v2 }).record;
        assert.equal(same(one, other), v1 === v2 && n1 === n2);
        assert(!equalFingerprints(printOf(one), printOf(one, bytes("kez"))));
      }),
    );
  });

  it("does not depend on how the record came to be: decoded, or merged in another order", () => {
    const one = write(undefined, dot(A, 1), { base: SIBLING }).record;
    const other = write(undefined, dot(B, 1), { base: SIBLING, event: "retried" }).record;
    const merged = mergeRecords(one, other);
    assert(same(merged, mergeRecords(other, one)));
    assert(same(merged, decodeRecord(encodeRecord(merged))));
    assert(!same(merged, one) && !same(merged, other));
  });

  it("does not change when the bytes of an expired value are dropped, and tells its dot and its expiry", () => {
    const { record } = write(undefined, dot(A, 1), { value: "soon gone", expiresAtMs: NOW_MS + 1_000 });
    const beside = mergeRecords(record, write(undefined, dot(B, 1), { base: SIBLING, value: "stays" }).record);
    const dropped = (of: KvRecord): KvRecord => ({
      ...of,
      siblings: of.siblings.map((sibling) =>
        sibling.expiresAtMs === undefined ? sibling : { ...sibling, value: undefined, contentType: "" },
      ),
    });
    assert(same(record, dropped(record)));
    assert(same(beside, dropped(beside)));
    assert(!same(record, write(undefined, dot(A, 1), { value: "soon gone", expiresAtMs: NOW_MS + 1_001 }).record));
    assert(!same(record, write(undefined, dot(A, 2), { value: "soon gone", expiresAtMs: NOW_MS + 1_000 }).record));
    assert(!same(record, write(undefined, dot(A, 1), { value: "soon gone" }).record));
  });

  it("never changes: it is compared between releases", () => {
    const { record } = write(undefined, dot(A, 1), { value: "v" });
    assert.deepEqual(printOf(record), GOLDEN);
  });
});

const GOLDEN = { a: 2_034_935_047, b: 1_439_690_219, c: 1_448_436_436, d: -624_077_647 };
