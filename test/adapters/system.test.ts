import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, it } from "@jest/globals";
import { bootId, systemRandom, systemTime } from "../../node/adapters/system.ts";
import { randomContract, timeContract } from "../contract/time.ts";

timeContract("the machine", () => ({
  time: systemTime,
  pass: async (durationMs) => {
    await sleep(durationMs);
  },
}));
randomContract("the machine", systemRandom);

describe("a delay of 0", () => {
  it("ends with the present turn of the event loop, after its promises, unless cancelled", async () => {
    const order: string[] = [];
    const timer = sleep(0).then(() => order.push("timer"));
    systemTime.after(0, () => order.push("turn"));
    const cancelled = systemTime.after(0, () => order.push("cancelled"));
    await Promise.resolve().then(() => order.push("promise"));
    cancelled.cancel();
    await new Promise<void>((resolve) => {
      systemTime.after(0, resolve);
    });
    await timer;
    assert.equal(order[0], "promise");
    assert.ok(order.includes("turn") && !order.includes("cancelled"));
  });
});

describe("the boot id", () => {
  it("is the same as long as the machine runs", () => {
    assert.ok(bootId().length > 0);
    assert.equal(bootId(), bootId());
  });
});
