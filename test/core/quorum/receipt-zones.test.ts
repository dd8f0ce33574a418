/** What a receipt says of zones while a partition moves: no more than both write sets have. */
import { describe, expect, it } from "@jest/globals";
import { writeTallyOf } from "../../../node/core/quorum/write-tally.ts";
import type { RingMember } from "../../../node/core/ring/document.ts";

const member = (name: string, zone: string): RingMember => ({
  name,
  address: `${name}:1`,
  zone,
  weight: 100,
  state: "active",
});

describe("the set that an answer stands on", () => {
  it("is, of two with as many acknowledgements, the one with fewer zones", () => {
    const [a, b, c, d] = [member("a", "z0"), member("b", "z1"), member("c", "z2"), member("d", "z0")];
    const writers = [a, b, c, d];
    // b leaves and d, of a's zone, takes its place.
    const tally = writeTallyOf({ acks: 2, zones: 1 }, writers, [
      [a, b, c],
      [a, d, c],
    ]);
    for (const [place, { zone }] of writers.entries()) {
      tally.ask(1 << place);
      if (place !== 2) tally.acked(1 << place, zone);
    }
    expect([tally.verdict(), tally.weakest.acks, tally.weakest.zones]).toEqual(["won", 2, 1]);
  });
});
