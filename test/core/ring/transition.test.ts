/** How changes go on: every one ends, and no gate opens before what it stands for holds, by looking at every quorum. */
import assert from "node:assert/strict";
import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { KvError } from "../../../node/core/errors.ts";
import { PAST_MAX, type RingDocument, serializeRing } from "../../../node/core/ring/document.ts";
import { parseRing } from "../../../node/core/ring/parse-document.ts";
import { createRing } from "../../../node/core/ring/ring.ts";
import {
  cancelledDocument,
  declaredDocument,
  enrolledDocument,
  type FactsOf,
  type MemberFacts,
  nextDocument,
  votersOf,
  waitsFor,
} from "../../../node/core/ring/transition.ts";
import {
  actor,
  allDone,
  ask,
  createWorld,
  homeNames,
  joiner,
  memberOf,
  NAMES,
  requestOf,
  SHAPES,
  STEPS,
  tryAsk,
  type World,
} from "./change-world.ts";
import { SEED } from "./clusters.ts";

const AS_MET = { rebuilding: new Set<string>(), metActorOf: () => undefined };

/** All that holds of any document. */
function checkDocument(document: RingDocument, before: RingDocument): void {
  assert.equal(document.epoch, before.epoch + 1, "epochs grow by one");
  assert.deepEqual(parseRing(serializeRing(document)), document);
  assert.ok(votersOf(document).length > 0);
  for (const row of homeNames(document)) assert.equal(new Set(row).size, document.replicationFactor);
  assert.deepEqual(
    document.members.map(({ name }) => name),
    [...new Set(document.members.map(({ name }) => name))].sort(),
  );
}

/** Takes the next document, held against the last one. */
function advance(world: World, next: RingDocument): void {
  checkDocument(next, world.document);
  world.document = next;
}

describe("any sequence of changes", () => {
  const plans = fc.array(fc.record({ step: STEPS, cancels: fc.boolean(), enrolsFirst: fc.boolean() }), {
    minLength: 4,
    maxLength: 14,
    size: "max",
  });

  it("runs to its end when all facts come in, cancelled ones included, and leaves no trace in the members", () => {
    const met = { done: 0, cancelled: 0, destroyed: 0, enrolled: 0 };
    fc.assert(
      fc.property(SHAPES, plans, (shape, steps) => {
        const world = createWorld(shape);
        for (const { step, cancels, enrolsFirst } of steps) {
          const request = requestOf(world, step);
          const begun = request === undefined ? undefined : tryAsk(world, request);
          if (begun === undefined || begun instanceof KvError) continue;
          const before = world.document;
          advance(world, begun);
          for (const { name, isDestroyed } of begun.members) if (isDestroyed !== true) world.away.delete(name);
          if (enrolsFirst) enrolAll();
          if (cancels) {
            advance(world, cancelledDocument(world.document));
            met.cancelled += 1;
            expect(homeNames(world.document)).toEqual(homeNames(before));
          }
          for (const { isDestroyed } of begun.members) met.destroyed += isDestroyed === true ? 1 : 0;
          runOn();
          const { document } = world;
          const states = new Set(document.members.map(({ state }) => state));
          expect([...states].filter((state) => state !== "active" && state !== "left")).toEqual([]);
          expect(document.past?.at(-1)).toMatchObject({
            id: begun.transition?.id,
            outcome: cancels ? "cancelled" : "done",
          });
          met.done += cancels ? 0 : 1;
          expect(homeNames(document)).toEqual(cancels ? homeNames(before) : homeNames(begun, true));
          if (cancels) {
            const kept = before.members.filter(({ state }) => state === "active").map(({ name }) => name);
            expect(document.members.filter(({ state }) => state === "active").map(({ name }) => name)).toEqual(kept);
          }
        }

        function enrolAll(): void {
          const here = new Map([...world.actors].filter(([name]) => !world.away.has(name)));
          const enrolled = enrolledDocument(world.document, here);
          if (enrolled === undefined) return;
          met.enrolled += 1;
          advance(world, enrolled);
        }

        /** At most: switch, finish, and one for those that have left by it. */
        function runOn(): void {
          for (let documents = 0; ; documents++) {
            assert.ok(documents <= 5, "a change is a few documents");
            enrolAll();
            const next = nextDocument(world.document, allDone(world));
            if (next === undefined) break;
            advance(world, next);
          }
          assert.equal(world.document.transition, undefined, waitsFor(world.document, allDone(world)));
        }
      }),
      { seed: SEED, numRuns: 200 },
    );
    expect(met.done).toBeGreaterThan(200);
    expect(met.cancelled).toBeGreaterThan(200);
    expect(met.destroyed).toBeGreaterThan(10);
    expect(met.enrolled).toBeGreaterThan(15);
  });
});

