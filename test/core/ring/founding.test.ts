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

/** As judged when those who are silent have been waited for. */
const judged = (others: readonly Testimony[], hadRing = false) =>
  judgeFounding(others, { hadRing, isPatienceOver: true });

describe("the founding of a ring", () => {
  it("waits for a majority of the first members", () => {
    expect(judged([silent, silent]).kind).toBe("wait");
    expect(judged([never, silent]).kind).toBe("found");
    expect(judged([never, silent, silent]).kind).toBe("wait");
    expect(judged([never, never, silent, silent]).kind).toBe("found");
  });

  it("waits a while for those who are silent, for the last one to start may be the only one that still has the ring", () => {
    const early = { hadRing: false, isPatienceOver: false };
    expect(judgeFounding([never, silent], early)).toEqual({
      kind: "wait",
      why: "1 of 3 first members cannot be reached yet",
      isForSilent: true,
    });
    expect(judgeFounding([never, never], early).kind).toBe("found");
  });

  it("takes the newest ring that somebody has, whatever the others say", () => {
    expect(judged([ring(3), lost])).toEqual({ kind: "adopt", document: ringAt(3) });
    expect(judged([ring(3), ring(7), never], true)).toEqual({ kind: "adopt", document: ringAt(7) });
  });

  it("makes no ring while somebody who answers, or this directory itself, once had one", () => {
    expect(judged([never, lost]).kind).toBe("wait");
    expect(judged([never, never], true).kind).toBe("wait");
  });

  it("makes a ring of one member by itself", () => {
    expect(judged([]).kind).toBe("found");
  });

  it("never lets two groups of members that do not hear each other both make a ring", () => {
    const property = fc.property(fc.array(fc.boolean(), { minLength: 1, maxLength: 9 }), (isLeft) => {
      const verdictOf = (side: boolean) => {
        const mine = isLeft.filter((left) => left === side).length;
        if (mine === 0) return "wait";
        const others = [...Array(mine - 1).fill(never), ...Array(isLeft.length - mine).fill(silent)];
        return judged(others as Testimony[]).kind;
      };
      expect([verdictOf(true), verdictOf(false)].filter((kind) => kind === "found").length).toBeLessThanOrEqual(1);
    });
    fc.assert(property);
  });
});
