import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import fc from "fast-check";
import { formatInstant, readInstant } from "../../operator/core/instant.ts";

describe("instants", () => {
  it("are written as the platform writes them, and read back", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 253_402_300_799 }), (seconds) => {
        const text = formatInstant(seconds * 1000);
        assert.equal(text, new Date(seconds * 1000).toISOString().replace(".000", ""));
        assert.equal(readInstant(text), seconds * 1000);
      }),
    );
  });

  it("with a fraction are read to the millisecond", () => {
    assert.equal(readInstant("2026-01-31T12:00:00.123456Z"), Date.parse("2026-01-31T12:00:00.123Z"));
  });

  it.each(["", "yesterday", "2026-01-31", undefined])("are undefined for %s", (text) => {
    assert.equal(readInstant(text), undefined);
  });
});
