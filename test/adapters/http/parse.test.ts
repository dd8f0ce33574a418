/** Parsers of the HTTP edge against plain models. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import fc from "fast-check";
import { formatKey, parseKey } from "../../../node/adapters/http/parse-key.ts";
import { acceptsJson } from "../../../node/adapters/http/parse-request.ts";
import { formatInstant } from "../../../node/adapters/http/respond.ts";
import { KvError } from "../../../node/core/errors.ts";

describe("keys in paths", () => {
  it("come back from their formatted form, wherever it stands in a URL", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 1_024 }), fc.string(), fc.string(), (key, before, after) => {
        const text = formatKey(key);
        assert.match(text, /^([A-Za-z0-9._~-]|%[0-9A-F]{2})+$/);
        const parsed = parseKey(before + text + after, before.length, before.length + text.length);
        assert.deepEqual(Buffer.from(parsed), Buffer.from(key));
      }),
      { numRuns: 50 },
    );
  });

  it("mean what decodeURIComponent says, where that has an answer", () => {
    const text = fc.stringMatching(/^([a-z:.+]|%[2-6][0-9a-fA-F]|%C3%A9)+$/);
    fc.assert(
      fc.property(text, (url) => {
        assert.deepEqual(Buffer.from(parseKey(url, 0, url.length)), Buffer.from(decodeURIComponent(url)));
      }),
    );
  });

  it("are refused with a KvError or read, whatever the characters", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 20 }), (url) => {
        try {
          assert.ok(parseKey(url, 0, url.length).length > 0);
        } catch (error) {
          assert.ok(error instanceof KvError);
        }
      }),
    );
  });
});

describe("Accept", () => {
  const cases: readonly [string | undefined, boolean][] = [
    [undefined, true],
    ["", true],
    ["*/*", true],
    ["APPLICATION/JSON", true],
    ["application/json;charset=utf-8", true],
    ["application/octet-stream, */*;q=0.1", true],
    ["text/html", false],
    ["application/problem+json", false],
    ["application/json;q=0, */*", false],
    ["*/*, application/*;q=0", false],
    ["application/*;q=0, application/json;q=0.001", true],
    ["*/*;q=0", false],
    ["nonsense", false],
  ];
  for (const [accept, accepted] of cases) {
    it(`lets JSON ${accepted ? "through" : "not through"}: ${accept ?? "absent"}`, () => {
      assert.equal(acceptsJson(accept), accepted);
    });
  }
});

describe("instants", () => {
  it("are RFC 3339 whatever a peer's clock says", () => {
    fc.assert(
      fc.property(fc.double(), (ms) => assert.match(formatInstant(ms), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)),
    );
    assert.equal(formatInstant(Date.UTC(2026, 1, 3, 4, 5, 6, 7)), "2026-02-03T04:05:06.007Z");
  });
});
