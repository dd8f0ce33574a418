/** Who is asked first, for every small cluster and every set of members that are up. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import fc from "fast-check";
import { Pace } from "../../../node/core/quorum/pace.ts";
import { readOrder, StandIns, stampOrder, standInsForRead } from "../../../node/core/quorum/targets.ts";
import type { RingMember } from "../../../node/core/ring/document.ts";

const NAMES = ["n1", "n2", "n3", "n4", "n5"];
const home = (name: string): RingMember => ({ name, address: `${name}:1`, zone: "a", weight: 100, state: "active" });
const homes = fc.shuffledSubarray(NAMES, { minLength: 1 }).map((names) => names.map(home));
const up = fc.subarray(NAMES);
const self = fc.constantFrom(...NAMES, "elsewhere");
const names = (members: readonly RingMember[]) => members.map((member) => member.name);

describe("the order in which homes are asked to stamp", () => {
  it("holds every home once, those that are up first, and is the same through every node for a blind overwrite", () => {
    fc.assert(
      fc.property(homes, up, self, (list, upNames, me) => {
        const isUp = (name: string) => upNames.includes(name);
        const order = names(stampOrder(list, { self: me, isUp, blindOverwrite: true }));
        assert.deepEqual([...order].sort(), names(list).sort());
        assert.equal(order[0], names(list).find(isUp) ?? names(list)[0]);
        assert.deepEqual(order, names(stampOrder(list, { self: "elsewhere", isUp, blindOverwrite: true })));
      }),
    );
  });

  it("begins with this node for a write with a context when it is a home, which saves a hop", () => {
    fc.assert(
      fc.property(homes, up, self, (list, upNames, me) => {
        const isUp = (name: string) => name === me || upNames.includes(name);
        const order = names(stampOrder(list, { self: me, isUp, blindOverwrite: false }));
        assert.equal(order[0], names(list).includes(me) ? me : (names(list).find(isUp) ?? names(list)[0]));
        const firstDown = order.findIndex((name) => !isUp(name));
        if (firstDown >= 0 && order.some(isUp)) assert.ok(order.slice(firstDown).every((name) => !isUp(name)));
      }),
    );
  });
});

describe("the order in which homes are asked to read", () => {
  it("holds every home once, this node first, those thought down last", () => {
    fc.assert(
      fc.property(homes, up, self, fc.nat(), (list, upNames, me, rotation) => {
        const isUp = (name: string) => name === me || upNames.includes(name);
        const order = names(readOrder(list, { self: me, isUp, rotation, pace: new Pace() }));
        assert.deepEqual([...order].sort(), names(list).sort());
        if (names(list).includes(me)) assert.equal(order[0], me);
        const firstDown = order.findIndex((name) => !isUp(name));
        if (firstDown >= 0) assert.ok(order.slice(firstDown).every((name) => !isUp(name)));
      }),
    );
  });

  it("puts who is slow behind all that are up and before those thought down, but for one read in many", () => {
    const list = ["n1", "n2", "n3", "n4"].map(home);
    const pace = new Pace();
    for (let i = 0; i < 200; i++) for (const { name } of list) pace.add(name, name === "n1" || name === "n4" ? 200 : 2);
    const orderOf = (self: string, rotation: number) =>
      names(readOrder(list, { self, isUp: (name) => name !== "n3", rotation, pace }));
    for (let rotation = 1; rotation < 256; rotation++) {
      for (const self of ["n1", "n2", "elsewhere"]) {
        const order = orderOf(self, rotation);
        assert.deepEqual([order[0], order[1] === "n3", order[3]], ["n2", false, "n3"]);
      }
    }
    assert.equal(orderOf("n1", 256)[0], "n1");
  });

  it("spreads the first question evenly over the homes", () => {
    const list = ["n1", "n2", "n3"].map(home);
    const firsts = [0, 1, 2].map(
      (rotation) => readOrder(list, { self: "elsewhere", isUp: () => true, rotation, pace: new Pace() })[0]?.name,
    );
    assert.deepEqual(firsts.sort(), ["n1", "n2", "n3"]);
  });
});

describe("who stands in for missing homes", () => {
  const zoned = (name: string, zone: string): RingMember => ({ ...home(name), zone });
  const walk = fc
    .shuffledSubarray(["m1", "m2", "m3", "m4", "m5", "m6"], { minLength: 0 })
    .chain((members) =>
      fc
        .array(fc.constantFrom("a", "b", "c"), { minLength: members.length, maxLength: members.length })
        .map((zones) => members.map((name, index) => zoned(name, zones[index] ?? "a"))),
    );
  const upOfWalk = fc.subarray(["m1", "m2", "m3", "m4", "m5", "m6"]);
  const wanted = fc.array(fc.constantFrom("a", "b", "c"), { maxLength: 8 });

  it("is the walk's first of the home's own zone that is up, the walk's first of all when there is none; nobody twice", () => {
    fc.assert(
      fc.property(walk, upOfWalk, wanted, (members, upNames, zones) => {
        const standIns = new StandIns(members, (name) => upNames.includes(name));
        const taken = new Set<RingMember>();
        for (const zone of zones) {
          const left = members.filter((member) => upNames.includes(member.name) && !taken.has(member));
          const chosen = standIns.take(zone);
          assert.equal(chosen, left.find((member) => member.zone === zone) ?? left[0]);
          if (chosen !== undefined) taken.add(chosen);
        }
      }),
    );
  });

  it("leaves out whoever was excluded", () => {
    const [one, two] = [zoned("m1", "a"), zoned("m2", "a")];
    const standIns = new StandIns([one, two], () => true);
    standIns.exclude(one);
    standIns.exclude(zoned("m9", "a"));
    assert.equal(standIns.take("a"), two);
    assert.equal(standIns.take("a"), undefined);
  });

  it("is found by a read where a write put it: the stand-ins of homes that are down come first, as many as homes", () => {
    fc.assert(
      fc.property(homes, up, walk, upOfWalk, (list, upHomes, members, upNames) => {
        const isUp = (name: string) => upHomes.includes(name) || upNames.includes(name);
        const forWrite = new StandIns(members, isUp);
        const expected = list.filter(({ name }) => !isUp(name)).map(({ zone }) => forWrite.take(zone));
        const asked = standInsForRead(list, members, isUp);
        assert.deepEqual(
          asked.slice(0, expected.length),
          expected.filter((member) => member !== undefined),
        );
        assert.equal(asked.length, Math.min(list.length, members.filter(({ name }) => isUp(name)).length));
        assert.equal(new Set(asked).size, asked.length);
      }),
    );
  });
});
