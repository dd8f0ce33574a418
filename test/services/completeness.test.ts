import { describe, expect, it } from "@jest/globals";
import { KvError } from "../../node/core/errors.ts";
import { firstRing, parseFirstMembers } from "../../node/core/ring/first-members.ts";
import { createRing } from "../../node/core/ring/ring.ts";
import { createCompleteness } from "../../node/services/completeness.ts";
import type { Identity } from "../../node/services/identity.ts";
import { createRecordedTelemetry } from "../contract/recorded-telemetry.ts";

const ringWith = (writeQuorum: number) =>
  createRing(
    firstRing({
      members: parseFirstMembers("a=h:1@x,b=h:2@y,c=h:3@z"),
      partitions: 2,
      replicationFactor: 3,
      readQuorum: 2,
      writeQuorum,
      mode: "strict",
    }),
  );

/** The part of an identity that is asked here; `failures` writes fail before one succeeds. */
function rebuilding(failures = 0): Identity & { ended(): boolean } {
  let left = failures;
  let isRebuilding = true;
  return {
    isRebuilding: () => isRebuilding,
    async endRebuilding() {
      if (left-- > 0) throw new KvError("STORAGE_FULL", "Cannot write: no space.");
      isRebuilding = false;
    },
    ended: () => !isRebuilding,
  } as unknown as Identity & { ended(): boolean };
}

/** @param disk Its steps end at once, unless a test says otherwise. */
function create(self: string, identity: Identity, disk: { flush(): Promise<void> } = { flush: async () => {} }) {
  const freshen = () => Promise.resolve();
  return createCompleteness(self, {
    ...{ identity, freshen, flush: disk.flush, isUp: () => true },
    telemetry: createRecordedTelemetry(),
  });
}

describe("a member that took the place of a lost disk", () => {
  it("is believed for a partition once it was compared with N - W + 1 other homes of it", async () => {
    const identity = rebuilding();
    const completeness = create("c", identity);
    completeness.adopt(ringWith(2));
    expect(() => completeness.requireComplete(0)).toThrow(KvError);
    completeness.compared(0, "a", 1);
    completeness.compared(0, "a", 1);
    expect(completeness.isComplete(0)).toBe(false);
    completeness.compared(0, "b", 1);
    expect([completeness.isComplete(0), completeness.isComplete(1), completeness.missing()]).toEqual([true, false, 1]);
    completeness.compared(1, "b", 1);
    completeness.compared(1, "a", 1);
    await Promise.resolve();
    expect([completeness.missing(), identity.ended()]).toEqual([0, true]);
  });

  it("asks one home where every write was on all of them", () => {
    const completeness = create("c", rebuilding());
    completeness.adopt(ringWith(3));
    completeness.compared(1, "a", 1);
    expect([completeness.isComplete(0), completeness.isComplete(1)]).toEqual([false, true]);
  });

  it("waits for nobody any more once it holds what each of the others does, though these lost their disks as well", () => {
    const completeness = create("c", rebuilding());
    completeness.adopt(ringWith(2));
    completeness.met(0, "b");
    expect(completeness.isComplete(0)).toBe(false);
    completeness.compared(0, "a", 1);
    expect([completeness.isComplete(0), completeness.isComplete(1)]).toEqual([true, false]);
  });

  it("asks all others where a write may have been on one disk only, for more there are not", () => {
    const completeness = create("c", rebuilding());
    completeness.adopt(ringWith(1));
    completeness.compared(0, "a", 1);
    expect(completeness.isComplete(0)).toBe(false);
    completeness.compared(0, "b", 1);
    expect(completeness.isComplete(0)).toBe(true);
  });

  it("tries again to store that it is complete when the disk refused", async () => {
    const identity = rebuilding(1);
    const completeness = create("c", identity);
    completeness.adopt(ringWith(3));
    completeness.compared(0, "a", 1);
    completeness.compared(1, "a", 1);
    await new Promise((resolve) => setImmediate(resolve));
    expect([completeness.isComplete(0), identity.ended()]).toEqual([true, false]);
    completeness.compared(0, "b", 1);
    await new Promise((resolve) => setImmediate(resolve));
    expect(identity.ended()).toBe(true);
  });
});

