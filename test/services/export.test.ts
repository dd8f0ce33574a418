import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import fc from "fast-check";
import { compareStored } from "../../node/core/keyspace.ts";
import { encodeRecord } from "../../node/core/version/record-codec.ts";
import { stampWrite } from "../../node/core/version/stamp.ts";
import type { ScannedReply } from "../../node/messages.ts";
import { mergePages } from "../../node/services/export.ts";

const record = encodeRecord(
  stampWrite({
    record: undefined,
    dot: { actor: "0".repeat(32), incarnation: 1, counter: 1 },
    base: { kind: "sibling" },
    content: { value: Buffer.from("v"), contentType: "text/plain", expiresAtMs: undefined },
    nowMs: 1,
    limits: { siblingsMax: 50, siblingBytesMax: 1 << 20 },
  }).record,
);

/** The page that a replica with these keys, in storage order, sends after a key. */
function pageOf(keys: readonly string[], after: Uint8Array | undefined, limit: number): ScannedReply {
  const left = keys
    .map((key) => Buffer.from(key))
    .filter((key) => after === undefined || compareStored(key, after) > 0)
    .sort(compareStored);
  const entries = left.slice(0, limit).map((key) => ({ key, record }));
  return { kind: "scanned", entries, done: left.length <= limit };
}

describe("pages of several replicas", () => {
  it("together show every key that any of them holds, once, in storage order", () => {
    const holdings = fc.array(fc.uniqueArray(fc.nat({ max: 60 }).map(String)), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(
        holdings,
        fc.array(fc.integer({ min: 1, max: 7 }), { minLength: 4, maxLength: 4 }),
        (held, limits) => {
          const shown: string[] = [];
          let after: Uint8Array | undefined;
          for (;;) {
            const { entries, done } = mergePages(held.map((keys, at) => pageOf(keys, after, limits[at] as number)));
            for (const { key } of entries) shown.push(Buffer.from(key).toString());
            if (done) break;
            after = entries.at(-1)?.key;
            assert(after !== undefined, "a page that is not the last has an end");
          }
          const all = [...new Set(held.flat())].map((key) => Buffer.from(key)).sort(compareStored);
          assert.deepEqual(
            shown,
            all.map((key) => key.toString()),
          );
        },
      ),
    );
  });
});
