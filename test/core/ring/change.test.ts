/** Changes as they are asked for: what begins, what is refused and why, and that members' indexes survive new names. */
import assert from "node:assert/strict";
import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { type ErrorCode, KvError } from "../../../node/core/errors.ts";
import type { ChangeRequest } from "../../../node/core/ring/change.ts";
import { type RingDocument, serializeRing } from "../../../node/core/ring/document.ts";
import { parseRing } from "../../../node/core/ring/parse-document.ts";
import { createRing } from "../../../node/core/ring/ring.ts";
import { cancelledDocument, enrolledDocument, nextDocument } from "../../../node/core/ring/transition.ts";
import {
  actor,
  allDone,
  ask,
  createWorld,
  homeNames,
  joiner,
  memberOf,
  requestOf,
  SHAPES,
  STEPS,
  tryAsk,
  type World,
} from "./change-world.ts";
import { SEED } from "./clusters.ts";

function refuses(world: World, request: Partial<ChangeRequest>, code: ErrorCode, message: RegExp): void {
  assert.throws(
    () => ask(world, request),
    (error: unknown) => {
      assert(error instanceof KvError);
      assert.equal(error.code, code);
      assert.match(error.message, message);
      return true;
    },
  );
}

/** Runs a change to its end: whoever is not destroyed comes back, and disks that were exchanged are listed. */
function finish(world: World, begun: RingDocument): void {
  world.document = begun;
  for (const { name, isDestroyed } of begun.members) if (isDestroyed !== true) world.away.delete(name);
  for (let next: RingDocument | undefined = begun; next !== undefined; ) {
    world.document = next;
    next = enrolledDocument(next, world.actors) ?? nextDocument(next, allDone(world));
  }
  assert.equal(world.document.transition, undefined);
}

