/** Write events by example: a retried write counts once, wherever it arrives, for as long as it is remembered. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { inOrderOfArrival, received } from "../../../node/core/version/arrival.ts";
import { standingSiblings } from "../../../node/core/version/closure.ts";
import { EMPTY_CONTEXT } from "../../../node/core/version/context.ts";
import { type KvRecord, mergeRecords } from "../../../node/core/version/record.ts";
import { EVENT_WINDOW_MS, EVENTS_MAX } from "../../../node/core/version/retention.ts";
import { viewRecord } from "../../../node/core/version/view.ts";
import { A, B, C, dot, NOW_MS, OVERWRITE, SIBLING, texts, withContext, write } from "./examples.ts";

function shown(record: KvRecord | undefined): readonly string[] {
  return texts(viewRecord(record, NOW_MS).siblings);
}

function ids(record: KvRecord): readonly string[] {
  return record.events.map(({ id }) => Buffer.from(id).toString());
}

describe("a write that two replicas stamped", () => {
  const base = withContext(EMPTY_CONTEXT);
  const atA = write(undefined, dot(A, 1), { base, event: "f", kind: "forward", value: "old" });
  const atB = write(undefined, dot(B, 1), { base, event: "f", kind: "forward", value: "old" });

  it("is shown once", () => {
    assert.deepEqual(shown(mergeRecords(atA.record, atB.record)), ["old"]);
  });

  it("is gone under both dots once it is replaced under one, though the replica that replaced it knew only the other", () => {
    const next = write(atB.record, dot(B, 2), { base: withContext(atA.token), value: "new" });
    assert.deepEqual(shown(next.record), ["old", "new"], "until the other stamping arrives nobody can know");
    const merged = mergeRecords(next.record, atA.record);
    assert.deepEqual(shown(merged), ["new"]);
    assert.deepEqual(shown(mergeRecords(atA.record, next.record)), ["new"]);
    assert.deepEqual(shown(write(merged, dot(B, 3), { base: SIBLING, value: "other" }).record), ["new", "other"]);
  });

  it("is not counted against the sibling limit once it is gone", () => {
    const next = write(atB.record, dot(B, 2), { base: withContext(atA.token), value: "new" });
    const merged = mergeRecords(next.record, atA.record);
    assert.equal(merged.siblings.length, 2);
    assert.equal(write(merged, dot(B, 3), { base: SIBLING, siblingsMax: 2 }).repeated, false);
  });
});

describe("a record of which every value would fall", () => {
  it("shows them all rather than nothing: what replaced them is held nowhere else", () => {
    const base = withContext(EMPTY_CONTEXT);
    const [atA, atB, atC] = [dot(A, 1), dot(B, 1), dot(C, 1)].map((at) =>
      write(undefined, at, { base, event: "f", value: "v" }),
    );
    const all = [atA, atB, atC].reduce<KvRecord | undefined>(
      (record, stamped) => (record === undefined ? stamped?.record : mergeRecords(record, stamped?.record ?? record)),
      undefined,
    );
    assert(all !== undefined);
    assert.deepEqual(shown({ ...all, siblings: all.siblings.slice(1) }), ["v"]);
  });
});

describe("a name that a replica has not heard of", () => {
  it("outlives a merge with a record that knows of its write from a client's context alone", () => {
    const first = write(undefined, dot(A, 1), { event: "k", value: "one" });
    const second = write(undefined, dot(B, 1), { base: withContext(first.token), value: "two" });
    const merged = mergeRecords(first.record, second.record);
    assert.deepEqual(ids(merged), ["k"]);
    const retried = write(merged, dot(A, 2), { event: "k", value: "one" });
    assert.equal(retried.repeated, true);
    assert.deepEqual(shown(retried.record), ["two"]);
  });

  it("does not take away the successor that a second stamping replaced together with it", () => {
    const first = write(undefined, dot(A, 1), { event: "k", value: "one" });
    const second = write(undefined, dot(B, 1), { base: withContext(first.token), value: "two" });
    const retried = write(second.record, dot(B, 2), { base: OVERWRITE, event: "k", value: "one" });
    const beside = write(first.record, dot(A, 2), { base: SIBLING, value: "beside" });
    assert.deepEqual(shown(mergeRecords(retried.record, first.record)), ["one"]);
    assert.deepEqual(shown(mergeRecords(retried.record, beside.record)), ["beside", "one"]);
  });

  it("leaves one of two overwrites that replaced each other, each stamped at two replicas", () => {
    const one = write(undefined, dot(A, 1), { event: "one", value: "one" });
    const oneThenTwo = write(one.record, dot(A, 2), { event: "two", value: "two" });
    const two = write(undefined, dot(B, 1), { event: "two", value: "two" });
    const twoThenOne = write(two.record, dot(B, 2), { event: "one", value: "one" });
    const beside = write(undefined, dot(C, 1), { base: SIBLING, value: "beside" }).record;
    const merged = mergeRecords(mergeRecords(oneThenTwo.record, twoThenOne.record), beside);
    assert.deepEqual(shown(merged).toSorted(), ["beside", "one", "two"]);
    assert.deepEqual(shown(write(merged, dot(C, 2), { base: withContext(merged.context), value: "end" }).record), [
      "end",
    ]);
  });
});

describe("a replaced name", () => {
  function overwritten(kind: "client" | "forward", laterMs: number): KvRecord {
    const first = write(undefined, dot(A, 1), { event: "k", kind });
    return write(first.record, dot(A, 2), { nowMs: NOW_MS + laterMs }).record;
  }

  it("is remembered for the window of its kind", () => {
    assert.deepEqual(ids(overwritten("client", EVENT_WINDOW_MS)), ["k"]);
    assert.deepEqual(ids(overwritten("client", EVENT_WINDOW_MS + 1)), []);
    assert.deepEqual(ids(overwritten("forward", EVENT_WINDOW_MS)), ["k"]);
    assert.deepEqual(ids(overwritten("forward", EVENT_WINDOW_MS + 1)), []);
  });

  it("is remembered for ten minutes where clocks are up to five apart from the true time, whichever way", () => {
    const [behind, ahead] = [NOW_MS - 300_000, NOW_MS + 300_000];
    for (const [first, then] of [
      [behind, ahead],
      [ahead, behind],
    ] as const) {
      const stamped = write(undefined, dot(A, 1), { event: "k", nowMs: first }).record;
      for (const laterMs of [0, 600_000])
        assert.deepEqual(ids(write(stamped, dot(B, 1), { nowMs: then + laterMs }).record), ["k"]);
    }
  });

  it("that a clock far ahead stamped does not stay for ever", () => {
    assert.deepEqual(ids(overwritten("client", -EVENT_WINDOW_MS - 1)), []);
  });

  it("stays forgotten when a replica that still has it sends its record", () => {
    const held = write(undefined, dot(A, 1), { event: "k" }).record;
    const forgot = write(held, dot(A, 2), { nowMs: NOW_MS + EVENT_WINDOW_MS + 1 }).record;
    assert.equal(mergeRecords(held, forgot), forgot);
  });

  it("makes room for newer ones, the oldest first, and never for the other kind's", () => {
    let record = write(undefined, dot(A, 1), { event: "forwarded", kind: "forward" }).record;
    for (let counter = 2; counter <= EVENTS_MAX.client + 3; counter++)
      record = write(record, dot(A, counter), { event: `${counter}`, nowMs: NOW_MS + counter }).record;
    assert.deepEqual(ids(record), [
      "forwarded",
      ...Array.from({ length: EVENTS_MAX.client }, (_, index) => `${index + 4}`),
    ]);
  });
});

describe("the oldest name", () => {
  /** A record that A, then B, gave as many names as are remembered; then each time B stamps, its clock at `laterMs` of A's. */
  function stampedByTwo(laterMs: number, more: number): readonly string[] {
    const half = EVENTS_MAX.client / 2;
    let record: KvRecord | undefined;
    for (let counter = 1; counter <= half; counter++)
      record = write(record, dot(A, counter), { event: `a${counter}`, nowMs: NOW_MS + counter }).record;
    for (let counter = 1; counter <= half + more; counter++)
      record = write(record, dot(B, counter), { event: `b${counter}`, nowMs: NOW_MS + laterMs + counter }).record;
    return ids(record as KvRecord);
  }

  it("is that of the write that came first, whoever stamped it", () => {
    const remembered = stampedByTwo(1_000, 10);
    for (const name of ["b1", "b26", "a11", "a16"]) assert(remembered.includes(name), `remembers ${name}`);
    for (const name of ["a1", "a10"]) assert(!remembered.includes(name), `has forgotten ${name}`);
  });

  it("is so also when the clock of who stamped the newer ones is behind", () => {
    assert.deepEqual(stampedByTwo(-300_000, 10), stampedByTwo(1_000, 10));
  });

  it("is remembered for the window even where one clock is far ahead", () => {
    const ahead = write(undefined, dot(A, 1), { event: "a", nowMs: NOW_MS + EVENT_WINDOW_MS }).record;
    const next = write(ahead, dot(B, 1), { event: "b", nowMs: NOW_MS }).record;
    assert.deepEqual(ids(write(next, dot(B, 2), { nowMs: NOW_MS + 1 }).record), ["a", "b"]);
  });
});

