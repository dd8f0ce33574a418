/** The clients and the last check of the fault tests, tested: they pass an honest store and catch each lie. */
import { AssertionError } from "node:assert/strict";
import { describe, expect, it } from "@jest/globals";
import { sleep } from "../bench/processes.ts";
import { History } from "../sim/history.ts";
import { Clients } from "./clients.ts";
import { type Lie, LyingStore } from "./lying-store.ts";
import { checkHistory } from "./rest.ts";

const LOAD_MS = 1_000;
/** Each by itself catches most lies. */
const LOADS_MAX = 30;

/** A load over one store under two names, then the last check. Gives how many writes and reads were answered. */
async function loadAndCheck(lie: Lie, seed = 7): Promise<number> {
  const store = new LyingStore(lie);
  const dataPort = await store.start();
  try {
    const nodes = ["one", "two"].map((name) => ({ name, host: "127.0.0.1", dataPort }));
    const history = new History();
    const clients = new Clients(nodes, history, {
      seed,
      clients: 6,
      keys: 12,
      thinkMsMax: 30,
      mix: ["read", "context", "context", "overwrite", "sibling", "remove"],
      isFresh: true,
    });
    await sleep(LOAD_MS);
    await clients.stop();
    await checkHistory({ nodes }, history, clients.keys, 1);
    return clients.counters.acknowledged;
  } finally {
    await store.stop();
  }
}

/** What is said of a store that lies. A lie that nobody came to see before it was written over is none: then there is another load. */
async function complaintOf(lie: Lie): Promise<string> {
  for (let load = 0; load < LOADS_MAX; load++) {
    try {
      await loadAndCheck(lie, load);
    } catch (error) {
      if (!(error instanceof AssertionError)) throw error;
      return error.message;
    }
  }
  return `nothing, after ${LOADS_MAX} loads`;
}

describe("the clients and checks of the fault tests", () => {
  it("pass a store that keeps its word", async () => {
    expect(await loadAndCheck("none")).toBeGreaterThan(100);
  });

  const lies: readonly [Lie, RegExp][] = [
    ["loses a write", /missed write \d+|replaced for good/],
    ["keeps what it refused", /client was told that nothing stuck|showed one write twice/],
    ["brings back", /which had seen it|showed one write twice/],
    ["makes up", /a value that nobody wrote/],
    ["spoils a byte", /other bytes than were written/],
    ["forgets a type", /content type that it was written with/],
    ["counts a retry", /showed one write twice|which had seen it/],
  ];
  it.each(lies)(
    "catch one that %s",
    async (lie, complaint) => {
      expect(await complaintOf(lie)).toMatch(complaint);
    },
    120_000,
  );
});
