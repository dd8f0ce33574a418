/** Tombstones go by evidence: a horizon taken when all homes were equal never brings anything back. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import fc from "fast-check";
import {
  horizonDescends,
  isCollectable,
  isDeleted,
  joinHorizons,
  joinUnderHorizon,
  raiseHorizon,
  settled,
  withinStamped,
  withoutCollected,
} from "../../../node/core/version/collect.ts";
import { type KvRecord, mergeRecords } from "../../../node/core/version/record.ts";
import { EMPTY_VECTOR, mergeVectors, type VersionVector } from "../../../node/core/version/vector.ts";
import { viewRecord } from "../../../node/core/version/view.ts";
import { A, B, C, dot, NOW_MS, SIBLING, texts, withContext, write } from "./examples.ts";

const deleted = (actor: string, counter: number, over?: KvRecord) =>
  write(over, dot(actor, counter), { value: undefined }).record;

const horizonOf = (...vector: VersionVector) => ({ vector, expiredBeforeMs: NOW_MS });

describe("a tombstone and a horizon", () => {
  it("is collectable when the horizon covers all that it knows of, and not before", () => {
    const record = deleted(B, 4, write(undefined, dot(A, 3)).record);
    assert.equal(isCollectable(record, EMPTY_VECTOR, NOW_MS), false);
    assert.equal(isCollectable(record, [dot(B, 9)], NOW_MS), false);
    assert.equal(isCollectable(record, raiseHorizon(EMPTY_VECTOR, record), NOW_MS), true);
  });

  it("leaves out a value that had expired beside one that was written anew, where the horizon counts it as deleted", () => {
    const old = write(undefined, dot(A, 1), { value: "old", expiresAtMs: NOW_MS }).record;
    const both = mergeRecords(old, write(undefined, dot(C, 7), { value: "anew" }).record);
    assert.deepEqual(texts(withoutCollected(both, horizonOf(dot(A, 1))).siblings), ["anew"]);
    assert.equal(withoutCollected(both, { vector: [dot(A, 1)], expiredBeforeMs: NOW_MS - 1 }), both);
    assert.equal(withoutCollected(both, horizonOf(dot(C, 9))), both);
    assert.equal(withoutCollected(old, horizonOf(dot(A, 1))), old);
  });

  it("is not collectable beside a value", () => {
    const both = write(deleted(A, 1), dot(A, 2), { base: SIBLING }).record;
    assert.equal(isCollectable(both, [dot(A, 9)], NOW_MS), false);
  });

  it("counts an expired value as a tombstone, from the instant it expires", () => {
    const { record } = write(undefined, dot(A, 1), { expiresAtMs: NOW_MS + 10 });
    const horizon = raiseHorizon(EMPTY_VECTOR, record);
    assert.deepEqual(
      [NOW_MS + 9, NOW_MS + 10].map((nowMs) => isCollectable(record, horizon, nowMs)),
      [false, true],
    );
  });

  it("is deleted when all that is left of it are deletions and values whose time has come", () => {
    const expiring = write(deleted(A, 1), dot(A, 2), { base: SIBLING, expiresAtMs: NOW_MS + 10 }).record;
    assert.deepEqual(
      [NOW_MS + 9, NOW_MS + 10].map((nowMs) => isDeleted(expiring, nowMs)),
      [false, true],
    );
  });

  it("is left out beside a value when the horizon covers it, and what it replaced stays replaced", () => {
    const tombstone = deleted(B, 2, write(undefined, dot(A, 1)).record);
    const anew = write(undefined, dot(C, 7), { value: "anew" }).record;
    const left = withoutCollected(mergeRecords(tombstone, anew), horizonOf(...raiseHorizon(EMPTY_VECTOR, tombstone)));
    assert.deepEqual(texts(left.siblings), ["anew"]);
    assert.deepEqual(texts(mergeRecords(left, write(undefined, dot(A, 1)).record).siblings), ["anew"]);
    assert.equal(withoutCollected(tombstone, horizonOf(dot(A, 9), dot(B, 9))), tombstone);
  });
});

describe("a value that fell with its event, beside the deletion that replaced it (seed 400422 of 69676e3)", () => {
  // One write, stamped by A and once more by B; whoever deleted it had seen only what B stamped.
  const ofB = write(undefined, dot(B, 1), { event: "one write", value: "fallen" }).record;
  const both = mergeRecords(ofB, write(undefined, dot(A, 1), { event: "one write", value: "fallen" }).record);
  const record = deleted(A, 2, both);
  const seen = write(both, dot(C, 1), { value: undefined, base: withContext(ofB.context) }).record;

  it("is nothing that stands, so that the record is collected as a whole", () => {
    assert.deepEqual(texts(seen.siblings).toSorted(), ["deleted", "fallen"]);
    assert.deepEqual(texts(viewRecord(seen, NOW_MS).siblings), ["deleted"]);
    assert.equal(isDeleted(seen, NOW_MS), true);
    assert.equal(isCollectable(seen, [dot(A, 1), dot(B, 1), dot(C, 1)], NOW_MS), true);
    assert.equal(isCollectable(record, raiseHorizon(EMPTY_VECTOR, record), NOW_MS), true);
  });

  it("does not have the deletion left out, or it would stand again", () => {
    assert.equal(withoutCollected(seen, horizonOf(dot(B, 1), dot(C, 1))), seen);
    const anew = mergeRecords(seen, write(undefined, dot(C, 7), { value: "anew" }).record);
    const left = withoutCollected(anew, horizonOf(dot(A, 1), dot(B, 1), dot(C, 1)));
    assert.deepEqual(texts(viewRecord(left, NOW_MS).siblings), ["anew"]);
  });

  it("comes back nowhere, whether the home vouches or not, and whatever the horizon covers of it", () => {
    const vectors = [[dot(C, 1)], [dot(B, 1), dot(C, 1)], [dot(A, 1), dot(B, 1), dot(C, 1)]];
    for (const vector of vectors) {
      for (const vouches of [true, false]) {
        const joined = joinUnderHorizon({ vector, expiredBeforeMs: NOW_MS }, undefined, seen, vouches);
        const shown = texts(viewRecord(joined, NOW_MS).siblings);
        assert.equal(shown.includes("fallen"), false, `${JSON.stringify(vector)} ${vouches}: [${shown}]`);
      }
    }
  });
});

describe("a horizon that is raised", () => {
  it("goes by writes that were made, not by what a client claims to have seen", () => {
    const claimed = deleted(B, 2);
    const context = { vector: [dot(A, 3), dot(C, 2 ** 50)], dots: [] };
    const forged = write(claimed, dot(B, 4), { value: undefined, base: withContext(context) }).record;
    const wanted = raiseHorizon(EMPTY_VECTOR, forged);
    assert.deepEqual(withinStamped(wanted, forged.eventsSeen), [dot(B, 4)]);
    const others = mergeVectors(forged.eventsSeen, write(undefined, dot(A, 9)).record.eventsSeen);
    assert.deepEqual(withinStamped(wanted, others), [dot(A, 3), dot(B, 4)]);
  });
});

describe("a record that comes where the partition has a horizon", () => {
  const value = write(undefined, dot(A, 1)).record;
  const tombstone = deleted(B, 2, value);
  const horizon = { vector: raiseHorizon(EMPTY_VECTOR, tombstone), expiredBeforeMs: NOW_MS };
  const join = (held: KvRecord | undefined, incoming: KvRecord, vouches: boolean) =>
    joinUnderHorizon(horizon, held, incoming, vouches);

  it("does not bring a collected key back at a home that vouches", () => {
    assert.equal(join(undefined, value, true), undefined);
    const anew = write(undefined, dot(C, 7), { value: "anew" }).record;
    assert.deepEqual(texts(join(anew, value, true)?.siblings ?? []), ["anew"]);
    assert.deepEqual(texts(join(undefined, mergeRecords(value, anew), true)?.siblings ?? []), ["anew"]);
  });

  it("is taken by a home that may have lost it, unless it is a collected tombstone", () => {
    assert.equal(join(undefined, value, false), value);
    assert.equal(join(undefined, tombstone, false), undefined);
    assert.equal(join(value, tombstone, false), undefined);
  });

  it("is taken when the horizon does not cover it, and where the home holds it already", () => {
    const later = write(undefined, dot(A, 9)).record;
    assert.equal(join(undefined, later, true), later);
    assert.equal(join(value, value, true), value);
  });

  it("goes by the horizon's instant for values that expire, not by anybody's clock", () => {
    const expiring = write(undefined, dot(A, 1), { expiresAtMs: NOW_MS + 10 }).record;
    const at = (expiredBeforeMs: number) => settled(expiring, { ...horizon, expiredBeforeMs });
    assert.equal(at(NOW_MS + 9), expiring);
    assert.equal(at(NOW_MS + 10), undefined);
  });

  it("meets a horizon that only grows", () => {
    const other = { vector: [dot(C, 3)], expiredBeforeMs: NOW_MS - 1 };
    const both = joinHorizons(horizon, other);
    assert.deepEqual(both, joinHorizons(other, horizon));
    assert.equal(joinHorizons(both, other), both);
    assert.equal(joinHorizons(other, both), both);
    assert(horizonDescends(both, horizon) && horizonDescends(both, other) && !horizonDescends(horizon, other));
  });
});

const KEYS = 2;
const ACTORS = [A, B, C];
type Step =
  | { readonly kind: "write" | "delete" | "context"; readonly at: number; readonly key: number }
  /** Deletes what another home shows, which may know only one stamping of it. */
  | { readonly kind: "delete seen"; readonly at: number; readonly seenAt: number; readonly key: number }
  /** One of the last writes arrives once more, at another home. */
  | { readonly kind: "again"; readonly at: number; readonly back: number }
  | { readonly kind: "send"; readonly from: number; readonly to: number; readonly key: number }
  | { readonly kind: "replay"; readonly which: number; readonly to: number }
  | { readonly kind: "compare" }
  | { readonly kind: "collect"; readonly at: number };