/** Every choice of `size` of the names. */
function choices(names: readonly string[], size: number): string[][] {
  if (size === 0) return [[]];
  return names.flatMap((name, index) => choices(names.slice(index + 1), size - 1).map((rest) => [name, ...rest]));
}

/** What a gate stands for, said without it: every quorum that could go by the last phase meets somebody who refuses. */
function mayGoOn(document: RingDocument, facts: FactsOf): boolean {
  const { transition } = document;
  assert(transition !== undefined);
  const isDestroyed = (name: string) => memberOf(document, name)?.isDestroyed === true;
  const listed = (name: string): MemberFacts | undefined => {
    if (isDestroyed(name)) return undefined;
    const listedActor = memberOf(document, name)?.actor;
    const said = facts(name);
    return listedActor === undefined || said?.actor === listedActor ? said : undefined;
  };
  const isQuorumChange =
    transition.readQuorum !== document.readQuorum || transition.writeQuorum !== document.writeQuorum;
  const toBe = homeNames(document, true);
  const quorum = transition.phase === "prepare" ? document.writeQuorum : document.readQuorum;
  const mayMiss = transition.readQuorum + document.writeQuorum <= document.replicationFactor;
  const isLower = mayMiss && transition.readQuorum < document.readQuorum;
  // By the W to come, everything is to be on that many homes, what was acknowledged before as well.
  const mustBeWhole = isLower || transition.writeQuorum > document.writeQuorum;
  for (const [partition, row] of homeNames(document).entries()) {
    const next = toBe[partition] ?? [];
    const gaining = next.filter((name) => !row.includes(name));
    if (gaining.length === 0 && !isQuorumChange) continue;
    for (const old of choices(row, quorum)) {
      // Nobody can be asked to refuse there: whoever declared these disks destroyed vouches for them.
      if (old.every(isDestroyed)) continue;
      if (!old.some((name) => (listed(name)?.epoch ?? 0) >= transition.phaseEpoch)) return false;
    }
    if (transition.phase === "switch") continue;
    const filled = mustBeWhole ? next : gaining;
    if (!filled.every((name) => listed(name)?.completeFor === transition.id)) return false;
  }
  return true;
}

