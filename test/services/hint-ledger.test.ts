/** The count of hints: what the budget goes by, also while they are counted anew. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { KvError } from "../../node/core/errors.ts";
import { hintKey } from "../../node/core/keyspace.ts";
import { PARTITIONS_MAX } from "../../node/core/ring/document.ts";
import type { Engine, Entry } from "../../node/ports.ts";
import type { HintFigures } from "../../node/services/hint-accounts.ts";
import { createHintLedger } from "../../node/services/hint-ledger.ts";
import { Simulator } from "../sim/simulator.ts";

const at = (name: string) => hintKey({ partition: 1, target: "n2", key: new TextEncoder().encode(name) });
const figures = (bytes: number): HintFigures => ({ bytes, counted: true, storedAtMs: 0 });

/** A ledger over a disk of which every page has to be let through. */
function createWorld() {
  const simulator = new Simulator();
  const stored = new Map<string, Entry>();
  let turnPage: (() => void) | undefined;
  let refusal: KvError | undefined;
  let damage: KvError | undefined;
  const engine: Pick<Engine, "scan"> = {
    scan: () =>
      new Promise((resolve, reject) => {
        if (damage !== undefined) return reject(damage);
        turnPage = () => resolve([...stored.values()]);
      }),
  };
  const ledger = createHintLedger(
    {
      engine: engine as Engine,
      commit: {
        async write() {
          if (refusal !== undefined) throw refusal;
        },
      },
      time: simulator.timeOf(simulator.createProcess("n1")),
      telemetry: { count() {}, observe() {}, gauge() {}, log() {} },
      partitions: () => PARTITIONS_MAX,
    },
    ({ value }) => figures(value.length),
  );
  return {
    ledger,
    put(name: string, bytes: number): void {
      stored.set(name, { key: at(name), value: new Uint8Array(bytes) });
      ledger.note({ at: at(name), before: undefined, after: figures(bytes) });
    },
    pass: (ms: number): Promise<void> => simulator.runUntil(simulator.nowMs + ms),
    /** Has the disk take no writes from here on, or take them again. */
    refuseWrites(why: KvError | undefined): void {
      refusal = why;
    },
    /** Has no page be read from here on, or has them be read again. */
    refuseReads(why: KvError | undefined): void {
      damage = why;
    },
    /** Has a batch fail that a hint may have been in. */
    async failBatch(): Promise<void> {
      await ledger.run(async () => ledger.batchFailed());
    },
    async letCount(): Promise<void> {
      await simulator.runUntil(simulator.nowMs + 1);
      turnPage?.();
      await simulator.runUntil(simulator.nowMs + 1);
    },
  };
}

describe("the ledger of hints", () => {
  it("says no less than before while hints are counted anew, and then what is there", async () => {
    const { ledger, put, letCount } = createWorld();
    ledger.count();
    await letCount();
    assert(ledger.isComplete());
    put("a", 300);
    assert.equal(ledger.bytes(), 300);
    ledger.count();
    assert(!ledger.isComplete());
    assert.equal(ledger.bytes(), 300, "a budget of 400 has 100 left, and not 400");
    put("b", 50);
    assert.equal(ledger.bytes(), 350);
    ledger.count();
    assert.equal(ledger.bytes(), 350, "also when the count begins once more");
    await letCount();
    await letCount();
    assert(ledger.isComplete());
    assert.equal(ledger.bytes(), 350);
  });

  it("counts what waits on the disk only once when it comes while the page with it is read", async () => {
    const { ledger, put, letCount } = createWorld();
    put("a", 10);
    ledger.count();
    put("b", 20);
    await letCount();
    assert.equal(ledger.bytes(), 30);
  });

  it("has nobody wait for its count longer than was said", async () => {
    const { ledger, pass, letCount } = createWorld();
    ledger.count();
    const [short, long] = [watched(ledger.counted(1_000)), watched(ledger.counted(5_000))];
    await pass(999);
    assert.deepEqual([short.outcome, long.outcome], ["waits", "waits"]);
    await pass(2);
    assert.deepEqual([short.outcome, long.outcome], ["OVERLOADED none", "waits"]);
    await letCount();
    assert.equal(long.outcome, "counted");
    assert.equal(ledger.counted(1_000), undefined);
  });

  it("has nobody wait at all while the disk is known to take no writes", async () => {
    const { ledger, pass, letCount, refuseWrites, failBatch } = createWorld();
    ledger.count();
    await letCount();
    refuseWrites(new KvError("STORAGE_FULL", "no space", { outcome: "unknown" }));
    await failBatch();
    const early = watched(ledger.counted(60_000));
    await pass(1);
    assert.equal(early.outcome, "STORAGE_FULL none", "who waited already is told as well");
    const late = watched(ledger.counted(60_000));
    await pass(0);
    assert.equal(late.outcome, "STORAGE_FULL none");
    refuseWrites(undefined);
    await pass(2_000);
    const after = watched(ledger.counted(60_000));
    await letCount();
    assert.equal(after.outcome, "counted");
  });

  it("has nobody wait for a page that cannot be read for good, and never says that nothing waits", async () => {
    const { ledger, pass, letCount, refuseReads } = createWorld();
    refuseReads(new KvError("STORAGE_FAILED", "Cannot read: a block is damaged."));
    ledger.count();
    const waiting = watched(ledger.counted(60_000));
    await pass(5_000);
    assert.equal(waiting.outcome, "counted");
    assert.deepEqual([ledger.counted(1_000), ledger.isComplete()], [undefined, false]);
    refuseReads(undefined);
    await pass(5_000);
    await letCount();
    assert(ledger.isComplete());
  });

  it("lets who waits go when it counts no further", async () => {
    const { ledger, pass } = createWorld();
    ledger.count();
    const waiting = watched(ledger.counted(1_000));
    ledger.close();
    await pass(1);
    assert.equal(waiting.outcome, "counted");
    assert.equal(ledger.counted(1_000), undefined);
  });
});

/** How a wait ends, once it has. */
function watched(waiting: Promise<void> | undefined): { outcome: string } {
  const watch = { outcome: "waits" };
  assert(waiting !== undefined);
  waiting.then(
    () => {
      watch.outcome = "counted";
    },
    (error: unknown) => {
      assert(error instanceof KvError);
      watch.outcome = `${error.code} ${error.outcome}`;
    },
  );
  return watch;
}
