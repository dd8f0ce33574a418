/** A collection horizon survives the wire and the disk, and nothing else is taken for one. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import fc from "fast-check";
import type { Horizon } from "../../../node/core/version/collect.ts";
import {
  decodeHorizon,
  encodeHorizon,
  HorizonMalformedError,
  horizonDigest,
} from "../../../node/core/version/horizon-codec.ts";
import { EMPTY_VECTOR, raiseEntry } from "../../../node/core/version/vector.ts";
import { A, B, C, dot, NOW_MS } from "./examples.ts";

const anEntry = fc
  .tuple(fc.constantFrom(A, B, C), fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 2 ** 40 }))
  .map(([actor, incarnation, counter]) => dot(actor, counter, incarnation));
const aHorizon: fc.Arbitrary<Horizon> = fc
  .tuple(fc.array(anEntry, { maxLength: 12 }), fc.integer({ min: 0, max: 2 * NOW_MS }))
  .map(([entries, expiredBeforeMs]) => ({ vector: entries.reduce(raiseEntry, EMPTY_VECTOR), expiredBeforeMs }));

describe("a collection horizon as bytes", () => {
  it("comes back as it was", () => {
    fc.assert(fc.property(aHorizon, (horizon) => assert.deepEqual(decodeHorizon(encodeHorizon(horizon)), horizon)));
  });

  it("has one form: bytes that are read are the bytes that would be written", () => {
    const property = fc.property(aHorizon, fc.nat(), fc.integer({ min: 0, max: 255 }), (horizon, at, byte) => {
      const bytes = encodeHorizon(horizon);
      bytes[at % bytes.length] = byte;
      try {
        assert.deepEqual(encodeHorizon(decodeHorizon(bytes)), bytes);
      } catch (error) {
        assert(error instanceof HorizonMalformedError, String(error));
      }
    });
    fc.assert(property, { numRuns: 2_000 });
  });

  it("is refused when it is cut short, or goes on", () => {
    const bytes = encodeHorizon({ vector: [dot(A, 3), dot(B, 1)], expiredBeforeMs: NOW_MS });
    for (let size = 0; size < bytes.length; size++)
      assert.throws(() => decodeHorizon(bytes.subarray(0, size)), HorizonMalformedError);
    assert.throws(() => decodeHorizon(Uint8Array.of(...bytes, 0)), HorizonMalformedError);
  });

  it("has a digest that is never the one of no horizon", () => {
    const property = fc.property(aHorizon, (horizon) => assert(horizonDigest(encodeHorizon(horizon)) > 0));
    fc.assert(property);
  });
});
