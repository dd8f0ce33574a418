/** What losses excuse where it is known what they destroyed: each history here breaks the promise, or just keeps it. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { EMPTY_CONTEXT } from "../../node/core/version/context.ts";
import type { CausalContext } from "../../node/core/version/record.ts";
import type { Holding } from "./holdings.ts";
import { type Loss, Losses } from "./losses.ts";
import { A, B, createHistory, dot, KEY, knowing, NOTHING, read, type Told, write } from "./told-history.ts";

const TOKEN = knowing(dot(A, 5));
const told: Told = { token: TOKEN, held: TOKEN };
const MISSED = /missed write 1|knows less/;

function held(own: CausalContext = EMPTY_CONTEXT, ...hints: readonly CausalContext[]): Holding {
  const kept = hints.map((context, index) => [`n${index}`, { context, isCounted: true }] as const);
  return { own, hints: new Map(kept), horizon: EMPTY_CONTEXT };
}

/** A loss that leaves nothing of a key on the struck disk, and on the others what is said. */
function loss(kind: Loss["kind"], member: string, atMs: number, strike: { had: Holding; left: Holding[] }): Loss {
  const { had: before, left } = strike;
  const after = held();
  return { kind, member, key: KEY, fromMs: 0, atMs, strike: { before, after, left: [after, ...left] } };
}

function historyAfter(...losses: readonly Loss[]) {
  const noted = new Losses();
  for (const one of losses) noted.note(one);
  const history = createHistory(noted);
  write(history, { startedMs: 0 }, told);
  return history;
}

