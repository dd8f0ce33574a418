import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import fc from "fast-check";
import { KvError } from "../node/core/errors.ts";
import type { ScannedEntry } from "../node/messages.ts";
import { decodeReply, decodeRequest, encodeReply, encodeRequest, MESSAGE_BOUNDS } from "../node/messages-codec.ts";
import { anyReply, anyRequest } from "./contract/any-message.ts";

/** What a careless or hostile peer could put into a field, beside what fits. */
const anyField = fc.oneof(
  fc.constantFrom<unknown>(null, undefined, Number.NaN, -0, -1, 0.5, 2 ** 53, Number.POSITIVE_INFINITY, "", [], {}),
  fc.nat({ max: 12 }),
  fc.uint8Array({ maxLength: 70 }),
  fc.uint8Array({ minLength: 1_020, maxLength: 1_030 }),
  fc.string({ maxLength: 80 }),
  fc.boolean(),
  fc.anything(),
);
const anyMessage = fc.oneof(
  fc.anything(),
  fc
    .tuple(fc.oneof(fc.nat({ max: 13 }), fc.integer({ min: 19, max: 34 })), fc.array(anyField, { maxLength: 12 }))
    .map(([kind, fields]) => [kind, ...fields]),
);

/** Runs a decoder on what a peer sent; gives undefined where it was refused in the way it may be. */
function decodeOrRefuse<T>(decode: (value: unknown) => T, value: unknown): T | undefined {
  try {
    return decode(value);
  } catch (error) {
    assert(error instanceof KvError, `threw ${error}`);
    assert.equal(error.code, "INVALID_REQUEST");
    assert.equal(error.outcome, "none");
    return undefined;
  }
}

function refused(decode: (value: unknown) => unknown, value: unknown): void {
  assert.equal(decodeOrRefuse(decode, value), undefined);
}

function pageOf(...lengths: [keyBytes: number, recordBytes: number][]): Uint8Array {
  const filled = lengths.map(([keyBytes, recordBytes]) => {
    const entry = { key: new Uint8Array(keyBytes).fill(1), record: new Uint8Array(recordBytes).fill(2) };
    return encodeReply({ kind: "scanned", done: true, entries: [entry] })[2] as Uint8Array;
  });
  return new Uint8Array(Buffer.concat(filled));
}

const scanned = (page: unknown) => [5, true, page];

describe("a message between members", () => {
  it("comes out of its array as it went in", () => {
    fc.assert(fc.property(anyRequest, (request) => assert.deepEqual(decodeRequest(encodeRequest(request)), request)));
    fc.assert(fc.property(anyReply, (reply) => assert.deepEqual(decodeReply(encodeReply(reply)), reply)));
  });

  it("is flat: numbers, booleans, strings, byte strings and null, and at most 15 of them", () => {
    const isFlat = (field: unknown) =>
      field === null || field instanceof Uint8Array || ["number", "boolean", "string"].includes(typeof field);
    fc.assert(
      fc.property(fc.oneof(anyRequest.map(encodeRequest), anyReply.map(encodeReply)), (fields) => {
        assert(fields.length <= 15);
        assert(fields.every(isFlat));
      }),
    );
  });

  it("may have more elements than this release knows", () => {
    fc.assert(
      fc.property(anyRequest, anyReply, anyField, (request, reply, more) => {
        assert.deepEqual(decodeRequest([...encodeRequest(request), more]), request);
        assert.deepEqual(decodeReply([...encodeReply(reply), more]), reply);
      }),
    );
  });

  it("is refused with a KvError, whatever else a peer sends", () => {
    fc.assert(
      fc.property(anyMessage, (value) => {
        const request = decodeOrRefuse(decodeRequest, value);
        if (request !== undefined) assert.deepEqual(decodeRequest(encodeRequest(request)), request);
        const reply = decodeOrRefuse(decodeReply, value);
        if (reply !== undefined) assert.deepEqual(decodeReply(encodeReply(reply)), reply);
      }),
      { numRuns: 2_000 },
    );
  });

  it("is refused when one field of a good one is anything else, or becomes another good one", () => {
    fc.assert(
      fc.property(anyRequest, fc.nat({ max: 9 }), anyField, (request, position, field) => {
        const fields = encodeRequest(request);
        fields[position % fields.length] = field;
        const decoded = decodeOrRefuse(decodeRequest, fields);
        if (decoded !== undefined) assert.deepEqual(decodeRequest(encodeRequest(decoded)), decoded);
      }),
      { numRuns: 1_000 },
    );
  });

  it("shows no content of a user in the words of its refusal", () => {
    const secret = "s3cret";
    for (const field of [secret, Buffer.from(secret), [secret], { secret }]) {
      assert.throws(
        () => decodeRequest([3, field, field]),
        (error) => error instanceof KvError && !error.message.includes(secret),
      );
    }
  });

  it("keeps to the bounds of its fields", () => {
    const { keyBytesMax, eventIdBytesMax, contentTypeLengthMax, scanLimitMax } = MESSAGE_BOUNDS;
    decodeRequest([3, 1, new Uint8Array(keyBytesMax)]);
    refused(decodeRequest, [3, 1, new Uint8Array(keyBytesMax + 1)]);
    refused(decodeRequest, [3, 1, new Uint8Array(0)]);
    refused(decodeRequest, [3, -1, new Uint8Array(1)]);
    const stamp = (contentType: string, id: Uint8Array) => [
      1,
      1,
      new Uint8Array(1),
      1,
      null,
      null,
      contentType,
      null,
      1,
      id,
    ];
    decodeRequest(stamp("t".repeat(contentTypeLengthMax), new Uint8Array(eventIdBytesMax)));
    refused(decodeRequest, stamp("t".repeat(contentTypeLengthMax + 1), new Uint8Array(eventIdBytesMax)));
    refused(decodeRequest, stamp("t", new Uint8Array(eventIdBytesMax + 1)));
    decodeRequest([5, 1, 0, null, scanLimitMax]);
    for (const limit of [0, scanLimitMax + 1]) refused(decodeRequest, [5, 1, 0, null, limit]);
  });
});

