/** A cluster as changes see it: a document, who can be reached, and which disk each name has. Everything else is asked of the code. */
import fc from "fast-check";
import { KvError } from "../../../node/core/errors.ts";
import { beginChange, type ChangeFacts, type ChangeRequest, NO_CHANGE } from "../../../node/core/ring/change.ts";
import type { RingDocument, RingMember } from "../../../node/core/ring/document.ts";
import { firstRing } from "../../../node/core/ring/first-members.ts";
import type { FactsOf, MemberFacts } from "../../../node/core/ring/transition.ts";

/** Names whose order is not the one in which they join. */
export const NAMES = ["m", "f", "t", "c", "p", "a", "z", "h", "k", "w"] as const;

export type World = {
  document: RingDocument;
  readonly away: Set<string>;
  /** Members whose disks were lost and are being filled. */
  readonly rebuilding: Set<string>;
  readonly actors: Map<string, string>;
  changes: number;
};

export const actor = (number: number): string => number.toString(16).padStart(32, "0");

/** A member that joins: all but its name follows from it. */
export function joiner(name: string, zone = "a", weight = 100) {
  return { name, address: `${name}.example:7402`, zone, weight };
}

export type Shape = {
  readonly members: number;
  readonly zones: number;
  readonly replicationFactor: number;
  readonly readQuorum: number;
  readonly writeQuorum: number;
  readonly partitions: number;
};

/** A cluster whose first members are the first of `NAMES`, all with disks that the document lists. */
export function createWorld(shape: Partial<Shape> = {}): World {
  const { members, zones, ...figures } = {
    ...{ members: 4, zones: 2, replicationFactor: 3, readQuorum: 2, writeQuorum: 2, partitions: 8 },
    ...shape,
  };
  const actors = new Map(NAMES.map((name, index) => [name as string, actor(index + 1)]));
  const first = NAMES.slice(0, members).map((name, index): RingMember => {
    return { ...joiner(name, `zone-${index % zones}`), state: "active", actor: actor(index + 1) };
  });
  return {
    document: firstRing({ ...figures, members: first, mode: "sloppy" }),
    away: new Set(),
    rebuilding: new Set(),
    actors,
    changes: 0,
  };
}

/** What the node that is asked knows; each change has an id of its own. */
export function changeFacts(world: World): ChangeFacts {
  world.changes += 1;
  return {
    id: world.changes.toString(16).padStart(16, "0"),
    nowMs: 1_000 + world.changes,
    isReachable: (name) => !world.away.has(name),
    actorOf: (name) => (world.away.has(name) ? undefined : world.actors.get(name)),
    metActorOf: (name) => world.actors.get(name),
    isRebuilding: (name) => !world.away.has(name) && world.rebuilding.has(name),
  };
}

/** The document that begins a change; the world stays as it is. */
export function ask(world: World, request: Partial<ChangeRequest>): RingDocument {
  return beginChange(world.document, { ...NO_CHANGE, ...request }, changeFacts(world));
}

/** The same, or the error that refuses it. */
export function tryAsk(world: World, request: Partial<ChangeRequest>): RingDocument | KvError {
  try {
    return ask(world, request);
  } catch (error) {
    if (error instanceof KvError) return error;
    throw error;
  }
}

/** Everybody who can be reached has done all that there is to do. */
export function allDone(world: World): FactsOf {
  return (name): MemberFacts | undefined => {
    if (world.away.has(name)) return undefined;
    const { epoch, transition } = world.document;
    return { actor: world.actors.get(name) ?? "", epoch, completeFor: transition?.id, isEmptied: true };
  };
}

/** Names of the homes of each partition; of those to be when there is a transition and `toBe` is set. */
export function homeNames({ members, homes, transition }: RingDocument, toBe = false): string[][] {
  return (toBe && transition !== undefined ? transition.homes : homes).map((row) =>
    row.map((home) => members[home]?.name ?? "nobody"),
  );
}

export const memberOf = ({ members }: RingDocument, name: string) => members.find((member) => member.name === name);

/** One thing that somebody does, or that happens; numbers are picks among whoever is there. */
export type Step =
  | { readonly kind: "join"; readonly pick: number; readonly zone: number; readonly weight: number }
  | { readonly kind: "leave" | "replace" | "drain"; readonly pick: number; readonly force: boolean }
  | { readonly kind: "swap" | "perish"; readonly pick: number; readonly other: number }
  | { readonly kind: "weight"; readonly pick: number; readonly weight: number }
  | { readonly kind: "move"; readonly pick: number; readonly zone: number }
  | { readonly kind: "quorum"; readonly readQuorum: number; readonly writeQuorum: number }
  | { readonly kind: "lose" | "wipe" | "return"; readonly pick: number };

const pick = fc.nat(9);
const weight = fc.constantFrom(0, 50, 100, 300);
export const STEPS: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("join" as const), pick, zone: fc.nat(3), weight }) },
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constantFrom("leave", "replace", "drain"), pick, force: fc.boolean() }),
  },
  fc.record({ kind: fc.constant("swap" as const), pick, other: pick }),
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("perish" as const), pick: fc.nat(5), other: pick }) },
  fc.record({ kind: fc.constant("weight" as const), pick, weight }),
  fc.record({ kind: fc.constant("move" as const), pick, zone: fc.nat(3) }),
  fc.record({
    kind: fc.constant("quorum" as const),
    readQuorum: fc.integer({ min: 1, max: 3 }),
    writeQuorum: fc.integer({ min: 1, max: 3 }),
  }),
  { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom("lose", "wipe", "return"), pick }) },
);

/** The request that a step makes; undefined where it is an event instead, which happens to the world at once. */
export function requestOf(world: World, step: Step): Partial<ChangeRequest> | undefined {
  const name = "pick" in step ? (NAMES[step.pick] as string) : "";
  switch (step.kind) {
    case "join":
      return { join: [joiner(name, `zone-${step.zone}`, step.weight)] };
    case "leave":
      return { leave: [name], force: step.force };
    case "replace":
      return { replace: [name], force: step.force };
    case "drain":
      return { weights: { [name]: 0 }, force: step.force };
    case "perish":
      world.away.add(name);
      return { replace: [name], join: [joiner(NAMES[step.other] as string, "zone-1")], force: true };
    case "swap":
      return { replace: [name], join: [joiner(NAMES[step.other] as string, "zone-1")] };
    case "weight":
      return { weights: { [name]: step.weight } };
    case "move":
      return { zones: { [name]: `zone-${step.zone}` } };
    case "quorum":
      return { quorum: { readQuorum: step.readQuorum, writeQuorum: step.writeQuorum } };
    case "lose":
      world.away.add(name);
      return undefined;
    case "wipe":
      world.actors.set(name, actor(0x1000 + world.changes++));
      return undefined;
    case "return":
      world.away.delete(name);
      return undefined;
  }
}

/** Clusters of 3 to 6 members. */
export const SHAPES: fc.Arbitrary<Shape> = fc
  .record({
    members: fc.integer({ min: 3, max: 6 }),
    zones: fc.integer({ min: 1, max: 3 }),
    replicationFactor: fc.integer({ min: 1, max: 3 }),
    readQuorum: fc.constant(1),
    writeQuorum: fc.constant(1),
    partitions: fc.constantFrom(4, 8, 16),
  })
  .chain((shape) =>
    fc
      .record({
        readQuorum: fc.integer({ min: 1, max: shape.replicationFactor }),
        writeQuorum: fc.integer({ min: 1, max: shape.replicationFactor }),
      })
      .map((quorums) => ({ ...shape, ...quorums })),
  );
