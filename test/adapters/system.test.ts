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

describe("the boot id", () => {
  it("is the same as long as the machine runs", () => {
    assert.ok(bootId().length > 0);
    assert.equal(bootId(), bootId());
  });
});