describe("a change that begins", () => {
  it("keeps the present homes by name, and gives each partition N homes to be that may hold something", () => {
    let begun = 0;
    fc.assert(
      fc.property(SHAPES, fc.array(STEPS, { maxLength: 12, size: "max" }), (shape, steps) => {
        const world = createWorld(shape);
        for (const step of steps) {
          const request = requestOf(world, step);
          const document = request === undefined ? undefined : tryAsk(world, request);
          if (document === undefined || document instanceof KvError) continue;
          begun += 1;
          const { transition, members, epoch } = document;
          assert(transition !== undefined);
          assert.equal(epoch, world.document.epoch + 1);
          assert.deepEqual([transition.phase, transition.phaseEpoch], ["prepare", epoch]);
          assert.deepEqual(homeNames(document), homeNames(world.document));
          const weights = new Map(transition.weights);
          for (const row of transition.homes) {
            assert.equal(new Set(row).size, document.replicationFactor);
            for (const home of row) {
              const member = members[home];
              assert(member !== undefined);
              assert.ok(["active", "joining"].includes(member.state), member.state);
              assert.ok((weights.get(member.name) ?? member.weight) > 0);
            }
          }
          assert.deepEqual(parseRing(serializeRing(document)), document);
          finish(world, document);
        }
      }),
      { seed: SEED, numRuns: 150 },
    );
    expect(begun).toBeGreaterThan(200);
  });

  it("gives only to members that join or weigh more, when one joins", () => {
    const world = createWorld({ members: 5, partitions: 32 });
    const ring = createRing(ask(world, { join: [joiner("a")] }));
    const gaining = ring.document.members.filter(({ name }) => ring.gains(name).length > 0);
    expect(gaining.map(({ name }) => name)).toEqual(["a"]);
    expect(memberOf(ring.document, "a")).toEqual({ ...joiner("a"), state: "joining", actor: actor(6) });
  });

  it("may be several things at once: one leaves, two join, one weighs less, quorums change", () => {
    const world = createWorld({ partitions: 32 });
    const document = ask(world, {
      leave: ["t"],
      join: [joiner("z"), joiner("a")],
      weights: { m: 50 },
      quorum: { readQuorum: 1, writeQuorum: 3, mode: "strict" },
    });
    expect(document.members.map(({ name, state }) => `${name} ${state}`)).toEqual([
      "a joining",
      "c active",
      "f active",
      "m active",
      "t leaving",
      "z joining",
    ]);
    expect(document.transition).toMatchObject({ leaving: ["t"], weights: [["m", 50]], readQuorum: 1, writeQuorum: 3 });
    expect(document).toMatchObject({ readQuorum: 2, writeQuorum: 2, mode: "sloppy" });
    finish(world, document);
    expect(world.document).toMatchObject({ readQuorum: 1, writeQuorum: 3, mode: "strict" });
    expect(memberOf(world.document, "m")?.weight).toBe(50);
  });

  it("has a member where it went at once, and spreads the replicas over the zones that there are then", () => {
    const world = createWorld({ members: 6, zones: 2, partitions: 32 });
    const document = ask(world, { zones: { m: "zone-2", t: "zone-2" }, weights: { m: 200 } });
    expect(memberOf(document, "m")).toMatchObject({ zone: "zone-2", state: "active", weight: 100 });
    expect(homeNames(document)).toEqual(homeNames(world.document));
    finish(world, document);
    const zones = new Map(world.document.members.map(({ name, zone }) => [name, zone]));
    const spread = homeNames(world.document).map((row) => new Set(row.map((name) => zones.get(name))).size);
    expect(new Set(spread)).toEqual(new Set([3]));
    world.document = cancelledDocument(ask(world, { zones: { m: "zone-1" } }));
    expect(memberOf(world.document, "m")).toMatchObject({ zone: "zone-1", state: "active" });
  });

  it("takes nothing from the document that was before", () => {
    const world = createWorld();
    const before = structuredClone(world.document);
    finish(world, ask(world, { join: [joiner("a")], leave: ["m"], weights: { f: 200 } }));
    const { document } = createWorld();
    expect(before).toEqual(document);
  });

  it("takes back who is still leaving, or has left", () => {
    const world = createWorld();
    const begun = ask(world, { leave: ["m"] });
    for (let next: RingDocument | undefined = begun; next !== undefined; ) {
      world.document = next;
      const facts = allDone(world);
      next = nextDocument(next, (name) => {
        const said = facts(name);
        return said === undefined ? undefined : { ...said, isEmptied: false };
      });
    }
    expect(memberOf(world.document, "m")?.state).toBe("leaving");
    finish(world, ask(world, { join: [joiner("m", "zone-0", 70)] }));
    expect(memberOf(world.document, "m")).toMatchObject({ state: "active", weight: 70 });
    finish(world, ask(world, { leave: ["m"] }));
    expect(memberOf(world.document, "m")?.state).toBe("left");
    finish(world, ask(world, { join: [joiner("m")] }));
    expect(memberOf(world.document, "m")?.state).toBe("active");
    expect(world.document.members.filter(({ name }) => name === "m").length).toBe(1);
  });

  it("replaces a dead member by another one in a single change", () => {
    const world = createWorld({ members: 3, zones: 3 });
    world.away.add("t");
    const document = ask(world, { replace: ["t"], join: [joiner("a", "zone-2")] });
    expect(memberOf(document, "t")).toMatchObject({ state: "leaving", isDestroyed: true });
    finish(world, document);
    expect(memberOf(world.document, "t")).toMatchObject({ state: "left", isDestroyed: true, actor: actor(3) });
    expect(homeNames(world.document).every((row) => row.includes("a"))).toBe(true);
  });

  it("lets a member go that died on its way out", () => {
    const world = createWorld({ members: 5 });
    const begun = ask(world, { leave: ["m"] });
    world.document = begun;
    world.away.add("m");
    for (let next: RingDocument | undefined = begun; next !== undefined; next = nextDocument(next, allDone(world))) {
      world.document = next;
    }
    expect(memberOf(world.document, "m")?.state).toBe("leaving");
    refuses(world, { leave: ["m"] }, "CHANGE_REFUSED", /m cannot be reached.*force/);
    const again = ask(world, { replace: ["m"] });
    expect(again.transition?.leaving).toEqual([]);
    finish(world, again);
    expect(memberOf(world.document, "m")).toMatchObject({ state: "left", isDestroyed: true });
  });
});

