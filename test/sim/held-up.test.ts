/** A process that is held up does nothing, whoever answers it; and its disk shows a batch before it hears of it. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { createSimulatedDisk } from "./disk.ts";
import { createSeededRandom } from "./random.ts";
import { Simulator, WAKINGS } from "./simulator.ts";

const NO_SYNC = { sync: false };
const bytes = (text: string) => new TextEncoder().encode(text);
const put = (key: string) => ({ kind: "put", key: bytes(key), value: bytes("value") }) as const;

function world(seed: number) {
  const simulator = new Simulator();
  const process = simulator.createProcess("node");
  const time = simulator.timeOf(simulator.createProcess("disk"));
  const disk = createSimulatedDisk({ time, random: createSeededRandom(seed) });
  const engine = disk.open(simulator.arrivalsOf(process));
  return { simulator, process, disk, engine };
}

describe("a process that is held up", () => {
  it("hears of what its disk did, and asks for more, only when it goes on", async () => {
    const { simulator, process, disk, engine } = world(1);
    const heard: string[] = [];
    const hear = (what: string) => (call: Promise<unknown>) => void call.then(() => heard.push(what));
    hear("read")(engine.get(bytes("k")));
    hear("batch")(engine.batch([put("a")], NO_SYNC).then(() => engine.batch([put("b")], NO_SYNC)));
    simulator.pause(process, 1_000);
    await simulator.runUntil(900);
    assert.deepEqual(heard, []);
    assert.notEqual(disk.peek(bytes("a")), undefined, "the disk goes on");
    assert.equal(disk.peek(bytes("b")), undefined);
    await simulator.runUntil(1_100);
    assert.deepEqual(heard.sort(), ["batch", "read"]);
    assert.notEqual(disk.peek(bytes("b")), undefined);
  });

  it("is held up until the later of two ends", async () => {
    const { simulator, process } = world(1);
    simulator.pause(process, 1_000);
    simulator.pause(process, 10);
    let ranAtMs = 0;
    simulator.after(5, () => (ranAtMs = simulator.nowMs), process);
    await simulator.runUntil(2_000);
    assert.equal(ranAtMs, 1_000);
  });

  it("goes on in the old order, with its timers or with what arrived first, each kind in its own order", async () => {
    const orders = [];
    for (const wakes of WAKINGS) {
      const { simulator, process } = world(1);
      const time = simulator.timeOf(process);
      let order = "";
      simulator.after(1, () => (order += "a"), process);
      time.after(2, () => (order += "T"));
      simulator.after(3, () => (order += "b"), process);
      time.after(4, () => (order += "U"));
      simulator.pause(process, 100, wakes);
      await simulator.runUntil(200);
      orders.push(order);
    }
    assert.deepEqual(orders, ["aTbU", "TUab", "abTU"]);
  });
});

describe("a simulated disk", () => {
  it("shows a batch before the process hears of it, which may die in between", async () => {
    let shown = 0;
    for (let seed = 0; seed < 20; seed += 1) {
      const { simulator, disk, engine } = world(seed);
      let isHeard = false;
      void engine.batch([put("a")], NO_SYNC).then(() => {
        isHeard = true;
      });
      await simulator.runWhile(() => disk.peek(bytes("a")) === undefined, 100);
      if (!isHeard) shown += 1;
      disk.crash("process");
      await simulator.runUntil(simulator.nowMs + 100);
      assert.notEqual(disk.peek(bytes("a")), undefined);
      assert.equal(isHeard, false);
      assert.equal(disk.counters.untoldAtCrash, 1);
      assert.equal(disk.counters.appliedAtCrash + disk.counters.droppedAtCrash, 0);
    }
    assert.equal(shown, 20);
  });

  it("answers nothing while it hangs, and all of it when it goes on; a process that died meanwhile hears nothing", async () => {
    for (const dies of [false, true]) {
      const { simulator, disk, engine } = world(1);
      const heard: string[] = [];
      disk.hang();
      void engine.batch([put("a")], NO_SYNC).then(() => heard.push("batch"));
      void engine.get(bytes("k")).then(() => heard.push("read"));
      await simulator.runUntil(5_000);
      assert.deepEqual(heard, []);
      if (dies) disk.crash("process");
      disk.goOn();
      await simulator.runUntil(5_100);
      assert.deepEqual(heard.sort(), dies ? [] : ["batch", "read"]);
    }
  });
});
