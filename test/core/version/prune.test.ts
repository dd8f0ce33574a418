/** Pruning forgets only whom it may. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import fc from "fast-check";
import { pruneContext } from "../../../node/core/version/prune.ts";
import type { Dot, KvRecord } from "../../../node/core/version/record.ts";
import { decodeRecord, encodeRecord } from "../../../node/core/version/record-codec.ts";
import { A, B, C, dot, OVERWRITE, withContext, write } from "./examples.ts";
import { scriptArbitrary, World } from "./world.ts";

function sourceOf({ actor, incarnation }: Dot): string {
  return `${actor}/${incarnation}`;
}

function sourcesOf({ context }: KvRecord): readonly string[] {
  return [...context.vector, ...context.dots].map(sourceOf);
}

/** A stands for a value, B and C for writes that were replaced, each in two incarnations. */
function seasoned(): KvRecord {
  let record = write(undefined, dot(B, 1, 1)).record;
  for (const at of [dot(B, 4, 2), dot(C, 2, 1), dot(C, 3, 2), dot(A, 1, 1)])
    record = write(record, at, { base: OVERWRITE }).record;
  return record;
}

describe("pruning", () => {
  it("touches nothing up to the mark, and nothing that may not be forgotten", () => {
    const record = seasoned();
    assert.equal(pruneContext(record, { entriesMax: 5, mayForget: () => true }), record);
    assert.equal(pruneContext(record, { entriesMax: 0, mayForget: () => false }), record);
  });

  it("forgets in a fixed order, older incarnations first, and only down to the mark", () => {
    const pruned = pruneContext(seasoned(), { entriesMax: 3, mayForget: () => true });
    assert.deepEqual(pruned.context.vector, [dot(A, 1, 1), dot(C, 2, 1), dot(C, 3, 2)]);
    assert.equal(pruned.eventsSeen, pruned.context.vector);
  });

  it("never forgets an actor that a value or a remembered write stands on", () => {
    const named = write(seasoned(), dot(A, 2, 1), { event: "k" }).record;
    const replaced = write(named, dot(C, 9, 2)).record;
    const pruned = pruneContext(replaced, { entriesMax: 0, mayForget: () => true });
    assert.deepEqual(pruned.context.vector, [dot(A, 2, 1), dot(C, 9, 2)]);
  });

  it("forgets isolated dots by the same rule", () => {
    const record = write(undefined, dot(A, 1), {
      base: withContext({ vector: [], dots: [dot(B, 3), dot(B, 7)] }),
    }).record;
    assert.deepEqual(pruneContext(record, { entriesMax: 2, mayForget: (actor) => actor === B }).context, {
      vector: [dot(A, 1)],
      dots: [],
    });
  });

  it("removes, from any record, only what it was allowed to, and leaves the values alone", () => {
    fc.assert(
      fc.property(
        scriptArbitrary({ commandsMax: 60 }),
        fc.nat({ max: 6 }),
        fc.func(fc.boolean()),
        (script, entriesMax, may) => {
          const world = new World(script.replicas, 8);
          world.run(script, () => {});
          const record = world.converged();
          if (record === undefined) return;
          const mayForget = (actor: string, incarnation: number) => may(actor, incarnation);
          const pruned = pruneContext(record, { entriesMax, mayForget });
          const kept = new Set(sourcesOf(pruned));
          for (const { actor, incarnation } of [...record.context.vector, ...record.context.dots])
            if (!kept.has(`${actor}/${incarnation}`)) assert(mayForget(actor, incarnation));
          for (const item of [...record.siblings, ...record.events]) assert(kept.has(sourceOf(item.dot)));
          assert.deepEqual(pruned.siblings, record.siblings);
          assert.equal(pruned.events.length, record.events.length);
          assert.deepEqual(decodeRecord(encodeRecord(pruned)).siblings.length, record.siblings.length);
          if (sourcesOf(record).length <= entriesMax) assert.equal(pruned, record);
        },
      ),
      { numRuns: 400 },
    );
  });
});
