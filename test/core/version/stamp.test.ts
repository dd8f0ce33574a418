/** Stamping by example: what a write replaces, what its token covers, and what is refused. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { KvError } from "../../../node/core/errors.ts";
import { covers } from "../../../node/core/version/context.ts";
import { type KvRecord, mergeRecords } from "../../../node/core/version/record.ts";
import { viewRecord } from "../../../node/core/version/view.ts";
import { A, B, C, dot, NOW_MS, OVERWRITE, SIBLING, texts, withContext, write } from "./examples.ts";

function shown(record: KvRecord | undefined): readonly string[] {
  return texts(viewRecord(record, NOW_MS).siblings);
}

describe("a write", () => {
  it("with the token of the write before replaces it, at any replica, whether it has heard of it or not", () => {
    const first = write(undefined, dot(A, 5), { value: "one" });
    const second = write(first.record, dot(A, 9), { base: withContext(first.token), value: "two" });
    const third = write(undefined, dot(B, 2), { base: withContext(second.token), value: "three" });
    assert.deepEqual(shown(second.record), ["two"]);
    assert.deepEqual(shown(mergeRecords(second.record, third.record)), ["three"]);
    assert.deepEqual(shown(mergeRecords(first.record, third.record)), ["three"]);
  });

  it("that is a blind overwrite replaces all that its replica holds", () => {
    const both = mergeRecords(write(undefined, dot(A, 1)).record, write(undefined, dot(B, 1)).record);
    assert.deepEqual(shown(write(both, dot(A, 2), { base: OVERWRITE, value: "last" }).record), ["last"]);
  });

  it("that is a blind sibling replaces nothing", () => {
    const first = write(undefined, dot(A, 1), { value: "one" }).record;
    assert.deepEqual(shown(write(first, dot(A, 2), { base: SIBLING, value: "two" }).record), ["one", "two"]);
  });

  it("with a context replaces what that covers and leaves the rest", () => {
    const first = write(undefined, dot(A, 1), { value: "one" });
    const second = write(first.record, dot(A, 2), { base: SIBLING, value: "two" });
    const third = write(second.record, dot(A, 3), { base: withContext(first.token), value: "three" });
    assert.deepEqual(shown(third.record), ["two", "three"]);
  });

  it("without a value is a tombstone, whatever expiry it was sent with", () => {
    const deleted = write(undefined, dot(A, 1), { value: undefined, expiresAtMs: NOW_MS + 1 }).record;
    assert.deepEqual(shown(deleted), ["deleted"]);
    assert.equal(deleted.siblings[0]?.expiresAtMs, undefined);
  });
});

describe("the token of a write", () => {
  it("that stands beside a sibling of the same actor does not cover that sibling, nor replace it elsewhere", () => {
    const others = write(undefined, dot(A, 3), { value: "another client's" });
    const blind = write(others.record, dot(A, 5), { base: SIBLING, value: "mine" });
    assert(covers(blind.token, dot(A, 5)));
    assert(!covers(blind.token, dot(A, 3)));
    const next = write(others.record, dot(B, 1), { base: withContext(blind.token), value: "mine again" });
    assert.deepEqual(shown(next.record), ["another client's", "mine again"]);
    assert.deepEqual(shown(mergeRecords(blind.record, next.record)), ["another client's", "mine again"]);
  });

  it("covers what the write replaced beside what survived it", () => {
    const first = write(undefined, dot(A, 1));
    const second = write(first.record, dot(A, 2), { base: SIBLING });
    const third = write(second.record, dot(A, 3), { base: withContext(first.token) });
    assert.deepEqual(
      [1, 2, 3].map((counter) => covers(third.token, dot(A, counter))),
      [true, false, true],
    );
  });

  it("keeps an isolated dot apart from a vector whose counter comes just before it", () => {
    const first = write(undefined, dot(A, 4));
    const second = write(first.record, dot(A, 5), { base: withContext(first.token) });
    const third = write(second.record, dot(A, 6), { base: SIBLING });
    const fourth = write(third.record, dot(A, 7), { base: withContext(first.token) });
    assert.deepEqual(fourth.token, { vector: [dot(A, 4)], dots: [dot(A, 7)] });
  });
});

describe("a write that was stamped before", () => {
  it("changes nothing and answers with a token that covers it and what it replaced", () => {
    const first = write(undefined, dot(A, 1));
    const second = write(first.record, dot(A, 2), { event: "k" });
    const again = write(second.record, dot(A, 3), { event: "k", value: "sent again" });
    assert.equal(again.repeated, true);
    assert.equal(again.record, second.record);
    assert.deepEqual(again.token, second.token);
  });

  it("answers with a token that does not cover what came to stand beside it, nor what replaced it", () => {
    const first = write(write(undefined, dot(A, 1)).record, dot(A, 2), { event: "k" });
    const beside = write(first.record, dot(A, 3), { base: SIBLING });
    const token = write(beside.record, dot(A, 4), { event: "k" }).token;
    assert.deepEqual(
      [1, 2, 3].map((counter) => covers(token, dot(A, counter))),
      [true, true, false],
    );
    const replaced = write(first.record, dot(A, 3), { base: OVERWRITE });
    const late = write(replaced.record, dot(A, 4), { event: "k" });
    assert.equal(late.repeated, true);
    assert.deepEqual(late.token, { vector: [], dots: [dot(A, 2)] });
  });

  it("is a different write under the same bytes of the other kind", () => {
    const first = write(undefined, dot(A, 1), { event: "k", kind: "client" });
    assert.equal(write(first.record, dot(A, 2), { event: "k", kind: "forward" }).repeated, false);
  });
});

describe("the sibling limit", () => {
  const three = [1, 2, 3].reduce<KvRecord | undefined>(
    (record, counter) => write(record, dot(A, counter), { base: SIBLING }).record,
    undefined,
  );

  it("refuses a write that would add one past it, and says what to do", () => {
    assert.throws(
      () => write(three, dot(A, 4), { base: SIBLING, siblingsMax: 3 }),
      (error) => error instanceof KvError && error.code === "CONFLICT" && /Read the key/.test(error.message),
    );
  });

  it("lets a write through that adds none, also where merges have passed the limit", () => {
    const first = withContext({ vector: [], dots: [dot(A, 1)] });
    assert.equal(write(three, dot(A, 4), { base: first, siblingsMax: 2 }).record.siblings.length, 3);
    assert.equal(write(three, dot(A, 4), { base: OVERWRITE, siblingsMax: 1 }).record.siblings.length, 1);
    assert.equal(write(three, dot(A, 4), { base: SIBLING, siblingsMax: 4 }).record.siblings.length, 4);
  });
});

describe("a stamp", () => {
  function refuses(code: string, run: () => unknown): void {
    assert.throws(run, (error) => error instanceof KvError && error.code === code && error.outcome === "none");
  }

  it("refuses a context that claims writes its actor has not made", () => {
    const forged = [
      { vector: [dot(A, 4)], dots: [] },
      { vector: [dot(A, 9)], dots: [] },
      { vector: [], dots: [dot(A, 9)] },
    ];
    for (const context of forged)
      refuses("INVALID_CONTEXT", () => write(undefined, dot(A, 4), { base: withContext(context) }));
    assert.equal(
      write(undefined, dot(A, 4), { base: withContext({ vector: [dot(A, 9, 2)], dots: [] }) }).repeated,
      false,
    );
  });

  it("refuses a dot that the stored record claims already: it would be taken for replaced", () => {
    const record = write(undefined, dot(B, 1), { base: withContext({ vector: [dot(A, 9)], dots: [] }) }).record;
    refuses("STORAGE_FAILED", () => write(record, dot(A, 4)));
  });

  it("refuses names, types and instants out of their bounds", () => {
    refuses("INVALID_REQUEST", () => write(undefined, dot(A, 1), { event: "" }));
    refuses("INVALID_REQUEST", () => write(undefined, dot(A, 1), { event: "k".repeat(65) }));
    refuses("INVALID_REQUEST", () => write(undefined, dot(A, 1), { contentType: "t".repeat(1_025) }));
    refuses("INVALID_REQUEST", () => write(undefined, dot(A, 1), { expiresAtMs: 0.5 }));
    refuses("STORAGE_FAILED", () => write(undefined, dot(A, 1), { nowMs: Number.NaN }));
    assert.equal(write(undefined, dot(C, 1), { event: "k".repeat(64) }).record.events.length, 1);
  });
});