describe("a change that gives a disk up", () => {
  it("ends with the homes that are left, where its gates would ask for more than those", () => {
    const world = createWorld({ members: 4, readQuorum: 1, writeQuorum: 3 });
    world.away.add("m");
    const begun = ask(world, { replace: ["m"] });
    world.away.add("f");
    refuses(world, { replace: ["m"] }, "CHANGE_REFUSED", /only 1 of 3 homes can be reached and 2 are needed|f cannot/);
    finish(world, begun);
    expect(memberOf(world.document, "m")?.state).toBe("left");
  });

  it("leaves it declared when it is cancelled: it gets nothing any more, and goes by the next one", () => {
    const world = createWorld({ members: 5, partitions: 32 });
    world.away.add("m");
    world.document = cancelledDocument(ask(world, { replace: ["m"] }));
    world.away.clear();
    const gains = /the disk of m was declared destroyed, and it would get partition \d+\. Replace it/;
    refuses(world, { weights: { m: 300 }, force: true }, "CHANGE_REFUSED", gains);
    refuses(world, { leave: ["m"] }, "CHANGE_REFUSED", /m cannot be reached, or its disk was declared destroyed/);
    finish(world, ask(world, { replace: ["m"] }));
    expect(memberOf(world.document, "m")).toMatchObject({ state: "left", isDestroyed: true });
  });
});

