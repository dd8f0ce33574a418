import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { firstRing } from "../../../node/core/ring/first-members.ts";
import { zoneFigures } from "../../../node/core/ring/zone-figures.ts";

function ringOf(zones: readonly string[]) {
  const members = zones.map((zone, index) => ({
    name: `n${index}`,
    address: `n${index}:7402`,
    zone,
    weight: 100,
    state: "active" as const,
  }));
  const settings = { partitions: 16, replicationFactor: 3, readQuorum: 2, writeQuorum: 2, mode: "sloppy" } as const;
  return firstRing({ members, ...settings });
}

describe("how the zones share a ring", () => {
  it("counts one home of each partition in each of three zones, and no partition as crowded", () => {
    const { homes, crowded } = zoneFigures(ringOf(["a", "b", "c"]));
    assert.deepEqual([...homes].toSorted(), [
      ["a", 16],
      ["b", 16],
      ["c", 16],
    ]);
    assert.equal(crowded, 0);
  });

  it("does not call partitions crowded where zones are too few for all homes", () => {
    const { homes, crowded } = zoneFigures(ringOf(["a", "a", "b", "b"]));
    assert.equal(
      [...homes.values()].reduce((sum, count) => sum + count),
      48,
    );
    assert.equal(crowded, 0);
  });

  it("finds partitions whose homes share a zone though there are zones enough", () => {
    const ring = ringOf(["a", "b", "c", "a"]);
    const inA = ring.members.flatMap(({ zone }, index) => (zone === "a" ? [index] : []));
    const inB = ring.members.findIndex(({ zone }) => zone === "b");
    const homes = ring.homes.map((list, partition) => (partition < 5 ? [...inA, inB] : list));
    assert.equal(zoneFigures({ ...ring, homes }).crowded, 5);
  });
});
