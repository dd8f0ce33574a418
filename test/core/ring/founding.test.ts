import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import type { RingDocument } from "../../../node/core/ring/document.ts";
import { firstRing, parseFirstMembers } from "../../../node/core/ring/first-members.ts";
import { judgeFounding, type Testimony } from "../../../node/core/ring/founding.ts";

const RING = firstRing({
  members: parseFirstMembers("a=h:1@x,b=h:2@y,c=h:3@z"),
  partitions: 8,
  replicationFactor: 3,
  readQuorum: 2,
  writeQuorum: 2,
  mode: "sloppy",
});
const ringAt = (epoch: number): RingDocument => ({ ...RING, epoch });
const never: Testimony = { kind: "never" };
const lost: Testimony = { kind: "lost" };
const silent: Testimony = { kind: "silent" };
const ring = (epoch: number): Testimony => ({ kind: "ring", document: ringAt(epoch) });

describe("the founding of a ring", () => {
  it("waits for a majority of the first members", () => {
    expect(judgeFounding([silent, silent], false).kind).toBe("wait");
    expect(judgeFounding([never, silent], false).kind).toBe("found");
    expect(judgeFounding([never, silent, silent], false).kind).toBe("wait");
    expect(judgeFounding([never, never, silent, silent], false).kind).toBe("found");
  });

  it("takes the newest ring that somebody has, whatever the others say", () => {
    expect(judgeFounding([ring(3), lost], false)).toEqual({ kind: "adopt", document: ringAt(3) });
    expect(judgeFounding([ring(3), ring(7), never], true)).toEqual({ kind: "adopt", document: ringAt(7) });
  });

  it("makes no ring while somebody who answers, or this directory itself, once had one", () => {
    expect(judgeFounding([never, lost], false).kind).toBe("wait");
    expect(judgeFounding([never, never], true).kind).toBe("wait");
  });

  it("makes a ring of one member by itself", () => {
    expect(judgeFounding([], false).kind).toBe("found");
  });

  it("never lets two groups of members that do not hear each other both make a ring", () => {
    const property = fc.property(fc.array(fc.boolean(), { minLength: 1, maxLength: 9 }), (isLeft) => {
      const verdictOf = (side: boolean) => {
        const mine = isLeft.filter((left) => left === side).length;
        if (mine === 0) return "wait";
        const others = [...Array(mine - 1).fill(never), ...Array(isLeft.length - mine).fill(silent)];
        return judgeFounding(others as Testimony[], false).kind;
      };
      expect([verdictOf(true), verdictOf(false)].filter((kind) => kind === "found").length).toBeLessThanOrEqual(1);
    });
    fc.assert(property);
  });
});