describe("the history of losses of which it is known what they destroyed", () => {
  it("excuses nothing for W disks that never held the write", () => {
    const strike = { had: held(knowing(dot(B, 9))), left: [held(TOKEN)] };
    const history = historyAfter(loss("disk", "n8", 50, strike), loss("disk", "n9", 60, strike));
    assert.throws(() => history.checkRead(read(100, [])), MISSED);
    assert.throws(() => history.checkEnd(KEY, [], 200), MISSED);
  });

  it("excuses nothing for W disks that held it, of which the first was filled before the second was lost", () => {
    const strike = { had: held(TOKEN), left: [held(TOKEN)] };
    const history = historyAfter(loss("disk", "n1", 50, strike), loss("disk", "n2", 60, strike));
    assert.throws(() => history.checkRead(read(100, [])), MISSED);
    assert.throws(() => history.checkEnd(KEY, [], 200), MISSED);
  });

  it("excuses the loss of all copies in one moment, for good", () => {
    const history = historyAfter(
      loss("disk", "n1", 50, { had: held(TOKEN), left: [held(TOKEN)] }),
      loss("disk", "n2", 60, { had: held(TOKEN), left: [held(knowing(dot(A, 4)))] }),
    );
    history.checkRead(read(100, []));
    history.checkEnd(KEY, [], 200);
  });

  it("excuses the loss of all that was known in parts, where the last disk knew one part alone", () => {
    const [all, a, b] = [knowing(dot(A, 5), dot(B, 3)), TOKEN, knowing(dot(B, 3))].map((context) => held(context)) as [
      Holding,
      Holding,
      Holding,
    ];
    const noted = new Losses();
    const history = createHistory(noted);
    write(history, { startedMs: 0 }, { token: TOKEN, held: all.own });
    const strikes = [
      { member: "n1", atMs: 50, strike: { before: all, after: b, left: [b, all, a] } },
      { member: "n2", atMs: 51, strike: { before: all, after: b, left: [b, b, a] } },
    ];
    for (const strike of strikes) noted.note({ ...loss("power", "n1", 50, { had: all, left: [] }), ...strike });
    assert.throws(() => history.checkEnd(KEY, [], 200), MISSED);
    const last = { before: a, after: held(), left: [b, b, held()] };
    noted.note({ ...loss("power", "n3", 52, { had: a, left: [] }), strike: last });
    history.checkEnd(KEY, [], 200);
  });

  it("excuses what only hints held that nobody had counted", () => {
    const strike = { had: held(TOKEN), left: [held(EMPTY_CONTEXT, TOKEN)] };
    historyAfter(loss("disk", "n1", 50, strike)).checkEnd(KEY, [], 200);
  });

  it("excuses all where as many copies as counted were lost before they were counted", () => {
    const strike = { had: held(TOKEN), left: [held(TOKEN)] };
    historyAfter(loss("power", "n1", 5, strike), loss("power", "n2", 6, strike)).checkEnd(KEY, [], 200);
    const one = historyAfter(loss("power", "n1", 5, strike), loss("power", "n1", 6, strike));
    assert.throws(() => one.checkEnd(KEY, [], 200), MISSED);
  });

  it("asks after a loss of power whether a strict read meets who has it still, and of a disk that has to be filled nothing", () => {
    const one = { had: held(TOKEN), left: [held(TOKEN)] };
    const power = loss("power", "n1", 50, one);
    historyAfter(power).checkRead(read(100, []));
    assert.throws(() => historyAfter(power).checkRead(read(100, [], { readQuorum: 3 })), MISSED);
    const two = { ...one, left: [held(TOKEN), held(TOKEN)] };
    assert.throws(() => historyAfter(loss("power", "n1", 50, two)).checkRead(read(100, [])), MISSED);
    assert.throws(() => historyAfter(loss("disk", "n1", 50, one)).checkRead(read(100, [])), MISSED);
    assert.throws(() => historyAfter(loss("rot", "n1", 50, one)).checkRead(read(100, [])), MISSED);
  });

  it("takes a disk that has to be filled for one that lacks it where one of those that may fill it lost its power", () => {
    const strike = { had: held(TOKEN), left: [held(TOKEN)] };
    const both = historyAfter(loss("power", "n1", 50, strike), loss("disk", "n2", 60, strike));
    both.checkRead(read(100, []));
    assert.throws(() => both.checkRead(read(100, [], { readQuorum: 3 })), MISSED);
    assert.throws(() => both.checkEnd(KEY, [], 200), MISSED);
  });

  it("excuses nothing for who held only what was written before", () => {
    const older = { had: held(knowing(dot(A, 4))), left: [held(TOKEN), held(TOKEN)] };
    const history = historyAfter(loss("power", "n3", 5, older), loss("power", "n4", 50, older));
    assert.throws(() => history.checkRead(read(100, [])), MISSED);
    assert.throws(() => history.checkEnd(KEY, [], 200), MISSED);
  });

  it("demands of a deletion what horizons keep of it", () => {
    for (const horizon of [TOKEN, EMPTY_CONTEXT]) {
      const noted = new Losses();
      const history = createHistory(noted);
      const value = write(history, { startedMs: 0 });
      write(history, { startedMs: 100, isDelete: true, past: new Set([value.id]) }, told);
      noted.note(loss("disk", "n1", 150, { had: held(TOKEN), left: [{ ...held(), horizon }] }));
      const back = () => history.checkEnd(KEY, [value.id], 200);
      if (horizon === TOKEN) assert.throws(back, /replaced for good/);
      else back();
    }
  });

  it("does not take a lost hint for a copy that a strict read would have met", () => {
    const history = historyAfter(loss("power", "n9", 50, { had: held(EMPTY_CONTEXT, TOKEN), left: [held(TOKEN)] }));
    assert.throws(() => history.checkRead(read(100, [])), MISSED);
  });

  it("takes note of each hint that is lost, also where another on the same disk knows as much", () => {
    const noted = new Losses();
    const one = loss("rot", "n9", 50, { had: held(EMPTY_CONTEXT, TOKEN, TOKEN), left: [] });
    noted.note({
      ...one,
      strike: { before: held(EMPTY_CONTEXT, TOKEN, TOKEN), after: held(EMPTY_CONTEXT, TOKEN), left: [] },
    });
    assert.deepEqual([...noted.disksOf({ key: KEY, startedMs: 0, endedMs: 10, context: TOKEN })], ["n9"]);
  });

  it("takes a hint for lost where a loss of power left it, and took only that a quorum had counted it", () => {
    const noted = new Losses();
    const after = { ...held(), hints: new Map([["n0", { context: TOKEN, isCounted: false }]]) };
    const strike = { before: held(EMPTY_CONTEXT, TOKEN), after, left: [] };
    noted.note({ ...loss("power", "n9", 50, { had: held(), left: [] }), strike });
    noted.note({ ...loss("power", "n8", 50, { had: held(), left: [] }), strike: { ...strike, before: after } });
    assert.deepEqual([...noted.disksOf({ key: KEY, startedMs: 0, endedMs: 10, context: TOKEN })], ["n9"]);
  });

  it("reports that a value comes back after a later deletion where what told of the first was lost", () => {
    const noted = new Losses();
    const history = createHistory(noted);
    const value = write(history, { startedMs: 0 });
    const past = new Set([value.id]);
    write(history, { startedMs: 100, isDelete: true, past }, told);
    noted.note(loss("disk", "n1", 150, { had: held(TOKEN), left: [] }));
    history.checkRead(read(180, [value]));
    write(history, { startedMs: 200, isDelete: true, past }, { ...told, token: knowing(dot(A, 6)) });
    assert.throws(() => history.checkRead(read(300, [value])), /replaced for good/);
  });

  it("demands of reads what other reads knew, on as many disks as hold it", () => {
    const noted = new Losses();
    const history = createHistory(noted);
    history.checkRead(read(0, [], { context: TOKEN }));
    noted.note(loss("power", "n1", 50, { had: held(knowing(dot(B, 9))), left: [held(TOKEN)] }));
    assert.throws(() => history.checkRead(read(100, [], { context: NOTHING })), /knows less/);
    noted.note(loss("power", "n1", 60, { had: held(TOKEN), left: [held(TOKEN)] }));
    history.checkRead(read(100, [], { context: NOTHING }));
  });
});
