/** What a client is told of a request that fell short: by what was short, replicas or zones. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { WriteTally } from "../../node/core/quorum/write-tally.ts";
import type { RingMember } from "../../node/core/ring/document.ts";
import { shortfallText } from "../../node/services/shortfall.ts";
import type { WriteParts } from "../../node/services/write.ts";
import { refuseUnsent, shortfallOf } from "../../node/services/write-refusals.ts";

const member = (name: string, zone: string): RingMember => ({
  ...{ name, zone, address: `${name}:1`, weight: 100, state: "active" },
});
const HOMES = [member("n1", "a"), member("n2", "b"), member("n3", "c")];
const SPARE = member("n4", "a");

/** What is said before anything is sent, where `down` are down. */
function unsent(down: readonly string[], asked: { w: number; zones: number; mode: "strict" | "sloppy" }): string {
  const { w, zones, mode } = asked;
  const choices = { readQuorum: 2, writeQuorum: w, mode, zones, timeoutMs: 1_000, trace: undefined };
  const parts = { isUp: (name: string) => !down.includes(name), durability: "os" } as WriteParts;
  const walk = mode === "sloppy" ? [SPARE] : [];
  return refuseUnsent(parts, { sets: [HOMES], walk, choices })?.message ?? "sent";
}

describe("a write that is not sent", () => {
  it("names the zones where they are short, and replicas enough", () => {
    assert.equal(
      unsent(["n2"], { w: 2, zones: 3, mode: "sloppy" }),
      "Cannot write: 3 zones are needed, and of the home replicas and stand-ins 3 are up, which count for 2 zones. Nothing was sent.",
    );
  });

  it("names the replicas where those are short, and zones where they were asked for", () => {
    const down = ["n2", "n3"];
    assert.equal(
      unsent(down, { w: 2, zones: 1, mode: "strict" }),
      "Cannot write: 2 home replicas are needed, 1 is up. Nothing was sent.",
    );
    assert.equal(
      unsent(down, { w: 3, zones: 2, mode: "sloppy" }),
      "Cannot write: 3 home replicas and stand-ins of 2 zones are needed, 2 are up, of 1 zone. Nothing was sent.",
    );
    assert.equal(
      unsent(["n1", ...down], { w: 1, zones: 1, mode: "strict" }),
      "Cannot write: one of the home replicas is needed, 0 are up. Nothing was sent.",
    );
  });
});

describe("a write that fell short", () => {
  const told = (zones: readonly string[], required: { acks: number; zones: number }) => {
    const tally = new WriteTally(required, [0b111]);
    for (const [index, zone] of zones.entries()) {
      tally.ask(1 << index);
      tally.acked(1 << index, zone);
    }
    const receipt = { acks: zones.length, asked: 3, zones: 1, hinted: 0, durability: "os" } as const;
    const why = { code: "TIMED_OUT", timeoutMs: 500, storageError: undefined, receipt } as const;
    return shortfallOf(tally, why).message;
  };

  it("says whether zones or acknowledgements were short", () => {
    const again = "Repeat it with the same context or Idempotency-Key.";
    assert.equal(
      told(["a", "a"], { acks: 2, zones: 2 }),
      `Cannot confirm the write: only 1 of 2 zones took part; 2 of 2 acknowledgements came within 500 ms. ${again}`,
    );
    assert.equal(
      told(["a"], { acks: 2, zones: 1 }),
      `Cannot confirm the write: 1 of 2 acknowledgements came within 500 ms. ${again}`,
    );
    assert.equal(
      told(["a"], { acks: 2, zones: 2 }),
      `Cannot confirm the write: 1 of 2 acknowledgements came, from 1 of 2 zones within 500 ms. ${again}`,
    );
  });
});

describe("a read that fell short", () => {
  it("says that zones were short, where replicas enough answered, stand-ins among them", () => {
    const what = "home replicas and stand-ins answered";
    assert.equal(
      shortfallText({ acks: 3, required: 2, zones: 2, zonesRequired: 3 }, what),
      "only 2 of 3 zones took part; 3 of 2 home replicas and stand-ins answered",
    );
    // What came afterwards took too long.
    assert.equal(
      shortfallText({ acks: 2, required: 2, zones: 1, zonesRequired: 1 }, what),
      "2 of 2 home replicas and stand-ins answered",
    );
  });
});
