/** The clients and the last check of the fault tests, tested: they pass an honest store and catch each lie. */
import { describe, expect, it } from "@jest/globals";
import { sleep } from "../bench/processes.ts";
import { History } from "../sim/history.ts";
import { Clients } from "./clients.ts";
import { type Lie, LyingStore } from "./lying-store.ts";
import { checkHistory } from "./rest.ts";

const LOAD_MS = 1_000;

/** A load over one store under two names, then the last check. Gives how many writes and reads were answered. */
async function loadAndCheck(lie: Lie): Promise<number> {
  const store = new LyingStore(lie);
  const dataPort = await store.start();
  try {
    const nodes = ["one", "two"].map((name) => ({ name, host: "127.0.0.1", dataPort }));
    const history = new History();
    const clients = new Clients(nodes, history, {
      seed: 7,
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

describe("the clients and checks of the fault tests", () => {
  it("pass a store that keeps its word", async () => {
    expect(await loadAndCheck("none")).toBeGreaterThan(100);
  });

  const lies: readonly [Lie, RegExp][] = [
    ["loses a write", /missed write \d+|replaced for good/],
    ["keeps what it refused", /client was told that nothing stuck|showed one write twice/],
    ["brings back", /which had seen it|showed one write twice/],
    ["makes up", /a value that nobody wrote/],
    ["counts a retry", /showed one write twice|which had seen it/],
  ];
  it.each(lies)("catch one that %s", async (lie, complaint) => {
    await expect(loadAndCheck(lie)).rejects.toThrow(complaint);
  });
});