describe("a name that arrives", () => {
  const full = (actor: string, count = EVENTS_MAX.client) => {
    let record: KvRecord | undefined;
    for (let counter = 1; counter <= count; counter++)
      record = write(record, dot(actor, counter), { event: `${counter}`, nowMs: NOW_MS + counter }).record;
    return record as KvRecord;
  };
  const late = write(undefined, dot(B, 1), { base: SIBLING, event: "late", nowMs: NOW_MS - 100_000 });

  it("is remembered for as many more writes as any other, though the clock of who stamped it is behind", () => {
    let record = received(full(A), late.record, NOW_MS);
    for (let more = 1; more <= EVENTS_MAX.client - 1; more++) {
      const counter = EVENTS_MAX.client + more;
      record = write(record, dot(A, counter), { event: `${counter}`, nowMs: NOW_MS }).record;
      assert(ids(record).includes("late"), `is forgotten after ${more} more`);
    }
    record = write(record, dot(A, 99), { event: "99", nowMs: NOW_MS }).record;
    assert(!ids(record).includes("late"));
  });

  it("keeps a write that two replicas stamped one write: its other copy, replaced by then, is not shown when it comes", () => {
    const base = withContext(EMPTY_CONTEXT);
    const other = write(undefined, dot(C, 1), { base, event: "twice", value: "old" });
    const behind = write(undefined, dot(B, 1), { base, event: "twice", value: "old", nowMs: NOW_MS - 100_000 });
    const record = received(full(A), behind.record, NOW_MS);
    const next = write(record, dot(A, 99), { base: withContext(record.context), event: "next", value: "new" });
    assert.deepEqual(shown(mergeRecords(next.record, other.record)), ["new"]);
  });

  it("of a write that what is held was written upon stays before that, whatever the clock said that stamped either", () => {
    const history = full(A);
    for (const behindMs of [0, 100_000]) {
      const base = withContext(history.context);
      const alone = write(undefined, dot(B, 1), { base, event: "upon it", nowMs: NOW_MS + 1_000 - behindMs }).record;
      let record = write(alone, dot(B, 2), { base: SIBLING, event: "beside", nowMs: NOW_MS + 1_001 - behindMs }).record;
      record = received(record, history, NOW_MS);
      for (let counter = 3; counter <= EVENTS_MAX.client; counter++) {
        record = write(record, dot(B, counter), { event: `next ${counter}`, nowMs: NOW_MS + 1_000 }).record;
        for (const name of ["upon it", "beside"])
          assert(ids(record).includes(name), `${name} is forgotten by write ${counter}`);
      }
      record = write(record, dot(B, 99), { event: "last", nowMs: NOW_MS + 1_000 }).record;
      assert(!ids(record).includes("upon it") && ids(record).includes("beside"));
    }
  });

  it("of a write that what is held was written upon stays before all that came since, also once the value is replaced", () => {
    const history = full(A);
    const base = withContext(history.context);
    let record = write(undefined, dot(B, 1), { base, event: "upon it", nowMs: NOW_MS - 100_000 }).record;
    record = write(record, dot(B, 2), { event: "then", nowMs: NOW_MS - 100_000 }).record;
    record = received(record, history, NOW_MS);
    record = write(record, dot(B, 3), { event: "next", nowMs: NOW_MS - 100_000 }).record;
    for (const name of ["upon it", "then", "next"]) assert(ids(record).includes(name), `${name} is forgotten`);
    assert.deepEqual(
      record.events.filter(({ dot: { counter, actor } }) => actor === B && counter < 3).map(({ past }) => past),
      [undefined, undefined],
    );
  });

  it("of a write that what is held was written upon leaves the record as it is joined where the times agree", () => {
    const history = full(A);
    const base = withContext(history.context);
    const held = write(undefined, dot(B, 1), { base, event: "b", nowMs: NOW_MS + 1_000 }).record;
    const joined = mergeRecords(held, history);
    assert.equal(inOrderOfArrival(held, joined, NOW_MS), joined);
  });

  it("comes to the same at both, whichever had which first", () => {
    const [ofA, ofB] = [full(A, 5), full(B, 7)];
    const [atA, atB] = [received(ofA, ofB, NOW_MS), received(ofB, ofA, NOW_MS)];
    assert.deepEqual(received(atA, atB, NOW_MS), received(atB, atA, NOW_MS));
    assert.deepEqual(mergeRecords(atA, atB), mergeRecords(atB, atA));
  });

  it("is put where its time says when that is after all that is held, and the record is the joined one then", () => {
    const held = full(A, 3);
    const joined = mergeRecords(held, write(held, dot(B, 1), { event: "b", nowMs: NOW_MS + 9 }).record);
    assert.equal(inOrderOfArrival(held, joined, NOW_MS), joined);
    assert.equal(inOrderOfArrival(joined, joined, NOW_MS), joined);
  });

  it("stays where it is when it is older than the window, or from beyond it by a wrong clock", () => {
    const held = full(A, 3);
    for (const nowMs of [NOW_MS - EVENT_WINDOW_MS - 1, NOW_MS + 2 * EVENT_WINDOW_MS]) {
      const joined = mergeRecords(held, write(undefined, dot(B, 1), { base: SIBLING, event: "b", nowMs }).record);
      assert.equal(inOrderOfArrival(held, joined, NOW_MS), joined);
    }
  });
});

describe("the name of a value that is there", () => {
  it("is never forgotten, however many there are and however old they get", () => {
    let record: KvRecord | undefined;
    for (let counter = 1; counter <= 12; counter++)
      record = write(record, dot(A, counter), {
        base: SIBLING,
        event: `${counter}`,
        nowMs: NOW_MS + counter * 1e6,
      }).record;
    assert.equal(record?.events.length, 12);
  });

  it("keeps its other dots, so that a value which fell does not stand again", () => {
    const base = withContext(EMPTY_CONTEXT);
    const atA = write(undefined, dot(A, 1), { base, event: "f", value: "old" });
    const atB = write(undefined, dot(B, 1), { base, event: "f", value: "old" });
    const next = write(atA.record, dot(A, 2), { base: withContext(atA.token), value: "new" });
    let record = mergeRecords(next.record, atB.record);
    for (let counter = 3; counter <= 5; counter++)
      record = write(record, dot(A, counter), {
        base: SIBLING,
        nowMs: NOW_MS + counter * EVENT_WINDOW_MS,
      }).record;
    assert.deepEqual(texts(standingSiblings(record)), ["new", "value 3", "value 4", "value 5"]);
  });
});
