import { describe, expect, it } from "@jest/globals";
import { beginChange, NO_CHANGE } from "../../node/core/ring/change.ts";
import type { RingDocument } from "../../node/core/ring/document.ts";
import { firstRing, parseFirstMembers } from "../../node/core/ring/first-members.ts";
import { createRing, type Ring } from "../../node/core/ring/ring.ts";
import { type Admission, createAdmission } from "../../node/services/admission.ts";

const FIRST = firstRing({
  members: parseFirstMembers("a=h:1@x,b=h:2@y,c=h:3@z,d=h:4@x"),
  partitions: 16,
  replicationFactor: 3,
  readQuorum: 2,
  writeQuorum: 2,
  mode: "strict",
});

const PREPARE = beginChange(
  FIRST,
  { ...NO_CHANGE, leave: ["d"] },
  {
    id: "0123456789abcdef",
    nowMs: 1,
    isReachable: () => true,
    actorOf: () => undefined,
    metActorOf: () => undefined,
    isRebuilding: () => false,
  },
);
const SWITCH: RingDocument = {
  ...PREPARE,
  epoch: 3,
  transition: { ...(PREPARE.transition as NonNullable<typeof PREPARE.transition>), phase: "switch", phaseEpoch: 3 },
};

/** The admission of one member, as it adopts some documents. */
function admissionOf(self: string, ...documents: readonly RingDocument[]) {
  const rings: Ring[] = [];
  const world = { isSuperseded: false };
  const admission: Admission = createAdmission(
    self,
    {
      required: () => rings.at(-1) as Ring,
      ringOf: (epoch) => rings.find((ring) => ring.epoch === epoch),
    },
    { actor: "d0".repeat(16), isSuccessor: () => false, isSuperseded: () => world.isSuperseded },
    () => false,
  );
  const adopt = (document: RingDocument) => {
    rings.push(createRing(document));
    admission.adopt(rings.at(-1) as Ring);
  };
  for (const document of documents) adopt(document);
  return { admission, adopt, world, ring: () => rings.at(-1) as Ring };
}

const stale = expect.objectContaining({ code: "STALE_RING" });
const moving = (ring: Ring) =>
  Array.from({ length: ring.partitions }, (_, partition) => partition).filter((p) => ring.writeSets(p).length === 2);

describe("what a replica lets in by its epoch", () => {
  it("takes nothing, and tells nothing, once another directory took the place of its own", () => {
    const { admission, adopt, world } = admissionOf("a", FIRST);
    const own = moving(createRing(PREPARE)).find((partition) => createRing(FIRST).isHome("a", partition)) ?? 0;
    admission.write(1, own).end();
    world.isSuperseded = true;
    adopt({ ...FIRST, epoch: 2 });
    expect(() => admission.write(2, own)).toThrow(stale);
    expect(() => admission.read(2, own)).toThrow(stale);
    expect(() => admission.hint(2, own, "b", false)).toThrow(stale);
  });

  it("refuses writes of an earlier epoch where a partition moves, and takes them where it does not", () => {
    const { admission, ring } = admissionOf("a", FIRST, PREPARE);
    const moved = moving(ring());
    expect(moved.length).toBeGreaterThan(0);
    for (let partition = 0; partition < 16; partition++) {
      if (!ring().isWriter("a", partition)) continue;
      const write = () => admission.write(1, partition).end();
      if (moved.includes(partition)) expect(write).toThrow(stale);
      else expect(write).not.toThrow();
      expect(() => admission.write(2, partition).end()).not.toThrow();
    }
  });

  it("takes no reads of the epoch before prepare where the writers changed, and none of prepare after switch where the readers did", () => {
    let asked = 0;
    for (const { name } of FIRST.members) {
      const { admission, ring } = admissionOf(name, FIRST, PREPARE);
      for (let partition = 0; partition < ring().partitions; partition++) {
        if (!ring().isHome(name, partition)) continue;
        const read = () => admission.read(1, partition);
        if (moving(ring()).includes(partition)) expect(read).toThrow(stale);
        else expect(read).not.toThrow();
        expect(() => admission.read(2, partition)).not.toThrow();
        asked += 1;
      }
    }
    expect(asked).toBe(FIRST.partitions * FIRST.replicationFactor);
    const switched = admissionOf("a", FIRST, PREPARE, SWITCH);
    for (const partition of moving(switched.ring())) {
      expect(() => switched.admission.read(2, partition)).toThrow(stale);
      if (switched.ring().isHome("a", partition)) {
        expect(() => switched.admission.read(3, partition)).not.toThrow();
      }
    }
  });

  it("refuses an earlier epoch where another directory is listed for a home since: what that acknowledges is not the same", () => {
    const listing = (epoch: number, actor: string): RingDocument => {
      const members = FIRST.members.map((member) => ({
        ...member,
        actor: member.name === "d" ? actor : "d0".repeat(16),
      }));
      return { ...FIRST, epoch, members };
    };
    const { admission, ring } = admissionOf("b", FIRST, listing(2, "1".repeat(32)), listing(3, "2".repeat(32)));
    const of = (isHome: boolean) => {
      const own = ring().partitionsOf("b");
      return own.find((partition) => ring().isHome("d", partition) === isHome) ?? -1;
    };
    for (const call of [() => admission.write(2, of(true)), () => admission.read(2, of(true))])
      expect(call).toThrow(stale);
    admission.write(2, of(false)).end();
    admission.read(2, of(false));
    // The first ring lists none: nobody was exchanged by the one that does.
    admission.write(1, of(true)).end();
  });

  it("refuses a later epoch than its own, for it does not know what that says", () => {
    const { admission, ring } = admissionOf("a", FIRST);
    const partition = ring().partitionsOf("a")[0] as number;
    expect(() => admission.write(2, partition)).toThrow(stale);
    expect(() => admission.read(2, partition)).toThrow(stale);
  });

  it("refuses an epoch that it has forgotten, as after a restart", () => {
    const { admission, ring } = admissionOf("a", PREPARE);
    const partition = ring().partitionsOf("a")[0] as number;
    expect(() => admission.write(1, partition)).toThrow(stale);
  });

  it("keeps no hints while it leaves or joins, and none that count for its own partitions", () => {
    const leaving = admissionOf("d", FIRST, PREPARE);
    expect(() => leaving.admission.hint(2, 0, "a", false)).toThrow(stale);
    const { admission, ring } = admissionOf("a", FIRST);
    const own = ring().partitionsOf("a")[0] as number;
    expect(() => admission.hint(1, own, "b", true)).toThrow(stale);
    expect(() => admission.hint(1, own, "b", false).end()).not.toThrow();
    expect(() => admission.hint(1, own, "stranger", false)).toThrow(stale);
  });

  it("has adopted an epoch only once every write that it let in before has ended", async () => {
    const { admission, adopt, ring } = admissionOf("a", FIRST);
    const partition = ring().partitionsOf("a")[0] as number;
    const [one, two] = [admission.write(1, partition), admission.write(1, partition)];
    adopt(PREPARE);
    let settled = false;
    const waiting = admission.settled().then(() => {
      settled = true;
    });
    expect(admission.adoptedEpoch()).toBe(1);
    one.end();
    const later = admission.write(2, partition);
    expect(admission.adoptedEpoch()).toBe(1);
    two.end();
    expect(admission.adoptedEpoch()).toBe(2);
    await waiting;
    expect(settled).toBe(true);
    later.end();
    expect(admission.adoptedEpoch()).toBe(2);
  });
});
