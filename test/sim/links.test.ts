/** Links of the simulated network that are slow for a while, and connections that break between processes that live. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import type { Wire, WireEvents } from "../../node/adapters/tcp/wire.ts";
import { SimulatedNetwork } from "./network.ts";
import { createSeededRandom } from "./random.ts";
import { Simulator } from "./simulator.ts";

type Heard = { readonly frames: { readonly atMs: number; readonly number: number }[]; closed: Error | undefined };

/** A frame of 9 bytes that carries a number. */
function frame(number: number): Uint8Array {
  const bytes = new Uint8Array(9);
  new DataView(bytes.buffer).setUint32(0, 1);
  bytes[8] = number;
  return bytes;
}

async function connected(seed = 1) {
  const simulator = new Simulator();
  const network = new SimulatedNetwork(simulator, createSeededRandom(seed));
  const processes = { a: simulator.createProcess("a"), b: simulator.createProcess("b") };
  const heard = { a: listener(simulator), b: listener(simulator) };
  const far: Wire[] = [];
  await network.of(processes.b).listen({ host: "b", port: 1 }, (wire) => {
    far.push(wire);
    wire.attach(heard.b.events);
  });
  const near = network.of(processes.a).dial("b:1");
  near.attach(heard.a.events);
  await simulator.runUntil(100);
  return { simulator, network, processes, near, far: far[0] ?? assert.fail("b accepted"), heard };
}

function listener(simulator: Simulator): { readonly told: Heard; readonly events: WireEvents } {
  const told: Heard = { frames: [], closed: undefined };
  return {
    told,
    events: {
      connected() {},
      drained() {},
      data: (chunk) => told.frames.push({ atMs: simulator.nowMs, number: chunk[8] ?? 0 }),
      closed: (error) => {
        told.closed = error;
      },
    },
  };
}

describe("a slow link", () => {
  it("delays what goes one way, and keeps the order, also when it becomes quick again", async () => {
    const { simulator, network, near, far, heard } = await connected();
    network.setTravel("a", "b", [200, 300]);
    near.write(frame(1));
    near.write(frame(2));
    far.write(frame(3));
    await simulator.runUntil(150);
    assert.deepEqual(
      heard.a.told.frames.map(({ number }) => number),
      [3],
    );
    network.setTravel("a", "b", undefined);
    near.write(frame(4));
    await simulator.runUntil(1_000);
    assert.deepEqual(
      heard.b.told.frames.map(({ number }) => number),
      [1, 2, 4],
    );
    assert(heard.b.told.frames.every(({ atMs }) => atMs >= 300 && atMs <= 400));
  });
});

describe("a connection that breaks", () => {
  it("ends at both ends with an error, with what was under way, and another can be made at once", async () => {
    const { simulator, network, processes, near, heard } = await connected();
    near.write(frame(1));
    assert.equal(network.breakConnections("b", "a"), 1);
    assert.equal(network.breakConnections("b", "a"), 0);
    await simulator.runUntil(200);
    assert.deepEqual(heard.b.told.frames, []);
    assert.match(String(heard.a.told.closed), /reset/);
    assert.match(String(heard.b.told.closed), /reset/);
    let isConnected = false;
    const again = network.of(processes.a).dial("b:1");
    again.attach({
      ...heard.a.events,
      connected() {
        isConnected = true;
      },
    });
    await simulator.runUntil(300);
    assert(isConnected);
  });
});

describe("a host whose process is held up", () => {
  it("takes a connection when it goes on, and then what came over it", async () => {
    const { simulator, network, processes, heard } = await connected();
    simulator.pause(processes.b, 500, "timers first");
    const again = network.of(processes.a).dial("b:1");
    again.attach({ ...heard.a.events, connected: () => again.write(frame(7)) });
    await simulator.runUntil(500);
    assert.deepEqual(heard.b.told.frames, []);
    await simulator.runUntil(700);
    assert.deepEqual(
      heard.b.told.frames.map(({ atMs, number }) => ({ atMs, number })),
      [{ atMs: 600, number: 7 }],
    );
  });
});
