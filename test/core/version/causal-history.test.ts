/** Random histories of one key against the causal-history model of world.ts. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import fc from "fast-check";
import type { KvRecord } from "../../../node/core/version/record.ts";
import { nameOf, scriptArbitrary, shownEvents, World } from "./world.ts";

/** With at most this many named dots of a kind, nothing is ever forgotten and the model's events are exact. */
const EVENTS_NEVER_FORGOTTEN = 8;

type Edges = ReadonlyMap<string, ReadonlySet<string>>;

/** Which events directly replaced which, among the dots in `known`. */
function replacedBy(world: World, known: ReadonlySet<string>): Edges {
  const edges = new Map<string, Set<string>>();
  for (const name of known) {
    const later = world.stamps.get(name);
    for (const seen of later?.history ?? []) {
      const earlier = world.stamps.get(seen)?.event;
      if (earlier === undefined || later === undefined) continue;
      const successors = edges.get(earlier) ?? new Set();
      edges.set(earlier, successors.add(later.event));
    }
  }
  return edges;
}

/** All events that come after the event, directly or not; the event itself only when it lies on a cycle. */
function successors(edges: Edges, event: string): ReadonlySet<string> {
  const found = new Set<string>();
  const open = [event];
  for (let next = open.pop(); next !== undefined; next = open.pop())
    for (const later of edges.get(next) ?? []) {
      if (found.has(later)) continue;
      found.add(later);
      open.push(later);
    }
  return found;
}

function checkReplica(world: World, replica: number): void {
  const record = world.record(replica);
  if (record === undefined) return;
  const { known, live, events } = world.knowledge(replica);
  assert.deepEqual(new Set(record.siblings.map(({ dot }) => nameOf(dot))), live, "siblings differ from the model");
  assert.deepEqual(new Set(record.events.map(({ dot }) => nameOf(dot))), events, "events differ from the model");
  world.checkCovers(record.context, known, "a record");
  checkNothingLost(world, record, known);
}

/** Whatever a record covers is shown, or something shown came after it. */
function checkNothingLost(world: World, record: KvRecord, known: ReadonlySet<string>): void {
  const shown = shownEvents(world, record);
  const edges = replacedBy(world, known);
  for (const name of known) {
    const event = world.stamps.get(name)?.event ?? "unknown";
    if (shown.has(event)) continue;
    const after = successors(edges, event);
    assert(
      [...shown].some((later) => after.has(later)),
      `${event} is lost: shown is ${[...shown].join(", ")}`,
    );
  }
}

/**
 * Whether the event is a blind overwrite, stamped again where only one of two dots of some other event was known: then
 * it may be all that is left of what it replaced, and is shown until the next write.
 */
function isKeptForSafety(world: World, event: string): boolean {
  const dots = [...world.stamps].map(([name, stamp]) => ({ name, ...stamp }));
  const overwrites = dots.filter((stamp) => stamp.event === event && stamp.isOverwrite);
  if (overwrites.length < 2) return false;
  return overwrites.some(({ history }) =>
    dots.some(
      ({ name, event: other }) =>
        other !== event && history.has(name) && dots.some((twin) => twin.event === other && !history.has(twin.name)),
    ),
  );
}

/** Once all has been exchanged: every write is known, and none is shown beside one that had seen it. */
function checkConverged(world: World): void {
  const record = world.converged();
  if (record === undefined) return;
  const all = new Set(world.stamps.keys());
  world.checkCovers(record.context, all, "the converged record");
  checkNothingLost(world, record, all);
  const shown = [...shownEvents(world, record)];
  const edges = replacedBy(world, all);
  for (const earlier of shown) {
    const after = successors(edges, earlier);
    // A write that was sent again may come before and after another, or after itself: no order to invert.
    if (after.has(earlier) || isKeptForSafety(world, earlier)) continue;
    for (const later of shown) {
      if (successors(edges, later).has(later)) continue;
      assert(!after.has(later), `${earlier} is shown beside ${later}, which had seen it`);
    }
  }
}

describe("a key's history", () => {
  it("is at every replica and in every token exactly what the causal model says, and loses no write that nobody replaced", () => {
    fc.assert(
      fc.property(scriptArbitrary(), (script) => {
        const world = new World(script.replicas, EVENTS_NEVER_FORGOTTEN);
        world.run(script, checkReplica);
        checkConverged(world);
      }),
      { numRuns: 1_500 },
    );
  });
});