describe("a disk that is lost while its member gets a partition", () => {
  const before = firstRing({
    members: parseFirstMembers("a=h:1@x,b=h:2@y,c=h:3@z,d=h:4@x"),
    partitions: 1,
    replicationFactor: 3,
    readQuorum: 2,
    writeQuorum: 2,
    mode: "strict",
  });
  const [row = []] = before.homes;
  const newIndex = [0, 1, 2, 3].find((index) => !row.includes(index)) as number;
  const nameOf = (index: number) => before.members[index]?.name ?? "";
  const self = nameOf(newIndex);
  const toBe = [newIndex, ...row.slice(1)];
  const [staying = "", other = ""] = row.slice(1).map(nameOf);
  const leaving = nameOf(row[0] as number);
  const phase = (name: "prepare" | "switch") =>
    createRing({
      ...before,
      epoch: name === "prepare" ? 2 : 3,
      transition: {
        id: "0123456789abcdef",
        phase: name,
        phaseEpoch: name === "prepare" ? 2 : 3,
        startedAtMs: 0,
        homes: [toBe],
        leaving: [],
        weights: [],
        readQuorum: 2,
        writeQuorum: 2,
        mode: "strict",
      },
    });
  const created = () => create(self, rebuilding());

  it("leaves it incomplete after the switch, for it was the lost directory that was complete then", () => {
    const completeness = created();
    completeness.adopt(phase("switch"));
    expect(completeness.isComplete(0)).toBe(false);
    completeness.compared(0, staying, 3);
    expect(completeness.isComplete(0)).toBe(false);
    completeness.compared(0, other, 3);
    expect(completeness.isComplete(0)).toBe(true);
  });

  it("leaves it incomplete when the switch comes before it was filled", async () => {
    const completeness = created();
    completeness.adopt(phase("prepare"));
    completeness.compared(0, leaving, 2);
    // Nothing but this partition is its own, and that is not made good.
    await new Promise((resolve) => setImmediate(resolve));
    completeness.adopt(phase("switch"));
    expect(completeness.isComplete(0)).toBe(false);
    completeness.compared(0, staying, 3);
    completeness.compared(0, other, 3);
    expect(completeness.isComplete(0)).toBe(true);
  });

  it("lets it answer after the switch when it was filled before", async () => {
    const completeness = created();
    completeness.adopt(phase("prepare"));
    for (const home of [leaving, staying, other]) completeness.compared(0, home, 2);
    expect(completeness.isComplete(0)).toBe(true);
    completeness.adopt(phase("switch"));
    expect(completeness.isComplete(0)).toBe(true);
  });
});

describe("a member that gets a partition", () => {
  const before = firstRing({
    members: parseFirstMembers("a=h:1@x,b=h:2@y,c=h:3@z,d=h:4@x"),
    ...{ partitions: 1, replicationFactor: 3, readQuorum: 2, writeQuorum: 2, mode: "strict" },
  });
  const [row = []] = before.homes;
  const newIndex = [0, 1, 2, 3].find((index) => !row.includes(index)) as number;
  const id = "0123456789abcdef";
  const prepare = createRing({
    ...{ ...before, epoch: 2 },
    transition: {
      ...{ id, phase: "prepare", phaseEpoch: 2, startedAtMs: 0, homes: [[newIndex, ...row.slice(1)]] },
      ...{ leaving: [], weights: [], readQuorum: 2, writeQuorum: 2, mode: "strict" },
    },
  });
  const nameOf = (index: number) => before.members[index]?.name ?? "";
  const whole = { isRebuilding: () => false } as unknown as Identity;
  const turn = () => new Promise((resolve) => setImmediate(resolve));

  it("says that all is here only once its disk has it for good, and tries again where that failed", async () => {
    const flushes: PromiseWithResolvers<void>[] = [];
    const disk = {
      flush() {
        flushes.push(Promise.withResolvers());
        return (flushes.at(-1) as PromiseWithResolvers<void>).promise;
      },
    };
    const completeness = create(nameOf(newIndex), whole, disk);
    completeness.adopt(prepare);
    await turn();
    for (const home of row) completeness.compared(0, nameOf(home), 2);
    await turn();
    expect([flushes.length, completeness.completeFor()]).toEqual([1, undefined]);
    flushes[0]?.reject(new KvError("STORAGE_FULL", "Cannot flush: no space."));
    await turn();
    expect([flushes.length, completeness.completeFor()]).toEqual([1, undefined]);
    completeness.review();
    await turn();
    flushes[1]?.resolve();
    await turn();
    expect([flushes.length, completeness.completeFor()]).toEqual([2, id]);
  });
});
