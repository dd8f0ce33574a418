/** The figures of a change that runs, from its document and from what members say. */
import { describe, expect, it } from "@jest/globals";
import { type MemberMoves, reportChange } from "../../../node/core/ring/change-report.ts";
import type { RingDocument } from "../../../node/core/ring/document.ts";
import { createRing } from "../../../node/core/ring/ring.ts";
import { nextDocument } from "../../../node/core/ring/transition.ts";
import { allDone, ask, createWorld, joiner } from "./change-world.ts";

const ID = "0000000000000001";

function begin() {
  const world = createWorld({ members: 4, zones: 1, partitions: 32 });
  world.document = ask(world, { join: [joiner("a"), joiner("z")], leave: ["m"] });
  return world;
}

describe("the report of a change that runs", () => {
  it("takes what is to be moved from the document, and what has come from the members", () => {
    const { document } = begin();
    const ring = createRing(document);
    const said = new Map<string, MemberMoves>([
      ["a", { epoch: 2, completeFor: undefined, movedPartitions: 3, totalBytes: 1_000, movedBytes: 250 }],
      ["z", { epoch: 2, completeFor: ID, movedPartitions: 0, totalBytes: 500, movedBytes: 500 }],
      ["m", { epoch: 1, completeFor: undefined, movedPartitions: 0, totalBytes: 0, movedBytes: 0 }],
    ]);
    const report = reportChange(document, ID, said);
    const gains = (name: string) => ring.gains(name).length;
    const gaining = document.members.map(({ name }) => name).filter((name) => gains(name) > 0);
    expect(report.members.map(({ name }) => name)).toEqual(gaining);
    expect(report.members.find(({ name }) => name === "a")).toEqual({
      ...{ name: "a", epoch: 2, complete: false, movedPartitions: 3, totalPartitions: gains("a") },
      ...{ movedBytes: 250, totalBytes: 1_000 },
    });
    expect(report.members.find(({ name }) => name === "z")).toMatchObject({
      complete: true,
      movedPartitions: gains("z"),
      totalPartitions: gains("z"),
    });
    expect(report).toMatchObject({ kind: "join a, z; leave m", epoch: 2, startedAtMs: 1_001 });
    expect(report).toMatchObject({ movedBytes: 750, totalBytes: 1_500, movedPartitions: 3 + gains("z") });
    expect(report.totalPartitions).toBe(gaining.reduce((sum, name) => sum + gains(name), 0));
  });

  it("counts whoever does not answer, or is complete for another change, as having nothing yet", () => {
    const { document } = begin();
    const other = { epoch: 1, completeFor: "00000000000000ff", movedPartitions: 0, totalBytes: 0, movedBytes: 0 };
    for (const said of [new Map<string, MemberMoves>(), new Map([["a", other]])]) {
      const report = reportChange(document, ID, said);
      expect(report.members.every(({ complete, movedPartitions }) => !complete && movedPartitions === 0)).toBe(true);
      expect(report.totalPartitions).toBeGreaterThan(0);
    }
  });

  it("knows of one that ended when it did, and no more", () => {
    const world = begin();
    for (let next: RingDocument | undefined = world.document; next !== undefined; ) {
      world.document = next;
      next = nextDocument(next, allDone(world));
    }
    expect(world.document.epoch).toBe(5);
    const nothing = { movedBytes: 0, totalBytes: 0, movedPartitions: 0, totalPartitions: 0, members: [] };
    expect(reportChange(world.document, ID, new Map())).toEqual({
      ...{ kind: undefined, startedAtMs: undefined, epoch: 4 },
      ...nothing,
    });
  });
});
