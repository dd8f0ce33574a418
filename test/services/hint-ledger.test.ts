/** The count of hints: what the budget goes by, also while they are counted anew. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { hintKey } from "../../node/core/keyspace.ts";
import type { Engine, Entry } from "../../node/ports.ts";
import { createHintLedger, type HintFigures } from "../../node/services/hint-ledger.ts";
import { Simulator } from "../sim/simulator.ts";

const at = (name: string) => hintKey({ partition: 1, target: "n2", key: new TextEncoder().encode(name) });
const figures = (bytes: number): HintFigures => ({ bytes, counted: true, storedAtMs: 0 });

/** A ledger over a disk of which every page has to be let through. */
function createWorld() {
  const simulator = new Simulator();
  const stored = new Map<string, Entry>();
  let turnPage: (() => void) | undefined;
  const engine: Pick<Engine, "scan"> = {
    scan: () =>
      new Promise((resolve) => {
        turnPage = () => resolve([...stored.values()]);
      }),
  };
  const ledger = createHintLedger(
    {
      engine: engine as Engine,
      commit: { write: async () => {} },
      time: simulator.timeOf(simulator.createProcess("n1")),
      telemetry: { count() {}, observe() {}, gauge() {}, log() {} },
    },
    ({ value }) => figures(value.length),
  );
  return {
    ledger,
    put(name: string, bytes: number): void {
      stored.set(name, { key: at(name), value: new Uint8Array(bytes) });
      ledger.note({ at: at(name), before: undefined, after: figures(bytes) });
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
});
