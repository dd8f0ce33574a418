/** The view of a ring that requests use, against the document it was made from. */
import assert from "node:assert/strict";
import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { clientRing } from "../../../node/core/ring/client-ring.ts";
import type { RingDocument, RingMember } from "../../../node/core/ring/document.ts";
import { firstRing } from "../../../node/core/ring/first-members.ts";
import { createRing } from "../../../node/core/ring/ring.ts";

const key = (text: string) => new TextEncoder().encode(text);

function member(index: number, zone: string, weight = 100): RingMember {
  return { name: `kv-${index}`, address: `127.0.0.1:${7_000 + index}`, zone, weight, state: "active" };
}

function ringOf(members: readonly RingMember[], partitions = 64): RingDocument {
  return firstRing({ members, partitions, replicationFactor: 3, readQuorum: 2, writeQuorum: 2, mode: "strict" });
}

/** A ring whose table is written out, to see the walk. */
function ringWith(zones: readonly string[], homes: readonly (readonly number[])[]): RingDocument {
  const members = zones.map((zone, index) => member(index, zone));
  return { ...ringOf(members, 4), partitions: homes.length, replicationFactor: homes[0]?.length ?? 0, homes };
}

const names = (members: readonly RingMember[]) => members.map(({ name }) => name);

const documents = fc
  .array(fc.record({ zone: fc.constantFrom("a", "b", "c", "d"), weight: fc.constantFrom(0, 100, 300) }), {
    minLength: 3,
    maxLength: 12,
  })
  .filter((shapes) => shapes.filter(({ weight }) => weight > 0).length >= 3)
  .map((shapes) => ringOf(shapes.map(({ zone, weight }, index) => member(index, zone, weight))));

describe("a ring", () => {
  it("knows each partition's homes in order, and each member's partitions", () => {
    fc.assert(
      fc.property(documents, (document) => {
        const ring = createRing(document);
        for (const [partition, row] of document.homes.entries()) {
          expect(ring.homes(partition)).toEqual(row.map((home) => document.members[home]));
        }
        for (const [index, { name }] of document.members.entries()) {
          const mine = [...document.homes.keys()].filter((partition) => document.homes[partition]?.includes(index));
          expect(ring.partitionsOf(name)).toEqual(mine);
          for (const partition of document.homes.keys()) {
            expect(ring.isHome(name, partition)).toBe(mine.includes(partition));
          }
        }
      }),
      { seed: 6, numRuns: 30 },
    );
  });

  it("finds the partition of a key, the same for every ring of as many partitions", () => {
    const three = createRing(ringOf([0, 1, 2].map((index) => member(index, "a"))));
    const nine = createRing(ringOf([0, 1, 2, 3, 4, 5, 6, 7, 8].map((index) => member(index, "a"))));
    expect(three.partitionOf(key("a"))).toBe(0xd2 >> 2);
    expect(nine.partitionOf(key("a"))).toBe(three.partitionOf(key("a")));
  });

  it("answers each time with the same arrays", () => {
    const ring = createRing(ringOf([0, 1, 2, 3, 4].map((index) => member(index, "a"))));
    expect(ring.homes(7)).toBe(ring.homes(7));
    expect(ring.standIns(7)).toBe(ring.standIns(7));
    expect(ring.partitionsOf("kv-1")).toBe(ring.partitionsOf("kv-1"));
  });

  it("knows no stranger, and refuses a partition it does not have", () => {
    const ring = createRing(ringOf([0, 1, 2].map((index) => member(index, "a"))));
    expect(ring.member("kv-9")).toBeUndefined();
    expect(ring.partitionsOf("kv-9")).toEqual([]);
    expect(ring.isHome("kv-9", 0)).toBe(false);
    expect(() => ring.homes(64)).toThrow(assert.AssertionError);
  });

  it("counts the zones that hold something", () => {
    const document = ringOf([member(0, "a"), member(1, "b"), member(2, "b"), member(3, "c", 0)]);
    expect(createRing(document).zoneCount).toBe(2);
  });
});

