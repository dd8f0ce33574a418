/** A comparison with a peer that finds a damaged record as it makes its lists. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { bytes, KEYS, PAIRING, worldOf } from "../services/compare-world.ts";

describe("a comparison", () => {
  it("is no evidence where the peer found something damaged as it made its lists, which they lack then", async () => {
    const record = async () => bytes("record");
    assert.equal(await worldOf(KEYS, record, true).comparer.mend(PAIRING), false);
    assert.equal(await worldOf(KEYS, record).comparer.mend(PAIRING), true);
  });
});
