/**
 * Two assignments that the planner needs, each as one minimum-cost flow: which members hold a partition, and which of
 * them comes first.
 *
 *     source ──N──> partition ──zone bounds──> partition's zone ──1──> member ──its share, rounded──> sink
 *                                                         cost 0 to keep a replica, 1 to move one
 *
 * A flow that fills all places is a table; the cheapest one moves the fewest replicas that any table with these shares
 * moves. What must be filled (a zone's least, a share rounded down) costs nothing, what may be filled costs more than
 * all moves together, so the first is always filled before the second: that states lower bounds by cost alone.
 * That a layout is a flow, and the cheapest flow the least movement, is Garage's idea (*Optimal geo-distributed layout*).
 */
import assert from "node:assert/strict";
import { mix32 } from "./hash.ts";
import { FlowNetwork } from "./min-cost-flow.ts";
import { fillLevel, roundings, tolerated, type ZoneBounds } from "./shares.ts";

const SOURCE = 0;
const SINK = 1;

/** Indexes 0 .. count − 1 in an order that looks random and depends on `seed` alone. */
function drawOrder(members: readonly number[], seed: number): Int32Array {
  const keys = Float64Array.from(members, (member) => mix32(seed, member) * 2 ** 20 + member);
  return Int32Array.from(keys.sort(), (key) => key % 2 ** 20);
}

/** What it costs to move a replica: more than any one exchange of members can save by bringing shares nearer to ideal. */
const MOVE = 4;

type Bounds = { readonly least: number; readonly most: number };

/**
 * Adds the ways from a member to the sink. What it must hold costs nothing, what it may hold `penalty`, and a little more
 * the farther it takes the member over its share, so that of equal movements the fairest is taken.
 */
function addShare(
  network: FlowNetwork,
  { tail, share, bounds, penalty }: { tail: number; share: number; bounds: Bounds; penalty: number },
): void {
  const { least, most } = roundings(share);
  const steps = [bounds.least, least, most, bounds.most];
  let held = 0;
  for (const [step, until] of steps.entries()) {
    if (until <= held) continue;
    network.addArc({ tail, head: SINK, capacity: until - held, cost: step === 0 ? 0 : penalty + step - 1 });
    held = until;
  }
}

export type AssignmentRequest = {
  readonly partitions: number;
  readonly replicationFactor: number;
  /** Zones with their bounds for each partition; members are indexes into `shares`. */
  readonly zones: readonly ZoneBounds[];
  /** Ideal replicas of each member, see `idealShares`; 0 for members in no zone. */
  readonly shares: readonly number[];
  /** How far a member may be from its share, as a part of it, to save moves; 0 for no farther than rounding takes it. */
  readonly tolerance: number;
  /** partitions × N places, row by row: the member to keep there, or −1. No member twice in a row. */
  readonly wanted: Int32Array;
  /** Breaks ties. A salt of its own for each change spreads the moves over other partitions each time. */
  readonly salt: number;
};

/**
 * Gives every partition N distinct members within the zones' bounds, each member its share rounded up or down (or within
 * the tolerance), and keeps as many wanted replicas as possible.
 *
 * @returns partitions × N places; members that are kept keep their place.
 */
export function assignReplicas(request: AssignmentRequest): Int32Array {
  const { partitions, replicationFactor, zones, shares, tolerance, wanted, salt } = request;
  const total = partitions * replicationFactor;
  const partitionNode = 2 + shares.length;
  const zoneNode = partitionNode + partitions;
  const memberCount = zones.reduce((sum, zone) => sum + zone.members.length, 0);
  const choiceCount = partitions * memberCount;
  const network = new FlowNetwork({
    nodeCount: zoneNode + partitions * zones.length,
    arcCountMax: choiceCount + partitions * (1 + 2 * zones.length) + 4 * shares.length,
  });
  const penalty = (MOVE + 1) * (total + 1);
  for (const [member, share] of shares.entries()) {
    const bounds = tolerance > 0 ? tolerated(share, { tolerance, max: partitions }) : roundings(share);
    addShare(network, { tail: 2 + member, share, bounds, penalty });
  }

  const zonePenalty = zones.some((zone) => zone.replicasMin > 0) ? penalty : 0;
  const choices = { arcs: new Int32Array(choiceCount), members: new Int32Array(choiceCount) };
  let choice = 0;
  const everyPartition = Array.from({ length: partitions }, (_, partition) => partition);
  for (const partition of drawOrder(everyPartition, salt)) {
    const kept = wanted.subarray(partition * replicationFactor, (partition + 1) * replicationFactor);
    const seed = mix32(salt, partition);
    const node = partitionNode + partition;
    network.addArc({ tail: SOURCE, head: node, capacity: replicationFactor, cost: 0 });
    for (let turn = 0; turn < zones.length; turn++) {
      const index = (turn + seed) % zones.length;
      const zone = zones[index];
      assert(zone !== undefined);
      const head = zoneNode + partition * zones.length + index;
      const { replicasMin: least, replicasMax: most } = zone;
      if (least > 0) network.addArc({ tail: node, head, capacity: least, cost: 0 });
      if (most > least) network.addArc({ tail: node, head, capacity: most - least, cost: zonePenalty });
      for (const member of drawOrder(zone.members, seed)) {
        const cost = kept.includes(member) ? 0 : MOVE;
        choices.members[choice] = member;
        choices.arcs[choice++] = network.addArc({ tail: head, head: 2 + member, capacity: 1, cost });
      }
    }
  }
  assert.equal(network.solve({ source: SOURCE, sink: SINK }), total, "shares within the zones' bounds have a table");

  const places = new Int32Array(total).fill(-1);
  choice = 0;
  for (const partition of drawOrder(everyPartition, salt)) {
    const chosen = new Set<number>();
    for (const end = choice + memberCount; choice < end; choice++) {
      if (network.flowOf(choices.arcs[choice] ?? 0) > 0) chosen.add(choices.members[choice] ?? 0);
    }
    fillRow(places, {
      wanted,
      chosen,
      from: partition * replicationFactor,
      until: (partition + 1) * replicationFactor,
    });
  }
  return places;
}