describe("stand-ins", () => {
  it("are all other members that may hold replicas, each once, never a home", () => {
    fc.assert(
      fc.property(documents, (document) => {
        const ring = createRing(document);
        for (const partition of document.homes.keys()) {
          const all = [...ring.homes(partition), ...ring.standIns(partition)];
          const able = document.members.filter(({ weight }) => weight > 0);
          expect(names(all).toSorted()).toEqual(names(able).toSorted());
        }
      }),
      { seed: 7, numRuns: 30 },
    );
  });

  it("never take a zone twice while an untaken one is left", () => {
    fc.assert(
      fc.property(documents, (document) => {
        const ring = createRing(document);
        for (const partition of document.homes.keys()) {
          const taken = new Set(ring.homes(partition).map(({ zone }) => zone));
          const left = ring.standIns(partition);
          for (const [index, { zone }] of left.entries()) {
            const isUntakenLeft = left.slice(index).some((other) => !taken.has(other.zone));
            assert(!taken.has(zone) || !isUntakenLeft, `zone ${zone} is taken again too early`);
            taken.add(zone);
          }
        }
      }),
      { seed: 8, numRuns: 30 },
    );
  });

  it("come in the order in which a clockwise walk meets the first places of the next partitions", () => {
    const ring = createRing(
      ringWith(
        ["a", "a", "a", "a", "a"],
        [
          [0, 1],
          [2, 0],
          [0, 3],
          [4, 2],
        ],
      ),
    );
    expect(names(ring.standIns(0))).toEqual(["kv-2", "kv-4", "kv-3"]);
    expect(names(ring.standIns(3))).toEqual(["kv-0", "kv-1", "kv-3"]);
  });

  it("are met again from the beginning of the ring, and in later places when never first", () => {
    const ring = createRing(
      ringWith(
        ["a", "b", "c", "a", "c"],
        [
          [0, 1, 2],
          [1, 3, 4],
          [0, 1, 4],
          [0, 3, 2],
        ],
      ),
    );
    expect(names(ring.standIns(2))).toEqual(["kv-3", "kv-2"]);
  });

  it("prefer zones that hold no home", () => {
    const ring = createRing(
      ringWith(
        ["a", "b", "a", "c"],
        [
          [0, 1],
          [2, 0],
          [3, 1],
          [2, 1],
        ],
      ),
    );
    expect(names(ring.standIns(0))).toEqual(["kv-3", "kv-2"]);
  });

  it("include a member that has weight and no place yet, at the end, but none that is joining or gone", () => {
    const document = ringWith(
      ["a", "a", "a", "a", "a"],
      [
        [0, 1],
        [2, 0],
      ],
    );
    const members = document.members.map(
      (each, index): RingMember => (index === 3 ? { ...each, state: "joining" } : each),
    );
    expect(names(createRing({ ...document, members }).standIns(0))).toEqual(["kv-2", "kv-4"]);
  });
});

describe("the ring that clients are told", () => {
  it("has the homes that reads ask and the members that are there, and nothing of the cluster's insides", () => {
    const document = ringOf([member(0, "a"), member(1, "b"), member(2, "c"), { ...member(3, "d"), state: "left" }], 4);
    const told = clientRing("shop", createRing(document));
    expect(told.members).toEqual([
      { name: "kv-0", host: "127.0.0.1", zone: "a" },
      { name: "kv-1", host: "127.0.0.1", zone: "b" },
      { name: "kv-2", host: "127.0.0.1", zone: "c" },
    ]);
    expect(told.preferenceLists).toEqual(document.homes.map((row) => row.map((home) => `kv-${home}`)));
    expect([told.cluster, told.epoch, told.partitions, told.n]).toEqual(["shop", 1, 4, 3]);
  });
});
