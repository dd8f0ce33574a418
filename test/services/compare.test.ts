/** One comparison with a peer whose answers are scripted: what one record keeps from the others, and what not. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { KvError } from "../../node/core/errors.ts";
import { bytes, KEYS, PAIRING, worldOf } from "./compare-world.ts";

describe("a comparison", () => {
  it("brings all records but one that no message can hold, which it counts and tells of in the end", async () => {
    const { comparer, merged, telemetry } = worldOf(KEYS, async (key) => {
      if (key === "key 5") throw new KvError("TOO_LARGE", "Cannot send a message.");
      return bytes("record");
    });
    await assert.rejects(comparer.mend(PAIRING), { code: "TOO_LARGE" });
    assert.deepEqual(
      merged,
      KEYS.filter((key) => key !== "key 5"),
    );
    assert.equal(telemetry.counted("annulus.repair.records_too_large"), 1);
  });

  it("asks again, one by one, for what the large ones beside them left no room for", async () => {
    let reading = 0;
    const { comparer, merged } = worldOf(KEYS, async () => {
      if (reading >= 2) throw new KvError("OVERLOADED", "Cannot answer: too many bytes are queued.");
      reading += 1;
      await new Promise(setImmediate);
      reading -= 1;
      return bytes("record");
    });
    assert.equal(await comparer.mend(PAIRING), true);
    assert.deepEqual(merged.toSorted(), KEYS.toSorted());
  });

  it("ends with the peer's error when that stays", async () => {
    const { comparer } = worldOf(KEYS, async () => {
      throw new KvError("OVERLOADED", "Cannot answer: too many bytes are queued.");
    });
    await assert.rejects(comparer.mend(PAIRING), { code: "OVERLOADED" });
  });
});
