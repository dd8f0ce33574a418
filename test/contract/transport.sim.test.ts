import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { SimulatedNetwork } from "../sim/network.ts";
import { createSeededRandom } from "../sim/random.ts";
import { Simulator } from "../sim/simulator.ts";
import { transportContract } from "./transport.ts";
import { echo, read, Scene, type TransportWorld } from "./transport-world.ts";

/** The world of the transport contract in virtual time. */
function createSimulatedWorld(): TransportWorld & { readonly links: SimulatedNetwork } {
  const simulator = new Simulator();
  const random = createSeededRandom(1);
  /** Two machines of one name that are booted at one moment draw different numbers all the same. */
  let boots = 0;
  const network = new SimulatedNetwork(simulator, random.stream("network"));
  return {
    links: network,
    boot(name) {
      const process = simulator.createProcess(name);
      return {
        network: network.of(process),
        time: simulator.timeOf(process),
        random: random.stream(`${name}, boot ${boots++}`),
        listen: { host: name, port: 7402 },
        die(kind) {
          process.alive = false;
          network.crash(process, kind);
        },
      };
    },
    async until(condition, withinMs) {
      assert(
        await simulator.runWhile(() => !condition(), withinMs),
        `the condition did not hold within ${withinMs} ms of virtual time: ${condition}`,
      );
    },
    advance: (durationMs) => simulator.runUntil(simulator.nowMs + durationMs),
    dispose: async () => {},
  };
}

transportContract("the simulated network", createSimulatedWorld);

/** Sends requests over a link on whose first milliseconds a cut of 3 s falls, and gives how old the oldest was when served. */
async function oldestServedMs(
  cutAfterMs: number,
  from: string,
  to: string,
): Promise<{ oldest: number; expired: number }> {
  const world = createSimulatedWorld();
  const scene = new Scene(world);
  const [a, b] = [await scene.started("a"), await scene.started("b")];
  const sentMs = new Map<string, number>();
  let oldest = 0;
  for (const node of [a, b]) {
    node.handler = (peer, request, budgetMs) => {
      const key = request.kind === "read" ? Buffer.from(request.key).toString() : "";
      oldest = Math.max(oldest, node.time.monotonicMs() - (sentMs.get(key) ?? node.time.monotonicMs()));
      return echo(peer, request, budgetMs);
    };
  }
  a.peers(b);
  b.peers(a);
  await scene.advance(cutAfterMs);
  world.links.cut(from, to);
  const answers: Promise<unknown>[] = [];
  for (let step = 0; step < 60; step++) {
    for (const [asker, asked] of [
      [a, b],
      [b, a],
    ] as const) {
      if (!asker.isLinked(asked)) continue;
      const key = `${asker.name} ${step}`;
      sentMs.set(key, asker.time.monotonicMs());
      answers.push(Promise.allSettled([asker.request(asked, read(key), 1_000)]));
    }
    await scene.advance(50);
  }
  world.links.heal();
  await scene.linked(a, b);
  // One round trip after the cut each side knows the other's clock, and what is sent then is served.
  await scene.advance(20);
  const late = await scene.settle(a.request(b, read("last"), 1_000));
  assert.equal(late.kind, "record");
  await scene.settle(Promise.all(answers));
  await scene.advance(100);
  const expired = a.counted("expired_requests") + b.counted("expired_requests");
  await scene.end();
  return { oldest, expired };
}

describe("a link that a cut meets while it begins", () => {
  it("serves no request after its time, also where all its first frames waited together", async () => {
    let expired = 0;
    for (const [from, to] of [
      ["a", "b"],
      ["b", "a"],
    ] as const) {
      for (let cutAfterMs = 0; cutAfterMs < 12; cutAfterMs += 0.25) {
        const run = await oldestServedMs(cutAfterMs, from, to);
        assert(run.oldest <= 1_010, `${from} to ${to} cut after ${cutAfterMs} ms: served after ${run.oldest} ms`);
        expired += run.expired;
      }
    }
    assert(expired > 20, `only ${expired} requests came too late`);
  });
});
