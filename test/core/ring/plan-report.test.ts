/** The figures of a change against counting by hand, and its words. */
import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { KvError } from "../../../node/core/errors.ts";
import type { RingDocument } from "../../../node/core/ring/document.ts";
import { planPlacement } from "../../../node/core/ring/placement.ts";
import { describeChange, reportPlan } from "../../../node/core/ring/plan-report.ts";
import { ask, createWorld, homeNames, joiner, requestOf, SHAPES, STEPS, tryAsk } from "./change-world.ts";
import { SEED } from "./clusters.ts";

const SIZES = Array.from({ length: 32 }, (_, partition) => 1_000 + partition);

describe("the report of a change", () => {
  it("counts each member's replicas before and after, and what is copied, as counting them does", () => {
    let reported = 0;
    fc.assert(
      fc.property(SHAPES, fc.array(STEPS, { minLength: 3, maxLength: 8 }), (shape, steps) => {
        const world = createWorld(shape);
        for (const step of steps) {
          const request = requestOf(world, step);
          const begun = request === undefined ? undefined : tryAsk(world, request);
          if (begun === undefined || begun instanceof KvError) continue;
          reported += 1;
          const [before, after] = [homeNames(begun), homeNames(begun, true)];
          const plan = reportPlan(world.document, begun, SIZES);
          const sum = (of: (member: (typeof plan.members)[number]) => number) =>
            plan.members.reduce((total, member) => total + of(member), 0);
          for (const member of plan.members) {
            const holds = (rows: string[][]) => [...rows.keys()].filter((at) => rows[at]?.includes(member.name));
            const [held, holding] = [holds(before), holds(after)];
            expect(member.replicasBefore).toBe(held.length);
            expect(member.replicasAfter).toBe(holding.length);
            expect(member.gains).toBe(holding.filter((partition) => !held.includes(partition)).length);
            expect(member.loses).toBe(held.filter((partition) => !holding.includes(partition)).length);
          }
          expect(plan.movedPartitions).toBe(sum(({ gains }) => gains));
          expect(sum(({ loses }) => loses)).toBe(plan.movedPartitions);
          const bytes = after.flatMap((row, at) =>
            row.filter((name) => !before[at]?.includes(name)).map(() => SIZES[at]),
          );
          expect(plan.movedBytes).toBe(bytes.reduce<number>((total, size) => total + (size ?? 0), 0));
          expect(sum(({ replicasIdeal }) => replicasIdeal)).toBeCloseTo(begun.partitions * begun.replicationFactor, 6);
        }
      }),
      { seed: SEED, numRuns: 100 },
    );
    expect(reported).toBeGreaterThan(100);
  });

  it("says what the planner said, without planning again", () => {
    let notes = 0;
    fc.assert(
      fc.property(SHAPES, fc.array(STEPS, { minLength: 2, maxLength: 4 }), (shape, steps) => {
        const world = createWorld(shape);
        for (const step of steps) {
          const request = requestOf(world, step);
          const begun = request === undefined ? undefined : tryAsk(world, request);
          if (begun === undefined || begun instanceof KvError) continue;
          const weights = new Map(begun.transition?.weights);
          const members = begun.members
            .filter(({ state }) => state === "active" || state === "joining")
            .map((member) => ({ ...member, weight: weights.get(member.name) ?? member.weight }));
          const { partitions, replicationFactor } = begun;
          const { report } = planPlacement({ partitions, replicationFactor, members, previous: world.document });
          const plan = reportPlan(world.document, begun, SIZES);
          expect(plan.notes.slice(plan.notes.length - report.notes.length)).toEqual(report.notes);
          expect(plan.notes.length - report.notes.length).toBe(
            begun.members.filter(({ isDestroyed, state }) => isDestroyed === true && state === "leaving").length,
          );
          notes += plan.notes.length;
          for (const { name, idealReplicas } of report.members) {
            expect(plan.members.find((member) => member.name === name)?.replicasIdeal).toBeCloseTo(idealReplicas, 9);
          }
        }
      }),
      { seed: SEED, numRuns: 60 },
    );
    expect(notes).toBeGreaterThan(50);
  });

  it("shows whoever leaves with what it gives up, and nobody who had left before", () => {
    const world = createWorld({ members: 5, zones: 1 });
    const gone = world.document.members.map((member) =>
      member.name === "p" ? { ...member, state: "left" as const } : member,
    );
    const document: RingDocument = { ...world.document, members: gone };
    world.document = { ...document, homes: ask(world, { replace: ["p"] }).transition?.homes ?? [] };
    world.away.add("m");
    const { members, notes } = reportPlan(world.document, ask(world, { replace: ["m"], weights: { f: 300 } }), []);
    expect(members.map(({ name }) => name)).toEqual(["c", "f", "m", "t"]);
    const leaving = members.find(({ name }) => name === "m");
    expect(leaving).toMatchObject({ replicasAfter: 0, replicasIdeal: 0, gains: 0, weight: 100 });
    expect(leaving?.loses).toBe(leaving?.replicasBefore);
    expect(members.find(({ name }) => name === "f")?.weight).toBe(300);
    expect(notes[0]).toBe(
      "m cannot be reached: its disk counts as destroyed, and what it holds is set aside should it come back.",
    );
  });

  it("is in words what the change does", () => {
    const world = createWorld({ members: 6 });
    const words = (request: Parameters<typeof ask>[1]) => describeChange(ask(world, request));
    expect(words({ join: [joiner("z"), joiner("h")] })).toBe("join h, z");
    expect(words({ leave: ["m"], join: [joiner("z")], weights: { f: 200, t: 0 } })).toBe(
      "join z; leave m; weight f 200; drain t",
    );
    expect(words({ quorum: { readQuorum: 1, writeQuorum: 3, mode: "strict" } })).toBe("r 1; w 3; strict");
    world.away.add("c");
    expect(words({ replace: ["c"], leave: ["m"] })).toBe("leave m; give up c");
  });
});