describe("a failure between members", () => {
  it("of a code that this release does not know becomes an unreachable peer, with the code in its words", () => {
    const reply = decodeReply([0, "FROM_THE_FUTURE", "why", 0]);
    assert.deepEqual(reply, {
      kind: "failure",
      code: "PEER_UNREACHABLE",
      message: "why (the peer's code: FROM_THE_FUTURE)",
      outcome: "none",
    });
    for (const code of ["__proto__", "constructor", "toString"]) {
      assert.equal((decodeReply([0, code, "", 0]) as { code: string }).code, "PEER_UNREACHABLE");
    }
  });

  it("of an outcome that this release does not know has outcome unknown", () => {
    for (const outcome of [2, null, "none", undefined]) {
      assert.equal((decodeReply([0, "OVERLOADED", "", outcome]) as { outcome: string }).outcome, "unknown");
    }
  });

  it("is cut to a length that the other side takes", () => {
    const failure = { kind: "failure", code: "STORAGE_FAILED", message: "x".repeat(10_000), outcome: "none" } as const;
    const decoded = decodeReply(encodeReply(failure));
    assert(decoded.kind === "failure" && decoded.message.length === MESSAGE_BOUNDS.failureTextLengthMax);
  });
});

describe("a page of a scan", () => {
  it("carries 1,000 entries in one field", () => {
    const entries: ScannedEntry[] = Array.from({ length: 1_000 }, (_, index) => ({
      key: new Uint8Array(1 + (index % MESSAGE_BOUNDS.keyBytesMax)).fill(index),
      record: new Uint8Array((index * 7) % 3_000).fill(index + 1),
    }));
    const fields = encodeReply({ kind: "scanned", entries, done: false });
    assert.equal(fields.length, 3);
    assert.deepEqual(decodeReply(fields), { kind: "scanned", entries, done: false });
    const over = [...entries, { key: new Uint8Array(1), record: new Uint8Array(0) }];
    refused(decodeReply, encodeReply({ kind: "scanned", entries: over, done: false }));
  });

  it("is read from the middle of a larger buffer", () => {
    const page = pageOf([3, 5], [1, 0]);
    const around = new Uint8Array(page.length + 20).fill(0xff);
    around.set(page, 7);
    const decoded = decodeReply(scanned(around.subarray(7, 7 + page.length)));
    assert.deepEqual(decoded, decodeReply(scanned(page)));
  });

  it("gives views into the page, not copies", () => {
    const page = pageOf([3, 5]);
    const reply = decodeReply(scanned(page));
    assert(reply.kind === "scanned");
    assert.equal(reply.entries[0]?.key.buffer, page.buffer);
    assert.equal(reply.entries[0]?.record.buffer, page.buffer);
  });

  it("is refused when it is cut anywhere but between two entries", () => {
    const page = pageOf([2, 3], [1_024, 0], [1, 4]);
    const ends = new Set([0, 11, 11 + 1_030, page.length]);
    for (let length = 0; length <= page.length; length++) {
      const cut = page.slice(0, length);
      if (ends.has(length)) decodeReply(scanned(cut));
      else refused(decodeReply, scanned(cut));
    }
  });

  it("is refused when a length points past its end, or a key is none", () => {
    const hostile = [
      [0xff, 0xff],
      [0, 1, 7, 0xff, 0xff, 0xff, 0xff],
      [0, 0, 0, 0, 0, 0],
      [4, 1, ...Array(1_029).fill(0)],
    ];
    for (const page of hostile) refused(decodeReply, scanned(Uint8Array.from(page)));
    for (const page of [null, undefined, 7, "page", []]) refused(decodeReply, scanned(page));
  });

  it("never reads beyond itself, whatever its bytes are", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (page) => {
        const reply = decodeOrRefuse(decodeReply, scanned(page));
        if (reply?.kind !== "scanned") return;
        let sizeBytes = 0;
        for (const { key, record } of reply.entries) sizeBytes += 6 + key.length + record.length;
        assert.equal(sizeBytes, page.length);
      }),
      { numRuns: 2_000 },
    );
  });
});