describe("a change is refused", () => {
  it("while another one runs, which it names", () => {
    const world = createWorld();
    world.document = ask(world, { join: [joiner("a")] });
    refuses(world, { leave: ["m"] }, "CHANGE_REFUSED", /the change 0000000000000001 is under way/);
  });

  it("when it cannot be meant so", () => {
    const world = createWorld({ members: 5 });
    const wrong: readonly [Partial<ChangeRequest>, RegExp][] = [
      [{}, /it is what was asked for/],
      [{ weights: { m: 100 }, quorum: { readQuorum: 2, mode: "sloppy" } }, /it is what was asked for/],
      [{ leave: ["nobody"] }, /there is no member nobody/],
      [{ replace: ["z"] }, /there is no member z/],
      [{ weights: { a: 1 } }, /there is no member a/],
      [{ join: [joiner("m")] }, /m is a member already/],
      [{ zones: { m: "zone-0" } }, /it is what was asked for/],
      [{ zones: { a: "zone-0" } }, /there is no member a/],
      [{ zones: { m: "no zone" } }, /zone matches/],
      [{ leave: ["m"], zones: { m: "zone-1" } }, /m is named twice/],
      [{ join: [joiner("a")], zones: { a: "zone-1" } }, /a is named twice/],
      [{ leave: ["m"], replace: ["m"] }, /m is named twice/],
      [{ leave: ["m"], weights: { m: 7 } }, /m is named twice/],
      [{ join: [joiner("a"), joiner("a")] }, /a is named twice/],
      [{ weights: { m: 1.5 } }, /weight is a whole number from 0 to 10000/],
      [{ weights: { m: 10_001 } }, /weight is a whole number/],
      [{ join: [joiner("A b")] }, /name matches/],
      [{ join: [{ ...joiner("a"), address: "nowhere" }] }, /address/],
      [{ quorum: { readQuorum: 4 } }, /r is from 1 to 3, not 4/],
      [{ quorum: { writeQuorum: 0 } }, /w is from 1 to 3, not 0/],
    ];
    for (const [request, message] of wrong) refuses(world, request, "INVALID_REQUEST", message);
    finish(world, ask(world, { leave: ["m"] }));
    refuses(world, { leave: ["m"] }, "INVALID_REQUEST", /m is gone already/);
    refuses(world, { weights: { m: 7 } }, "INVALID_REQUEST", /m is gone already/);
    refuses(world, { zones: { m: "zone-1" } }, "INVALID_REQUEST", /m is gone already/);
  });

  it("when too few members would be left for N, whatever their weights to be", () => {
    const world = createWorld({ members: 3 });
    refuses(world, { leave: ["m"] }, "CHANGE_REFUSED", /N = 3 needs .* 2 would be left/);
    refuses(world, { weights: { m: 0 } }, "CHANGE_REFUSED", /2 would be left/);
    refuses(world, { leave: ["m"], join: [joiner("a", "a", 0)], force: true }, "CHANGE_REFUSED", /2 would be left/);
    expect(ask(world, { leave: ["m"], join: [joiner("a")] }).epoch).toBe(2);
  });

  it("when a member that leaves is silent, unless its disk is declared destroyed", () => {
    const world = createWorld();
    world.away.add("m");
    refuses(world, { leave: ["m"] }, "CHANGE_REFUSED", /m cannot be reached.* it cannot hand over/);
    expect(memberOf(ask(world, { leave: ["m"], force: true }), "m")?.isDestroyed).toBe(true);
    world.away.delete("m");
    expect(memberOf(ask(world, { leave: ["m"], force: true }), "m")?.isDestroyed).toBeUndefined();
  });

  it("when a write may then be on destroyed disks alone, also by force", () => {
    const world = createWorld({ members: 6, partitions: 32 });
    world.away.add("m").add("f");
    const both = /the disks of (m and f|f and m) would count as destroyed/;
    refuses(world, { replace: ["m", "f"], force: true }, "CHANGE_REFUSED", both);
    expect(memberOf(ask(world, { replace: ["m"], force: true }), "m")?.isDestroyed).toBe(true);
    world.away.delete("f");
    world.actors.set("f", actor(99));
    refuses(world, { replace: ["m"], force: true }, "CHANGE_REFUSED", both);
    const alone = createWorld({ members: 6, writeQuorum: 1, readQuorum: 3 });
    alone.away.add("m");
    refuses(alone, { replace: ["m"], force: true }, "CHANGE_REFUSED", /the disk of m would .* Bring it back/);
  });

  it("counts W for each partition by itself: two that share none may both be destroyed", () => {
    const world = createWorld({ members: 6, replicationFactor: 2, partitions: 4 });
    const rows = homeNames(world.document);
    const names = world.document.members.map(({ name }) => name);
    const pairs = names.flatMap((one) => names.filter((other) => other > one).map((other) => [one, other] as const));
    for (const [one, other] of pairs) {
      world.away.clear();
      world.away.add(one).add(other);
      const isShared = rows.some((row) => row.includes(one) && row.includes(other));
      const answer = tryAsk(world, { replace: [one, other], force: true });
      expect(answer instanceof KvError).toBe(isShared);
    }
    expect(pairs.some(([one, other]) => !rows.some((row) => row.includes(one) && row.includes(other)))).toBe(true);
  });

  it("when too few homes of what moves can be reached, or who gets something cannot, unless it may wait", () => {
    const world = createWorld({ members: 6, partitions: 32 });
    world.away.add("m").add("f");
    const tighter = { quorum: { writeQuorum: 3 } };
    refuses(world, tighter, "CHANGE_REFUSED", /only 1 of 3 homes can be reached and 2 are needed/);
    expect(ask(world, { ...tighter, force: true }).transition?.writeQuorum).toBe(3);
    world.away.delete("f");
    refuses(world, { weights: { m: 300 } }, "CHANGE_REFUSED", /m cannot be reached and would get partition/);
    expect(ask(world, { weights: { m: 300 }, force: true }).transition?.weights).toEqual([["m", 300]]);
    // Nothing of a member that is away is needed where nothing moves.
    const still = createWorld({ members: 3, partitions: 32 });
    still.away.add("m").add("f");
    expect(ask(still, { quorum: { mode: "strict" } }).transition?.mode).toBe("strict");
    refuses(still, { quorum: { writeQuorum: 3 } }, "CHANGE_REFUSED", /only 1 of 3 homes can be reached/);
    still.away.delete("f");
    refuses(
      still,
      { quorum: { writeQuorum: 3 } },
      "CHANGE_REFUSED",
      /m cannot be reached and would have to hold all of/,
    );
    expect(ask(still, { quorum: { readQuorum: 3 } }).transition?.readQuorum).toBe(3);
  });

  it("when who joins cannot be reached, or was removed as destroyed and comes with the same disk", () => {
    const world = createWorld();
    world.away.add("a");
    refuses(world, { join: [joiner("a")] }, "CHANGE_REFUSED", /a cannot be reached at a.example:7402/);
    refuses(world, { join: [joiner("a")], force: true }, "CHANGE_REFUSED", /a cannot be reached at a.example:7402/);
    world.away.clear();
    world.away.add("m");
    finish(world, ask(world, { replace: ["m"] }));
    refuses(world, { join: [joiner("m")], force: true }, "CHANGE_REFUSED", /which data directory .* is not known/);
    world.away.delete("m");
    refuses(world, { join: [joiner("m")], force: true }, "CHANGE_REFUSED", /comes with the same data directory/);
    // A first member that was gone before its disk was listed: those who met it know which that is.
    const early = createWorld();
    early.document = {
      ...early.document,
      members: early.document.members.map(({ actor: _, ...member }) => member),
    };
    early.away.add("m");
    finish(early, ask(early, { replace: ["m"] }));
    early.away.delete("m");
    refuses(early, { join: [joiner("m")], force: true }, "CHANGE_REFUSED", /comes with the same data directory/);
    world.actors.set("m", actor(77));
    expect(memberOf(ask(world, { join: [joiner("m")] }), "m")).toEqual({
      ...joiner("m"),
      state: "joining",
      actor: actor(77),
    });
  });
});
