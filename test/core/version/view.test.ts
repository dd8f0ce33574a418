/** What clients are shown: the same on every node. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import fc from "fast-check";
import { type KvRecord, mergeRecords } from "../../../node/core/version/record.ts";
import { viewRecord } from "../../../node/core/version/view.ts";
import { A, B, C, dot, NEVER_WRITTEN, NOW_MS, SIBLING, texts, type WriteOptions, write } from "./examples.ts";

/** Concurrent writes, one by each replica. */
function concurrent(...writes: readonly WriteOptions[]): KvRecord {
  return [A, B, C]
    .slice(0, writes.length)
    .reduce(
      (record, actor, index) => mergeRecords(record, write(undefined, dot(actor, 1), writes[index] ?? {}).record),
      NEVER_WRITTEN,
    );
}

function shown(record: KvRecord | undefined, nowMs = NOW_MS): readonly string[] {
  return texts(viewRecord(record, nowMs).siblings);
}

describe("the view of a key", () => {
  it("is empty, with an empty context, when the key was never written", () => {
    assert.deepEqual(viewRecord(undefined, NOW_MS), { siblings: [], context: { vector: [], dots: [] } });
  });

  it("orders values by the time they were written, then by dot", () => {
    const record = concurrent(
      { value: "last", nowMs: NOW_MS + 2 },
      { value: "first", nowMs: NOW_MS },
      { value: "then", nowMs: NOW_MS },
    );
    assert.deepEqual(shown(record), ["first", "then", "last"]);
  });

  it("shows equal concurrent values once, but not equal bytes of another type", () => {
    assert.deepEqual(shown(concurrent({ value: "same" }, { value: "same" })), ["same"]);
    assert.deepEqual(shown(concurrent({ value: "same" }, { value: "same", contentType: "text/html" })), [
      "same",
      "same",
    ]);
    assert.deepEqual(shown(concurrent({ value: "" }, { value: undefined })), ["", "deleted"]);
  });

  it("shows one tombstone for all, and shows it beside values", () => {
    assert.deepEqual(shown(concurrent({ value: undefined }, { value: undefined })), ["deleted"]);
    assert.deepEqual(shown(concurrent({ value: undefined }, { value: "kept" }, { value: undefined })), [
      "deleted",
      "kept",
    ]);
  });

  it("shows a value as a tombstone of the same dot from the instant it expires", () => {
    const record = write(undefined, dot(A, 1), { value: "brief", expiresAtMs: NOW_MS + 10 }).record;
    assert.deepEqual(shown(record, NOW_MS + 9), ["brief"]);
    assert.deepEqual(shown(record, NOW_MS + 10), ["deleted"]);
    assert.deepEqual(viewRecord(record, NOW_MS + 10).siblings[0]?.dot, dot(A, 1));
    const beside = write(record, dot(A, 2), { base: SIBLING, value: "lasting" }).record;
    assert.deepEqual(shown(beside, NOW_MS + 10), ["deleted", "lasting"]);
  });

  it("comes with a context that covers also what is not shown", () => {
    const record = concurrent({ value: "same" }, { value: "same" }, { value: undefined });
    const settled = write(record, dot(A, 9), {
      base: { kind: "context", context: viewRecord(record, NOW_MS).context },
      value: "settled",
    });
    assert.deepEqual(shown(settled.record), ["settled"]);
    assert.equal(settled.record.siblings.length, 1);
  });

  it("is the same in whatever order the writes met", () => {
    const writes = fc.record({
      value: fc.constantFrom("x", "y", undefined),
      nowMs: fc.integer({ min: NOW_MS, max: NOW_MS + 2 }),
      actor: fc.constantFrom(A, B, C),
    });
    fc.assert(
      fc.property(fc.array(writes, { minLength: 1, maxLength: 8 }), fc.func(fc.nat()), (list, rank) => {
        const records = list.map(
          ({ actor, ...options }, index) =>
            write(undefined, dot(actor, 1, index), { ...options, base: SIBLING }).record,
        );
        const shuffled = records.map((record, index) => ({ record, by: rank(index) })).toSorted((a, b) => a.by - b.by);
        const one = records.reduce(mergeRecords, NEVER_WRITTEN);
        const other = shuffled.map(({ record }) => record).reduce(mergeRecords, NEVER_WRITTEN);
        assert.deepEqual(viewRecord(one, NOW_MS), viewRecord(other, NOW_MS));
      }),
      { numRuns: 200 },
    );
  });
});
