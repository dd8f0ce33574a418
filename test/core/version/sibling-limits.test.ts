/** The limits of what stands side by side, in number and in bytes, where a client's write is stamped. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { KvError } from "../../../node/core/errors.ts";
import { type KvRecord, mergeRecords } from "../../../node/core/version/record.ts";
import { SIBLING_BYTES_CEILING, siblingBytesMaxOf } from "../../../node/core/version/sibling-limits.ts";
import { A, B, C, dot, OVERWRITE, SIBLING, type WriteOptions, withContext, write } from "./examples.ts";

const MIB = 1 << 20;
const MAX = 100;
/** A value of so many bytes, without a content type. */
const sized = (bytes: number, options: WriteOptions = {}): WriteOptions => ({
  ...{ base: SIBLING, value: "x".repeat(bytes), contentType: "", siblingBytesMax: MAX },
  ...options,
});
const bytesOf = ({ siblings }: KvRecord) => siblings.reduce((sum, { value }) => sum + (value?.length ?? 0), 0);

/** What two members hold that each stamped up to the limit without hearing of the other. */
const apart = (...actors: readonly string[]): KvRecord =>
  actors
    .map((actor) => write(undefined, dot(actor, 1), sized(50)).record)
    .map((record, index) => write(record, dot(actors[index] ?? A, 2), sized(50)).record)
    .reduce((one, other) => mergeRecords(one, other));

function refuses(run: () => unknown): void {
  assert.throws(run, (error) => {
    assert(error instanceof KvError && error.code === "CONFLICT", String(error));
    assert.match(error.message, /at most 100 are allowed\. Read the key and write once with the context/);
    return true;
  });
}

describe("the limit of the number of siblings", () => {
  const few = (options: WriteOptions): WriteOptions => ({ siblingsMax: 2, ...options });
  /** Members that each stamp two without hearing of the others, and what they hold then. */
  const crowd = (...actors: readonly string[]): KvRecord =>
    actors
      .map((actor) => write(undefined, dot(actor, 1), few({ base: SIBLING })).record)
      .map((record, index) => write(record, dot(actors[index] ?? A, 2), few({ base: SIBLING })).record)
      .reduce((one, other) => mergeRecords(one, other));

  it("lets a member replace one that it stamped itself, and no other's, once merges have passed it", () => {
    const own = withContext({ vector: [], dots: [dot(A, 1)] });
    const others = withContext({ vector: [], dots: [dot(B, 1)] });
    assert.equal(write(crowd(A, B), dot(A, 3), few({ base: own })).record.siblings.length, 4);
    assert.throws(() => write(crowd(A, B), dot(A, 3), few({ base: others })), /would hold 4, at most 2 are allowed/);
    assert.throws(() => write(crowd(A, B), dot(C, 3), few({ base: own })), /Read the key and write once/);
  });

  it("holds however often two sides of a cut replace each other's and meet", () => {
    let both = crowd(A, B);
    for (let counter = 3; counter < 40; counter++) {
      const sides = [A, B].map((actor) => {
        const foreign = both.siblings.find((sibling) => sibling.dot.actor !== actor);
        const base = withContext({ vector: [], dots: foreign === undefined ? [] : [foreign.dot] });
        try {
          return write(both, dot(actor, counter), few({ base })).record;
        } catch (error) {
          if (!(error instanceof KvError)) throw error;
          return both;
        }
      });
      both = sides.reduce((one, other) => mergeRecords(one, other));
      assert(both.siblings.length <= 4, `${both.siblings.length} values after ${counter} rounds`);
    }
  });

  it("never refuses what replaces all others", () => {
    const all = withContext(crowd(A, B).context);
    assert.equal(write(crowd(A, B), dot(C, 1), few({ base: all })).record.siblings.length, 1);
  });
});

describe("the limit of the bytes of siblings", () => {
  it("lets values up to it stand side by side, and refuses the one that would pass it, and says what to do", () => {
    const two = write(write(undefined, dot(A, 1), sized(50)).record, dot(A, 2), sized(50)).record;
    refuses(() => write(two, dot(A, 3), sized(1)));
    refuses(() => write(two, dot(A, 3), sized(0, { contentType: "a" })));
  });

  it("never refuses what replaces all others, however much they are, nor what is alone", () => {
    const full = apart(A, B);
    assert.equal(bytesOf(full), 200);
    const read = withContext(full.context);
    assert.equal(bytesOf(write(full, dot(A, 3), sized(150, { base: read })).record), 150);
    assert.equal(bytesOf(write(full, dot(C, 1), sized(150, { base: OVERWRITE })).record), 150);
    assert.equal(bytesOf(write(undefined, dot(C, 1), sized(150)).record), 150);
  });

  it("never refuses a deletion", () => {
    const full = apart(A, B);
    assert.equal(write(full, dot(C, 1), { ...sized(0), value: undefined }).record.siblings.length, 5);
  });

  it("lets a member replace what it stamped itself by as much, and no more, once merges have passed it", () => {
    const own = withContext({ vector: [], dots: [dot(A, 1)] });
    const others = withContext({ vector: [], dots: [dot(B, 1)] });
    assert.equal(bytesOf(write(apart(A, B), dot(A, 3), sized(50, { base: own })).record), 200);
    refuses(() => write(apart(A, B), dot(A, 3), sized(51, { base: own })));
    refuses(() => write(apart(A, B), dot(A, 3), sized(50, { base: others })));
  });

  it("holds a record to its multiple by those who stamped it apart, though they meet and part over and over", () => {
    let met = apart(A, B, C);
    for (let round = 1; round <= 20; round++) {
      const stamped = [A, B, C].map((actor) => {
        let record = met;
        for (let counter = 1; counter <= 8; counter++) {
          const replaced = record.siblings.filter((_, index) => (index + round) % 3 === counter % 3);
          const base = withContext({ vector: [], dots: replaced.map(({ dot: one }) => one) });
          try {
            record = write(
              record,
              dot(actor, round * 10 + counter),
              sized((counter * 13 + round) % 50, { base }),
            ).record;
          } catch (error) {
            assert(error instanceof KvError && error.code === "CONFLICT", String(error));
          }
        }
        return record;
      });
      met = stamped.reduce((one, other) => mergeRecords(one, other));
      assert(bytesOf(met) <= 3 * MAX, `${bytesOf(met)} bytes after ${round} rounds`);
    }
  });

  it("is by default what the limit of their number allows, and always more than one pair of the largest size", () => {
    assert(siblingBytesMaxOf(10_240, 50) >= 50 * 10_240);
    assert.equal(siblingBytesMaxOf(10_240, 1_000), 2 * MIB);
    for (const pairBytes of [2_048, 10_240, MIB]) {
      for (const siblings of [1, 2, 50, 1_000]) {
        const max = siblingBytesMaxOf(pairBytes, siblings);
        assert(max > pairBytes && max <= SIBLING_BYTES_CEILING, `${max} for ${pairBytes} and ${siblings}`);
        if (siblings > 1) assert(max >= 2 * pairBytes);
      }
    }
  });
});
