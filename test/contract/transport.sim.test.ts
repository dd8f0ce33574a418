import assert from "node:assert/strict";
import { SimulatedNetwork } from "../sim/network.ts";
import { createSeededRandom } from "../sim/random.ts";
import { Simulator } from "../sim/simulator.ts";
import { transportContract } from "./transport.ts";
import type { TransportWorld } from "./transport-world.ts";

/** The world of the transport contract in virtual time. */
function createSimulatedWorld(): TransportWorld {
  const simulator = new Simulator();
  const random = createSeededRandom(1);
  const network = new SimulatedNetwork(simulator, random.stream("network"));
  return {
    boot(name) {
      const process = simulator.createProcess(name);
      return {
        network: network.of(process),
        time: simulator.timeOf(process),
        random: random.stream(`${name} at ${simulator.nowMs}`),
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