describe("a gate", () => {
  const said = fc.record({
    isKnown: fc.integer({ min: 0, max: 9 }).map((draw) => draw > 0),
    lag: fc.constantFrom(-2, -1, 0, 0, 0, 0, 1, 3),
    completeFor: fc.constantFrom("it", "it", "it", "it", "it", "it", "it", "another", undefined),
    isOtherDisk: fc.integer({ min: 0, max: 14 }).map((draw) => draw === 0),
  });
  const facts = fc.array(said, { minLength: NAMES.length, maxLength: NAMES.length });

  it("opens when every old quorum meets one who refuses and every gaining member is complete, and never before", () => {
    const met = { open: 0, shut: 0 };
    fc.assert(
      fc.property(
        SHAPES,
        fc.array(STEPS, { minLength: 2, maxLength: 5 }),
        fc.array(facts, { minLength: 6, maxLength: 6 }),
        (shape, steps, draws) => {
          const world = createWorld(shape);
          for (const step of steps) {
            const request = requestOf(world, step);
            const begun = request === undefined ? undefined : tryAsk(world, request);
            if (begun === undefined || begun instanceof KvError) continue;
            const { transition } = begun;
            assert(transition !== undefined);
            const phaseEpoch = begun.epoch + 1;
            const atSwitch = {
              ...begun,
              epoch: phaseEpoch,
              transition: { ...transition, phase: "switch" as const, phaseEpoch },
            };
            // Another epoch in the middle of a phase asks nobody to adopt the phase again.
            for (const document of [begun, atSwitch, { ...atSwitch, epoch: phaseEpoch + 4 }]) {
              for (const draw of draws) {
                const factsOf: FactsOf = (name) => {
                  const index = (NAMES as readonly string[]).indexOf(name);
                  const one = draw[index];
                  if (one === undefined || !one.isKnown) return undefined;
                  const completeFor = one.completeFor === "it" ? transition.id : one.completeFor;
                  const disk = memberOf(document, name)?.actor ?? actor(500 + index);
                  return {
                    actor: one.isOtherDisk ? actor(900) : disk,
                    epoch: (document.transition?.phaseEpoch ?? 0) + one.lag,
                    completeFor,
                    isEmptied: true,
                  };
                };
                const next = nextDocument(document, factsOf);
                const isOpen = mayGoOn(document, factsOf);
                assert.equal(next !== undefined, isOpen);
                assert.equal(waitsFor(document, factsOf) === undefined, isOpen);
                met[isOpen ? "open" : "shut"] += 1;
                if (next !== undefined) checkDocument(next, document);
              }
            }
          }
        },
      ),
      { seed: SEED, numRuns: 150 },
    );
    expect(met.open).toBeGreaterThan(500);
    expect(met.shut).toBeGreaterThan(500);
  });

  it("stays open when more becomes known, and shut while nothing is", () => {
    const world = createWorld();
    world.document = ask(world, { join: [joiner("a")], leave: ["m"] });
    expect(nextDocument(world.document, () => undefined)).toBeUndefined();
    const later: FactsOf = (name) => {
      const facts = allDone(world)(name);
      return facts === undefined ? undefined : { ...facts, epoch: facts.epoch + 7 };
    };
    expect(nextDocument(world.document, later)?.transition?.phase).toBe("switch");
  });

  it("says what it waits for: who is not complete, then who has not heard of it", () => {
    const world = createWorld({ members: 3, zones: 1 });
    world.document = ask(world, { join: [joiner("a")] });
    const known = new Set<string>();
    const whole = new Set<string>();
    const facts: FactsOf = (name) => {
      const said = allDone(world)(name);
      if (said === undefined) return undefined;
      return { ...said, epoch: known.has(name) ? 2 : 1, completeFor: whole.has(name) ? said.completeFor : undefined };
    };
    expect(waitsFor(world.document, facts)).toBe("a to have all of what they get");
    whole.add("a");
    expect(waitsFor(world.document, facts)).toBe("f, m, t to know of it");
    known.add("f");
    expect(waitsFor(world.document, facts)).toBe("m, t to know of it");
    known.add("m");
    expect(waitsFor(world.document, facts)).toBeUndefined();
    expect(nextDocument(world.document, facts)?.transition?.phase).toBe("switch");
  });

  it("holds whoever leaves until it is empty as of this epoch, from the disk that is listed", () => {
    const world = createWorld({ members: 4 });
    world.document = ask(world, { leave: ["m"] });
    for (const phase of ["switch", undefined]) {
      world.document = nextDocument(world.document, allDone(world)) as RingDocument;
      expect(world.document.transition?.phase).toBe(phase);
    }
    const { epoch } = world.document;
    const empty: MemberFacts = { actor: actor(1), epoch, completeFor: undefined, isEmptied: true };
    const of = (facts: MemberFacts | undefined) =>
      nextDocument(world.document, (name) => (name === "m" ? facts : undefined));
    expect(of(undefined)).toBeUndefined();
    expect(of({ ...empty, epoch: epoch - 1 })).toBeUndefined();
    expect(of({ ...empty, isEmptied: false })).toBeUndefined();
    expect(of({ ...empty, actor: actor(99) })).toBeUndefined();
    const left = of(empty) as RingDocument;
    expect(memberOf(left, "m")?.state).toBe("left");
    expect(nextDocument(left, allDone(world))).toBeUndefined();
  });
});