/** Writes one partition's members: those kept where they were, the new ones into the places that became free. */
function fillRow(
  places: Int32Array,
  row: { wanted: Int32Array; chosen: Set<number>; from: number; until: number },
): void {
  const { wanted, chosen } = row;
  for (let place = row.from; place < row.until; place++) {
    if (chosen.delete(wanted[place] ?? -1)) places[place] = wanted[place] ?? -1;
  }
  const gained = chosen.values();
  for (let place = row.from; place < row.until; place++) {
    if (places[place] === -1) places[place] = gained.next().value ?? -1;
  }
}

/** Ideal first places of each member: by weight, no more than the replicas it holds, together one per partition. */
export function idealFirstPlaces(request: {
  readonly weights: readonly number[];
  readonly held: readonly number[];
  readonly partitions: number;
}): number[] {
  const { weights, held, partitions } = request;
  const holders = [...held.keys()].filter((member) => (held[member] ?? 0) > 0);
  const level = fillLevel(
    holders.map((member) => weights[member] ?? 0),
    holders.map((member) => held[member] ?? 0),
    partitions,
  );
  return weights.map((weight, member) => ((held[member] ?? 0) > 0 ? Math.min(held[member] ?? 0, level * weight) : 0));
}

/**
 * Chooses who comes first in each partition: shares of first places by weight, as few changes as possible.
 *
 * Which members hold a partition is settled, so a share may be out of reach; then the excess is spread, for what
 * each further first place of one member costs grows.
 *
 * @param request `places` as `assignReplicas` gave them; `shares` as `idealFirstPlaces` gave them.
 * @returns New places: in each row the first was perhaps exchanged for another of the same row.
 */
export function assignFirstPlaces(request: {
  readonly partitions: number;
  readonly replicationFactor: number;
  readonly places: Int32Array;
  readonly shares: readonly number[];
}): Int32Array {
  const { partitions, replicationFactor, shares } = request;
  const places = request.places.slice();
  const excessSteps = 1 + Math.ceil(Math.log2(partitions + 1));
  const network = new FlowNetwork({
    nodeCount: 2 + shares.length + partitions,
    arcCountMax: partitions * (1 + replicationFactor) + shares.length * (4 + excessSteps),
  });
  const penalty = partitions + 1;
  for (const [member, share] of shares.entries()) {
    addShare(network, { tail: 2 + member, share, bounds: roundings(share), penalty });
    for (let step = 0; step < excessSteps; step++) {
      network.addArc({ tail: 2 + member, head: SINK, capacity: 2 ** step, cost: (3 + step) * penalty });
    }
  }
  const firstArc = new Int32Array(partitions);
  for (let partition = 0; partition < partitions; partition++) {
    const node = 2 + shares.length + partition;
    network.addArc({ tail: SOURCE, head: node, capacity: 1, cost: 0 });
    for (let place = 0; place < replicationFactor; place++) {
      const member = places[partition * replicationFactor + place] ?? 0;
      const arc = network.addArc({ tail: node, head: 2 + member, capacity: 1, cost: place === 0 ? 0 : 1 });
      if (place === 0) firstArc[partition] = arc;
    }
  }
  assert.equal(network.solve({ source: SOURCE, sink: SINK }), partitions, "every partition has a first place");

  for (let partition = 0; partition < partitions; partition++) {
    const row = places.subarray(partition * replicationFactor, (partition + 1) * replicationFactor);
    const chosen = row.findIndex((_, place) => network.flowOf((firstArc[partition] ?? 0) + place) > 0);
    assert(chosen !== -1, "a full flow chooses one place of each partition");
    const first = row[chosen] ?? 0;
    row[chosen] = row[0] ?? 0;
    row[0] = first;
  }
  return places;
}