/**
 * Three homes that keep all that they merge, beside three that collect. Both see the same writes and messages; a client
 * must be shown the same values by either.
 */
class Homes {
  readonly #kept: Map<number, KvRecord>[] = ACTORS.map(() => new Map());
  readonly #collecting: Map<number, KvRecord>[] = ACTORS.map(() => new Map());
  #horizon: VersionVector = EMPTY_VECTOR;
  #counter = 0;
  /** What was sent when it was stamped, and may come again at any time, in both worlds. */
  readonly #sent: { readonly key: number; readonly kept: KvRecord; readonly collecting: KvRecord }[] = [];
  /** Writes that may be tried again: none that the horizon may have been raised over. */
  #named: { readonly key: number; readonly event: string }[] = [];

  take(step: Step): void {
    switch (step.kind) {
      case "write":
      case "delete":
      case "context":
      case "delete seen":
        return this.#write(step);
      case "again": {
        const again = this.#named.at(-1 - step.back);
        if (again !== undefined) this.#write({ kind: "write", at: step.at, key: again.key }, again.event);
        return;
      }
      case "send":
        this.#merge(this.#kept, step);
        return this.#merge(this.#collecting, step);
      case "replay": {
        const late = this.#sent[step.which % Math.max(1, this.#sent.length)];
        if (late === undefined) return;
        this.#arrive(this.#kept, step.to, late.key, late.kept);
        return this.#arrive(this.#collecting, step.to, late.key, late.collecting);
      }
      case "compare":
        return this.#compare();
      case "collect": {
        const records = this.#collecting[step.at] as Map<number, KvRecord>;
        for (const [key, record] of records) if (isCollectable(record, this.#horizon, NOW_MS)) records.delete(key);
      }
    }
  }

  /** All homes merge all, as anti-entropy would in the end. */
  settle(): void {
    for (let round = 0; round < 2; round++)
      for (let key = 0; key < KEYS; key++)
        for (const from of [0, 1, 2])
          for (const to of [0, 1, 2]) if (from !== to) this.take({ kind: "send", from, to, key });
  }

  shown(which: "kept" | "collecting"): string[][] {
    const homes = which === "kept" ? this.#kept : this.#collecting;
    return Array.from({ length: KEYS }, (_, key) => {
      const values = homes.map((home) => {
        const record = home.get(key);
        return texts(viewRecord(record, NOW_MS).siblings).filter((text) => text !== "deleted");
      });
      for (const shown of values) assert.deepEqual(shown, values[0], "settled homes are equal");
      return values[0] ?? [];
    });
  }

  #write(step: Extract<Step, { at: number; key: number }>, again?: string): void {
    const { kind, at, key } = step;
    this.#counter += 1;
    const stamped = dot(ACTORS[at] as string, this.#counter);
    const event = again ?? `event ${this.#counter}`;
    if (again === undefined && kind === "write") this.#named.push({ key, event });
    // A client may have seen it before the home forgot it.
    const seen = kind === "delete seen" ? this.#kept[step.seenAt]?.get(key) : undefined;
    for (const homes of [this.#kept, this.#collecting]) {
      const home = homes[at] as Map<number, KvRecord>;
      const record = this.#next(homes, home.get(key));
      const known = kind === "context" ? record : seen;
      const base =
        known === undefined ? (kind === "write" ? { base: SIBLING } : {}) : { base: withContext(known.context) };
      const content = kind.startsWith("delete") ? { value: undefined } : { value: event };
      home.set(key, write(record, stamped, { ...content, ...base, event }).record);
    }
    const [kept, collecting] = [this.#kept, this.#collecting].map((homes) => homes[at]?.get(key));
    this.#sent.push({ key, kept: kept as KvRecord, collecting: collecting as KvRecord });
  }

  #merge(homes: Map<number, KvRecord>[], { from, to, key }: { from: number; to: number; key: number }): void {
    const sent = homes[from]?.get(key);
    if (sent !== undefined) this.#arrive(homes, to, key, sent);
  }

  /** All three were there whenever the horizon was raised, so each vouches for it. */
  #arrive(homes: Map<number, KvRecord>[], to: number, key: number, sent: KvRecord): void {
    const home = homes[to] as Map<number, KvRecord>;
    const held = home.get(key);
    if (homes === this.#kept) {
      home.set(key, held === undefined ? sent : mergeRecords(held, sent));
      return;
    }
    const joined = joinUnderHorizon({ vector: this.#horizon, expiredBeforeMs: NOW_MS }, held, sent, true);
    if (joined === undefined) home.delete(key);
    else home.set(key, joined);
  }

  #next(homes: Map<number, KvRecord>[], record: KvRecord | undefined): KvRecord | undefined {
    return record === undefined || homes === this.#kept
      ? record
      : withoutCollected(record, { vector: this.#horizon, expiredBeforeMs: NOW_MS });
  }

  /** The evidence: all homes hold the same. What is told to all at once here, the service agrees on first. */
  #compare(): void {
    const [first, ...others] = this.#collecting as [Map<number, KvRecord>, ...Map<number, KvRecord>[]];
    const contents = (home: Map<number, KvRecord>) =>
      [...home]
        .filter(([, record]) => !isCollectable(record, this.#horizon, NOW_MS))
        .sort(([a], [b]) => a - b)
        .map(([key, record]) => [key, record.context, texts(record.siblings)]);
    if (!others.every((home) => isDeepEqual(contents(home), contents(first)))) return;
    for (const record of first.values()) {
      if (isDeleted(record, NOW_MS)) this.#horizon = raiseHorizon(this.#horizon, record);
    }
    this.#named = [];
  }
}

function isDeepEqual(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

const place = fc.nat({ max: 2 });
const whichKey = fc.nat({ max: KEYS - 1 });
const aStep: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constantFrom("write", "delete", "delete", "context"), at: place, key: whichKey }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant("delete seen" as const), at: place, seenAt: place, key: whichKey }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("again" as const), at: place, back: fc.nat({ max: 2 }) }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("send" as const), from: place, to: place, key: whichKey }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("replay" as const), which: fc.nat({ max: 60 }), to: place }) },
  { weight: 2, arbitrary: fc.constant({ kind: "compare" as const }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("collect" as const), at: place }) },
);

describe("homes that collect by evidence", () => {
  it("show what homes show that keep every tombstone", () => {
    const property = fc.property(fc.array(fc.tuple(aStep, fc.boolean()), { minLength: 5, maxLength: 60 }), (steps) => {
      const homes = new Homes();
      for (const [step, settleFirst] of steps) {
        if (settleFirst && step.kind === "compare") homes.settle();
        homes.take(step);
      }
      homes.settle();
      assert.deepEqual(homes.shown("collecting"), homes.shown("kept"));
    });
    fc.assert(property, { numRuns: 3_000 });
  });
});
