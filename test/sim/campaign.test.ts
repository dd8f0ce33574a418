/** What goes around single runs: making a failing one small, and saying what many of them never met. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { differenceHere } from "./campaign.ts";
import { FAULT_KINDS } from "./faults.ts";
import { ScenarioFailure, type ScenarioOptions, type ScenarioResult } from "./scenario.ts";
import { shrink } from "./shrink.ts";
import { neverMet } from "./sometimes.ts";
import { Summary, verdictOf } from "./summary.ts";

const STRIKES = 40;

/** A run that breaks a promise 5 s after its strikes 3 and 17, and another one without strike 30. */
async function run({ seed, faults, faultMs = 60_000 }: ScenarioOptions): Promise<void> {
  const without = faults?.without ?? new Set();
  const story = { trace: [], strikes: STRIKES, atMs: 45_000 };
  if (![3, 17].some((strike) => without.has(strike)) && faultMs >= 20_000)
    throw new ScenarioFailure(
      { seed, size: "counted", churn: false },
      story,
      new Error("a read of key 7 missed write 12"),
    );
  if (without.has(30))
    throw new ScenarioFailure({ seed, size: "counted", churn: false }, story, new Error("something else"));
}

describe("shrinking a failing run", () => {
  it("leaves the strikes that it needs, and the time, and does not go after another failure", async () => {
    const told: string[] = [];
    const shrunk = await shrink({ seed: 1, size: "counted", churn: false }, (line) => told.push(line), run);
    assert.deepEqual(shrunk?.strikes, [3, 17]);
    assert.equal(shrunk?.options.faultMs, 22_000);
    assert.match(shrunk?.message ?? "", /missed write 12/);
    assert(told.length > 0 && (shrunk?.runs ?? 0) < 60);
  });

  it("has nothing to do with a run that passes", async () => {
    assert.equal(await shrink({ seed: 1, faultMs: 1_000 }, () => {}, run), undefined);
  });
});

describe("a set of runs", () => {
  const result: ScenarioResult = {
    seed: 1,
    hash: "",
    trace: [],
    events: 1,
    nodes: 5,
    keys: 50,
    faultMs: 60_000,
    virtualMs: 90_000,
    operations: 1_000,
    acknowledged: 300,
    unknown: 1,
    refused: 0,
    retried: 0,
    siblings: 0,
    faultCount: 10,
    changes: 0,
    scales: 0,
    strikes: 12,
    checks: {},
    granted: {},
    faults: { "process crash": 2, held: 7 },
    counters: { "annulus.read.hedges": 3, "annulus.read.hedges_won": 1 },
  };

  it("says what it never met, of faults and of what they lead to", () => {
    const summary = new Summary();
    summary.add({ seed: 1, cpuMs: 1_000, result, failure: undefined });
    const missing = summary.neverMet.join("\n");
    for (const met of ["process crash", "fault: held", "annulus.read.hedges", "client: unknown"])
      assert(!missing.includes(met), met);
    for (const kind of FAULT_KINDS.slice(1)) assert(missing.includes(`fault: ${kind}`), kind);
    assert.match(missing, /a hint delivered/);
    assert.equal(neverMet(new Map()).length, summary.neverMet.length + 5);
  });

  it("expects of runs with operators what happens to operators, and not what their bounds rule out", () => {
    const missing = neverMet(new Map([["fault: kube: scale", 1]]), { operator: true }).join("\n");
    assert.match(missing, /fault: kube: quorums/);
    assert.doesNotMatch(missing, /fault: kube: scale:|tombstone collected/);
    assert.doesNotMatch(neverMet(new Map()).join("\n"), /kube/);
  });

  it("expects of runs in which the ring changes each kind of change, and what it leads to", () => {
    const missing = neverMet(new Map([["fault: change: join", 1]]), { churn: true }).join("\n");
    assert.match(missing, /fault: change: swap: .*annulus\.leftovers\.dropped/s);
    assert.doesNotMatch(missing, /change: join/);
    assert.doesNotMatch(neverMet(new Map()).join("\n"), /change:|leftovers/);
  });

  it("tells how often everything happened, each kind under a heading of its own", () => {
    const summary = new Summary();
    summary.add({ seed: 1, cpuMs: 1_000, result: { ...result, granted: { ttl: 4 } }, failure: undefined });
    const lines = summary.totals().split("\n");
    assert.deepEqual(
      lines.filter((line) => !line.startsWith(" ")),
      [
        "what clients were told:",
        "what clients asked for beyond what the ring says, and were given:",
        "faults that happened, and what they led to:",
        "what nodes and operators counted themselves:",
      ],
    );
    assert.deepEqual(lines.slice(-2), [
      "             3  annulus.read.hedges",
      "             1  annulus.read.hedges_won",
    ]);
  });

  it("of one seed says last that it passed, and with which hash", () => {
    const one = { ...result, seed: 147, hash: "dbfbdb23", faultCount: 11, operations: 338 };
    assert.equal(verdictOf(one), "seed 147 passed, hash dbfbdb23, 11 faults, 338 operations");
  });

  it.each([{}, { churn: true }, { operator: true }])("says when too few of many count: %o", (kind) => {
    const summary = new Summary(kind);
    const add = (acknowledged: number, times: number) => {
      const verdict = { seed: 1, cpuMs: 1, result: { ...result, acknowledged }, failure: undefined };
      for (let time = 0; time < times; time++) summary.add(verdict);
    };
    add(299, 10);
    assert.equal(summary.tooFew, undefined, "of so few nobody can say");
    add(300, 90);
    assert.equal(summary.tooFew, undefined);
    add(299, 1);
    assert.match(summary.tooFew ?? "", /^too few: 90 of 101 seeds .*, of a hundred at least 90 have to be$/);
  });

  it("is told when a seed gives another run in another process", async () => {
    const there = { seed: 3, cpuMs: 5, result: { ...result, seed: 3, hash: "aa" }, failure: undefined };
    const kind = { size: "counted" } as const;
    const again = (hash: string) => () => Promise.resolve({ ...there, cpuMs: 9, result: { ...there.result, hash } });
    assert.equal(await differenceHere(there, kind, again("aa")), undefined);
    assert.match((await differenceHere(there, kind, again("ab"))) ?? "", /seed 3 .*: aa there, and here ab/);
  });

  it("counts only seeds that were large enough, and says how quick they were", () => {
    const summary = new Summary();
    const smaller: Partial<ScenarioResult>[] = [
      {},
      { nodes: 4 },
      { faultMs: 59_000 },
      { operations: 999 },
      { acknowledged: 299 },
      { faultCount: 9 },
      { keys: 51 },
    ];
    for (const less of smaller)
      summary.add({ seed: 1, cpuMs: 1_000, result: { ...result, ...less }, failure: undefined });
    summary.add({ seed: 2, cpuMs: 1_000, result: undefined, failure: "seed 2: broken" });
    assert.equal(summary.counted, 1);
    const lines = summary.lines("seeds 1 to 8", 4);
    assert.match(lines, /^1 of 8 seeds count/);
    assert.match(lines, /6 clusters of 5 nodes ran 90 times faster than real time/);
    assert.match(lines, /7 passed, 1 failed/);
  });
});