describe("a change", () => {
  it("is not cancelled once it has switched", () => {
    const world = createWorld();
    expect(() => cancelledDocument(world.document)).toThrow(assert.AssertionError);
    world.document = ask(world, { join: [joiner("a")] });
    const switched = nextDocument(world.document, allDone(world)) as RingDocument;
    expect(() => cancelledDocument(switched)).toThrow(assert.AssertionError);
  });

  it("lets joiners leave again when it is cancelled, and whoever was to leave stay", () => {
    const world = createWorld({ members: 5 });
    world.away.add("f");
    world.document = ask(world, { join: [joiner("a")], leave: ["m"], replace: ["f"], weights: { t: 7 } });
    expect(memberOf(world.document, "f")?.isDestroyed).toBe(true);
    const { document } = world;
    world.document = cancelledDocument(document);
    const states = world.document.members.map(({ name, state, weight }) => `${name} ${state} ${weight}`);
    expect(states).toEqual([
      "a leaving 100",
      "c active 100",
      "f active 100",
      "m active 100",
      "p active 100",
      "t active 100",
    ]);
    // What was said of a disk was said for good.
    expect(memberOf(world.document, "f")?.isDestroyed).toBe(true);
    const left = nextDocument(world.document, allDone(world)) as RingDocument;
    expect(memberOf(left, "a")?.state).toBe("left");
  });

  it("makes nobody a member again who was leaving before it, when it is cancelled", () => {
    const world = createWorld({ members: 5 });
    world.document = ask(world, { leave: ["m"] });
    world.away.add("m");
    for (const _ of ["switch", "finish"]) world.document = nextDocument(world.document, allDone(world)) as RingDocument;
    const cancelled = cancelledDocument(ask(world, { replace: ["m"] }));
    expect(memberOf(cancelled, "m")).toEqual({ ...memberOf(world.document, "m"), isDestroyed: true });
    expect(memberOf(nextDocument(cancelled, () => undefined) as RingDocument, "m")?.state).toBe("left");
  });

  it("does not wait for a disk that is declared destroyed while it runs, and is taken back where that one gains", () => {
    const world = createWorld({ members: 3, zones: 1 });
    world.document = ask(world, { join: [joiner("a")], leave: ["m"] });
    world.away.add("f");
    const facts: FactsOf = (name) => allDone(world)(name);
    const known: FactsOf = (name) => (name === "t" ? undefined : facts(name));
    expect(waitsFor(world.document, known)).toBe("f, t to know of it");
    const declared = declaredDocument(world.document, new Set(["f"]), AS_MET);
    checkDocument(declared, world.document);
    // The other two homes must know of it all the same: with the one that is away they could make a quorum.
    expect(waitsFor(declared, known)).toBe("t to know of it");
    expect(nextDocument(declared, facts)?.transition?.phase).toBe("switch");
    expect(nextDocument(declaredDocument(world.document, new Set(["a"]), AS_MET), facts)?.past?.at(-1)?.outcome).toBe(
      "cancelled",
    );
    expect(() => declaredDocument(world.document, new Set(["f", "t"]), AS_MET)).toThrow(/disks of (f and t|t and f)/);
    expect(() => declaredDocument(declared, new Set(["t"]), AS_MET)).toThrow(/disks of (f and t|t and f)/);
    expect(() => declaredDocument(declared, new Set(["a"]), AS_MET)).toThrow(/disks of .* may be there alone/);
  });

  it("leaves a declared disk that stays home to something a member, until it is replaced", () => {
    const world = createWorld({ members: 4 });
    world.document = ask(world, { join: [joiner("a")] });
    world.document = declaredDocument(world.document, new Set(["m"]), AS_MET);
    world.away.add("m");
    for (const _ of ["switch", "finish"]) advance(world, nextDocument(world.document, allDone(world)) as RingDocument);
    expect(memberOf(world.document, "m")).toMatchObject({ state: "active", isDestroyed: true });
    expect(homeNames(world.document).flat()).toContain("m");
    expect(nextDocument(world.document, allDone(world))).toBeUndefined();
  });

  it("is remembered, the last ones of them", () => {
    const world = createWorld();
    for (let change = 0; change < PAST_MAX + 3; change++) {
      world.document = cancelledDocument(ask(world, { join: [joiner("a")] }));
      world.document = nextDocument(world.document, allDone(world)) as RingDocument;
    }
    expect(world.document.past?.length).toBe(PAST_MAX);
    expect(world.document.past?.map(({ id }) => Number.parseInt(id, 16))[0]).toBe(4);
  });

  it("gives whoever leaves a vote while it is home to something, and no destroyed disk ever", () => {
    const world = createWorld({ members: 5 });
    world.away.add("f");
    world.document = ask(world, { leave: ["m"], replace: ["f"], join: [joiner("a")] });
    const voters = () => votersOf(world.document).map(({ name }) => name);
    expect(voters()).toEqual(["c", "m", "p", "t"]);
    for (const _ of ["switch", "finish"]) world.document = nextDocument(world.document, allDone(world)) as RingDocument;
    expect(voters()).toEqual(["a", "c", "p", "t"]);
    expect(memberOf(world.document, "m")?.state).toBe("leaving");
    expect(memberOf(world.document, "f")?.state).toBe("left");
    expect(createRing(world.document).partitionsOf("m")).toEqual([]);
  });

  it("lists a new disk of a member, but not of one that is gone or destroyed", () => {
    const world = createWorld({ members: 5 });
    world.away.add("f");
    world.document = ask(world, { replace: ["f"], leave: ["m"] });
    const now = new Map([
      ["m", actor(71)],
      ["f", actor(72)],
      ["t", actor(3)],
      ["nobody", actor(74)],
    ]);
    const listed = enrolledDocument(world.document, now) as RingDocument;
    expect(listed.members.map(({ name, actor: disk }) => [name, Number.parseInt(disk ?? "", 16)])).toEqual([
      ["c", 4],
      ["f", 2],
      ["m", 71],
      ["p", 5],
      ["t", 3],
    ]);
    expect(listed.epoch).toBe(world.document.epoch + 1);
    expect(listed.transition).toEqual(world.document.transition);
    expect(enrolledDocument(listed, now)).toBeUndefined();
  });
});
