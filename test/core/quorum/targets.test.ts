/** Who is asked first, for every small cluster and every set of members that are up. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import fc from "fast-check";
import { readOrder, stampOrder } from "../../../node/core/quorum/targets.ts";
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
        const order = names(readOrder(list, { self: me, isUp, rotation }));
        assert.deepEqual([...order].sort(), names(list).sort());
        if (names(list).includes(me)) assert.equal(order[0], me);
        const firstDown = order.findIndex((name) => !isUp(name));
        if (firstDown >= 0) assert.ok(order.slice(firstDown).every((name) => !isUp(name)));
      }),
    );
  });

  it("spreads the first question evenly over the homes", () => {
    const list = ["n1", "n2", "n3"].map(home);
    const firsts = [0, 1, 2].map(
      (rotation) => readOrder(list, { self: "elsewhere", isUp: () => true, rotation })[0]?.name,
    );
    assert.deepEqual(firsts.sort(), ["n1", "n2", "n3"]);
  });
});
