/** Merge is the join of a lattice, on all records that replicas reach, also when write events have been forgotten. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import fc from "fast-check";
import { mergeEncoded } from "../../../node/core/version/merge-encoded.ts";
import { type KvRecord, mergeRecords } from "../../../node/core/version/record.ts";
import { encodeRecord } from "../../../node/core/version/record-codec.ts";
import { EVENT_WINDOW_MS } from "../../../node/core/version/retention.ts";
import { A, B, dot, write } from "./examples.ts";
import { scriptArbitrary, World } from "./world.ts";

type Held = { readonly replica: number; readonly record: KvRecord };

const scripts = scriptArbitrary({ waitMsMax: EVENT_WINDOW_MS, commandsMax: 60 });
const picks = fc.array(fc.nat(), { minLength: 3, maxLength: 12 });

/** Runs a script with as many named writes as it likes, and picks some of all records that were ever held. */
function pickHeld(script: Parameters<World["run"]>[0], chosen: readonly number[]): readonly Held[] {
  const world = new World(script.replicas, Number.POSITIVE_INFINITY);
  world.run(script, () => {});
  if (world.past.length === 0) return [];
  return chosen.map((index) => world.past[index % world.past.length] as Held);
}

function assertSame(a: KvRecord, b: KvRecord, what: string): void {
  assert(Buffer.compare(encodeRecord(a), encodeRecord(b)) === 0, what);
}

describe("merging records", () => {
  it("does not depend on order, grouping or repetition", () => {
    let forgetful = 0;
    fc.assert(
      fc.property(scripts, picks, (script, chosen) => {
        const held = pickHeld(script, chosen).map(({ record }) => record);
        for (const [index, a] of held.entries()) {
          const b = held[(index + 1) % held.length] as KvRecord;
          const c = held[(index + 2) % held.length] as KvRecord;
          const ab = mergeRecords(a, b);
          if (ab.events.length < new Set([...a.events, ...b.events]).size) forgetful += 1;
          assertSame(ab, mergeRecords(b, a), "the order counts");
          assertSame(mergeRecords(ab, c), mergeRecords(a, mergeRecords(b, c)), "the grouping counts");
          assertSame(mergeRecords(ab, b), ab, "a repetition counts");
        }
      }),
      { numRuns: 500 },
    );
    assert(forgetful > 50, "the scripts hardly ever forgot an event");
  });

  it("leaves a replica's newest record as it is when an older one of its own arrives", () => {
    fc.assert(
      fc.property(scripts, (script) => {
        const world = new World(script.replicas, Number.POSITIVE_INFINITY);
        world.run(script, () => {});
        for (const { replica, record } of world.past) {
          const newest = world.record(replica) as KvRecord;
          assert.equal(mergeRecords(newest, record), newest);
          assertSame(mergeRecords(record, newest), newest, "the older record added something");
        }
      }),
      { numRuns: 300 },
    );
  });

  it("returns the very bytes that are already the join, and says whether there is something to store", () => {
    fc.assert(
      fc.property(scripts, picks, (script, chosen) => {
        const held = pickHeld(script, chosen).map(({ record }) => record);
        for (const [index, a] of held.entries()) {
          const b = held[(index + 1) % held.length] as KvRecord;
          const local = encodeRecord(a);
          const incoming = encodeRecord(b);
          const join = encodeRecord(mergeRecords(a, b));
          const { bytes, record, changed } = mergeEncoded(local, incoming);
          assert.equal(Buffer.compare(bytes, join), 0);
          assert.equal(changed, Buffer.compare(join, local) !== 0);
          if (!changed) assert.equal(bytes, local);
          else if (Buffer.compare(join, incoming) === 0) assert.equal(bytes, incoming);
          if (record !== undefined) assertSame(record, mergeRecords(a, b), "the record is not what the bytes say");
        }
      }),
      { numRuns: 300 },
    );
  });

  it("takes what arrives for a key that was never held", () => {
    const incoming = encodeRecord(write(undefined, dot(A, 1)).record);
    const merged = mergeEncoded(undefined, incoming);
    assert.equal(merged.bytes, incoming);
    assert.equal(merged.changed, true);
  });

  it("takes the same of two different values under one dot, whichever comes first", () => {
    const one = write(undefined, dot(A, 1), { value: "one" }).record;
    const two = write(undefined, dot(A, 1), { value: "two" }).record;
    assert.deepEqual(mergeRecords(one, two), mergeRecords(two, one));
  });

  it("keeps two incarnations of one actor apart", () => {
    const before = write(undefined, dot(A, 7, 1)).record;
    const after = write(undefined, dot(A, 3, 2)).record;
    assert.equal(mergeRecords(before, after).siblings.length, 2);
    assert.equal(mergeRecords(before, write(undefined, dot(B, 1)).record).siblings.length, 2);
  });
});
