/** Pages of a range: bounded by what they hold, not only by how many they are. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import fc from "fast-check";
import { compareBytes } from "../../node/core/bytes.ts";
import type { Entry, ScanRange } from "../../node/ports.ts";
import { boundedPage, pagesOf } from "../../node/services/stored-pages.ts";

const KIB = 1 << 10;
const MIB = 1 << 20;
const RANGE = { from: Uint8Array.of(0), until: Uint8Array.of(1) };

/** A store with values of these sizes, that counts what it reads. */
function storeOf(sizes: readonly number[]) {
  const entries = sizes.map((size, at) => ({ key: Uint8Array.of(0, at >> 8, at & 255), value: new Uint8Array(size) }));
  const read = { bytes: 0, scans: 0 };
  const scan = async ({ from, until, limit }: ScanRange): Promise<readonly Entry[]> => {
    const page = entries
      .filter(({ key }) => compareBytes(key, from) >= 0 && compareBytes(key, until) < 0)
      .slice(0, limit);
    read.scans += 1;
    read.bytes += page.reduce((sum, { value }) => sum + value.length, 0);
    return page;
  };
  return { scan, entries, read };
}

describe("a page of large values", () => {
  it("ends about where its bytes are reached, and what lies behind is not read", async () => {
    const store = storeOf(Array.from({ length: 256 }, () => MIB));
    const page = await boundedPage(store, { ...RANGE, limit: 256 }, MIB);
    assert(!page.isLast && page.entries.length <= 8, `${page.entries.length} entries`);
    assert(store.read.bytes <= 8 * MIB, `${store.read.bytes} bytes were read`);
  });

  it("of a store whose values grow is no larger than a few times what was asked for", async () => {
    const store = storeOf(Array.from({ length: 256 }, (_, at) => at * 100 * KIB));
    const page = await boundedPage(store, { ...RANGE, limit: 256 }, MIB);
    assert(!page.isLast);
    assert(store.read.bytes <= 4 * MIB, `${store.read.bytes} bytes were read`);
  });
});

describe("a page of small values", () => {
  it("has as many as were asked for, in a few goes", async () => {
    const store = storeOf(Array.from({ length: 300 }, () => 100));
    const page = await boundedPage(store, { ...RANGE, limit: 256 }, MIB);
    assert.deepEqual([page.entries.length, page.isLast], [256, false]);
    assert(store.read.scans <= 4, `${store.read.scans} goes`);
    assert.equal(store.read.bytes, 256 * 100);
  });
});

describe("the pages of a range", () => {
  it("have each entry of it once and in order, whatever the sizes", async () => {
    const anySizes = fc.array(fc.oneof(fc.nat(200), fc.integer({ min: 300 * KIB, max: 3 * MIB })), { maxLength: 60 });
    await fc.assert(
      fc.asyncProperty(anySizes, fc.integer({ min: 1, max: 70 }), async (sizes, limit) => {
        const store = storeOf(sizes);
        const found: Entry[] = [];
        for await (const page of pagesOf(store, RANGE, limit)) {
          assert(page.length > 0 && page.length <= limit);
          found.push(...page);
        }
        assert.deepEqual(
          found.map(({ key }) => key),
          store.entries.map(({ key }) => key),
        );
      }),
      { numRuns: 60 },
    );
  });
});
