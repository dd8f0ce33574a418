/** Contexts between nodes, and tokens in clients' hands. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import fc from "fast-check";
import { KvError } from "../../../node/core/errors.ts";
import { contextDescends, EMPTY_CONTEXT, withDot, withEntry } from "../../../node/core/version/context.ts";
import {
  CONTEXT_BYTES_MAX,
  decodeContext,
  decodeToken,
  encodeContext,
  encodeToken,
  TOKEN_CHARACTERS_MAX,
} from "../../../node/core/version/context-codec.ts";
import type { CausalContext, Dot } from "../../../node/core/version/record.ts";
import { A, B, bytes, C, dot } from "./examples.ts";

const KEY = bytes("key");

const dots: fc.Arbitrary<Dot> = fc
  .tuple(
    fc.constantFrom(A, B, C, "0".repeat(32), "f".repeat(32)),
    fc.oneof(fc.nat({ max: 3 }), fc.maxSafeNat()),
    fc.oneof(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER })),
  )
  .map(([actor, incarnation, counter]) => dot(actor, counter, incarnation));

const contexts: fc.Arbitrary<CausalContext> = fc
  .tuple(fc.array(dots, { maxLength: 6 }), fc.array(dots, { maxLength: 6 }))
  .map(([entries, isolated]) => isolated.reduce(withDot, entries.reduce(withEntry, EMPTY_CONTEXT)));

function refused(run: () => unknown): boolean {
  try {
    run();
    return false;
  } catch (error) {
    assert(error instanceof KvError && error.code === "INVALID_CONTEXT", `threw ${error}`);
    assert.match(error.message, /Read the key again/);
    return true;
  }
}

/** A context of that many incarnations of one actor each, or of distinct actors. */
function large(count: number, isDistinct: boolean): CausalContext {
  const vector = Array.from({ length: count }, (_, index) =>
    isDistinct
      ? dot(index.toString(16).padStart(32, "0"), Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER)
      : dot(A, Number.MAX_SAFE_INTEGER, index),
  );
  return { vector, dots: [dot("f".repeat(32), 1)] };
}

describe("a token", () => {
  it("comes back as the context that it was made of, for its key and for no other", () => {
    fc.assert(
      fc.property(contexts, fc.uint8Array({ minLength: 1 }), (context, key) => {
        const token = encodeToken(context, key);
        assert.match(token, /^[A-Za-z0-9_-]+$/);
        assert.deepEqual(decodeToken(token, key), context);
        assert.equal(encodeToken(structuredClone(context), key), token);
        assert(refused(() => decodeToken(token, Buffer.concat([key, Buffer.of(0)]))));
      }),
    );
  });

  it("may be of an empty context", () => {
    assert.deepEqual(decodeToken(encodeToken(EMPTY_CONTEXT, KEY), KEY), EMPTY_CONTEXT);
  });

  it("is refused when any character of it is changed, missing, added or foreign", () => {
    const token = encodeToken({ vector: [dot(A, 300), dot(B, 2)], dots: [dot(B, 5)] }, KEY);
    for (let at = 0; at < token.length; at++) {
      const other = token[at] === "A" ? "B" : "A";
      assert(refused(() => decodeToken(token.slice(0, at) + other + token.slice(at + 1), KEY)));
      assert(refused(() => decodeToken(token.slice(0, at) + token.slice(at + 1), KEY)));
      assert(refused(() => decodeToken(`${token.slice(0, at)}=${token.slice(at)}`, KEY)));
    }
    for (const wrong of ["", "A", `${token}A`, ` ${token}`, "ÿ".repeat(40), "A".repeat(TOKEN_CHARACTERS_MAX + 1)])
      assert(refused(() => decodeToken(wrong, KEY)));
  });

  it("is refused or understood, whatever a client sends", () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.base64String(),
          fc.uint8Array().map((any) => Buffer.from(any).toString("base64url")),
        ),
        (any) => {
          assert(refused(() => decodeToken(any, KEY)));
        },
      ),
      { numRuns: 1_000 },
    );
  });

  it("keeps within its bound by covering less, never more, when a context is beyond all reason", () => {
    for (const isDistinct of [true, false])
      for (const count of [150, 200, 500, 1_000, 3_000]) {
        const context = large(count, isDistinct);
        const token = encodeToken(context, KEY);
        assert(token.length <= TOKEN_CHARACTERS_MAX);
        const returned = decodeToken(token, KEY);
        assert(contextDescends(context, returned));
        if (count === 150) assert.deepEqual(returned, context);
        assert(returned.vector.length >= 150);
      }
  });
});

describe("a context between nodes", () => {
  it("comes back as it was", () => {
    fc.assert(fc.property(contexts, (context) => assert.deepEqual(decodeContext(encodeContext(context)), context)));
  });

  it("is refused unless it is exactly what would be written", () => {
    let accepted = 0;
    fc.assert(
      fc.property(contexts, fc.nat(), fc.nat({ max: 255 }), fc.uint8Array(), (context, at, byte, random) => {
        const edited = Uint8Array.from(encodeContext(context));
        edited[at % edited.length] = byte;
        for (const any of [edited, random]) {
          if (refused(() => decodeContext(any))) continue;
          accepted += 1;
          assert.equal(Buffer.compare(encodeContext(decodeContext(any)), any), 0);
        }
      }),
      { numRuns: 3_000 },
    );
    assert(accepted > 50, "no edit was ever accepted");
    assert(refused(() => decodeContext(new Uint8Array(CONTEXT_BYTES_MAX + 2))));
  });
});
