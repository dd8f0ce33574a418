/**
 * Minimum-cost maximum flow over integer capacities and costs.
 *
 * Primal-dual method (Ford and Fulkerson 1962; Ahuja, Magnanti and Orlin, *Network Flows*, §9.8): shortest distances
 * by reduced cost give node potentials, then blocking flows (Dinic 1970) fill every path of that length at once.
 * Costs here are few small numbers, so there are few distances and the buckets of Dial's algorithm stay few.
 * Where several optima exist, arcs added first are preferred: equal input gives equal flow, on every machine.
 * Costs may not be negative. This is no general solver: it knows nothing of lower bounds, which callers state by cost.
 */
import assert from "node:assert/strict";

/** Reads an element that the algorithm's own bookkeeping guarantees to be there. */
function at(array: Int32Array | Float64Array, index: number): number {
  return array[index] as number;
}

/** A network that is filled once and solved once. Nodes are 0 .. nodeCount − 1. */
export class FlowNetwork {
  readonly #nodeCount: number;
  #arcCount = 0;
  /** Slot 2a is arc a, slot 2a + 1 its reverse: head, what may still flow, and cost of each slot. */
  readonly #heads: Int32Array;
  readonly #residuals: Int32Array;
  readonly #costs: Int32Array;
  /** The slots that leave node v are `#slots[#first[v] .. #first[v + 1] − 1]`. */
  #first = new Int32Array(0);
  #slots = new Int32Array(0);
  readonly #potentials: Float64Array;
  readonly #distances: Float64Array;
  readonly #levels: Int32Array;
  readonly #queue: Int32Array;

  /** @param size `arcCountMax` bounds the calls of `addArc`; memory is taken for it at once (about 32 bytes each). */
  constructor({ nodeCount, arcCountMax }: { nodeCount: number; arcCountMax: number }) {
    this.#nodeCount = nodeCount;
    this.#heads = new Int32Array(2 * arcCountMax);
    this.#residuals = new Int32Array(2 * arcCountMax);
    this.#costs = new Int32Array(2 * arcCountMax);
    this.#potentials = new Float64Array(nodeCount);
    this.#distances = new Float64Array(nodeCount);
    this.#levels = new Int32Array(nodeCount);
    this.#queue = new Int32Array(nodeCount);
  }

  /**
   * Adds an arc and returns its number for `flowOf`.
   *
   * @param arc Capacity ≥ 0 in units of flow; cost ≥ 0 for each unit, below 2^30.
   */
  addArc({ tail, head, capacity, cost }: { tail: number; head: number; capacity: number; cost: number }): number {
    assert(cost >= 0 && capacity >= 0, "costs and capacities are not negative");
    assert(2 * this.#arcCount < this.#heads.length, "no more arcs than were announced");
    const arc = this.#arcCount++;
    this.#heads[2 * arc] = head;
    this.#heads[2 * arc + 1] = tail;
    this.#residuals[2 * arc] = capacity;
    this.#costs[2 * arc] = cost;
    this.#costs[2 * arc + 1] = -cost;
    return arc;
  }

  /** Units that flow over an arc after `solve`. */
  flowOf(arc: number): number {
    return at(this.#residuals, 2 * arc + 1);
  }

  /** Finds the cheapest of the largest flows from source to sink; returns its size in units. */
  solve({ source, sink }: { source: number; sink: number }): number {
    this.#indexSlots();
    let value = 0;
    while (this.#findDistances(source, sink)) {
      while (this.#findLevels(source, sink)) value += this.#fillPaths(source, sink);
    }
    return value;
  }

  /** Groups the slots by the node they leave, in the order in which the arcs were added. */
  #indexSlots(): void {
    const slotCount = 2 * this.#arcCount;
    const first = new Int32Array(this.#nodeCount + 1);
    const slots = new Int32Array(slotCount);
    for (let slot = 0; slot < slotCount; slot++)
      first[at(this.#heads, slot ^ 1) + 1] = at(first, at(this.#heads, slot ^ 1) + 1) + 1;
    for (let node = 0; node < this.#nodeCount; node++) first[node + 1] = at(first, node + 1) + at(first, node);
    const next = first.slice();
    for (let slot = 0; slot < slotCount; slot++) {
      const tail = at(this.#heads, slot ^ 1);
      const place = at(next, tail);
      slots[place] = slot;
      next[tail] = place + 1;
    }
    this.#first = first;
    this.#slots = slots;
  }

  /**
   * Raises the potentials by the shortest distances from the source (Dijkstra over reduced costs, in buckets), so
   * that the arcs on shortest paths have reduced cost 0. Nodes beyond the sink rise as far as the sink does.
   *
   * @returns Whether the sink can be reached.
   */
  #findDistances(source: number, sink: number): boolean {
    const distances = this.#distances.fill(Number.POSITIVE_INFINITY);
    const potentials = this.#potentials;
    const buckets = new Map<number, number[]>([[0, [source]]]);
    distances[source] = 0;
    let current = 0;
    while (current < at(distances, sink)) {
      const bucket = buckets.get(current) ?? [];
      for (let node = bucket.pop(); node !== undefined; node = bucket.pop()) {
        if (at(distances, node) < current) continue; // Settled since by a shorter way.
        for (let index = at(this.#first, node); index < at(this.#first, node + 1); index++) {
          const slot = at(this.#slots, index);
          if (at(this.#residuals, slot) === 0) continue;
          const head = at(this.#heads, slot);
          const distance = current + at(this.#costs, slot) + at(potentials, node) - at(potentials, head);
          if (distance >= at(distances, head)) continue;
          distances[head] = distance;
          const later = buckets.get(distance);
          if (later === undefined) buckets.set(distance, [head]);
          else later.push(head);
        }
      }
      buckets.delete(current);
      if (buckets.size === 0) break;
      current = Math.min(...buckets.keys());
    }
    const farthest = at(distances, sink);
    if (farthest === Number.POSITIVE_INFINITY) return false;
    for (let node = 0; node < this.#nodeCount; node++) {
      potentials[node] = at(potentials, node) + Math.min(at(distances, node), farthest);
    }
    return true;
  }

  /** Whether a slot lies on a shortest path and may still carry flow. */
  #isOpen(slot: number): boolean {
    if (at(this.#residuals, slot) === 0) return false;
    const tail = at(this.#heads, slot ^ 1);
    const head = at(this.#heads, slot);
    return at(this.#costs, slot) + at(this.#potentials, tail) - at(this.#potentials, head) === 0;
  }

  /** Counts, over open slots only, how many steps each node is from the source; false when the sink is cut off. */
  #findLevels(source: number, sink: number): boolean {
    const levels = this.#levels.fill(-1);
    const queue = this.#queue;
    levels[source] = 0;
    queue[0] = source;
    let end = 1;
    for (let start = 0; start < end && at(levels, sink) === -1; start++) {
      const node = at(queue, start);
      for (let index = at(this.#first, node); index < at(this.#first, node + 1); index++) {
        const slot = at(this.#slots, index);
        const head = at(this.#heads, slot);
        if (at(levels, head) !== -1 || !this.#isOpen(slot)) continue;
        levels[head] = at(levels, node) + 1;
        queue[end++] = head;
      }
    }
    return at(levels, sink) !== -1;
  }

  /** Pushes flow along level paths until every one of them is blocked; returns the units pushed. */
  #fillPaths(source: number, sink: number): number {
    const next = this.#first.slice();
    const path: number[] = [];
    let node = source;
    let value = 0;
    for (;;) {
      if (node === sink) {
        value += this.#push(path);
        path.length = 0;
        node = source;
        continue;
      }
      const slot = this.#nextSlot(node, next);
      if (slot !== -1) {
        path.push(slot);
        node = at(this.#heads, slot);
        continue;
      }
      const back = path.pop();
      if (back === undefined) return value;
      this.#levels[node] = -1; // A dead end: nobody else need try it.
      node = at(this.#heads, back ^ 1);
    }
  }

  /** The first open slot of a node that leads one level on, moving the node's pointer there; −1 for none. */
  #nextSlot(node: number, next: Int32Array): number {
    const level = at(this.#levels, node) + 1;
    const end = at(this.#first, node + 1);
    for (let index = at(next, node); index < end; index++) {
      const slot = at(this.#slots, index);
      if (at(this.#levels, at(this.#heads, slot)) === level && this.#isOpen(slot)) {
        next[node] = index;
        return slot;
      }
    }
    next[node] = end;
    return -1;
  }

  /** Sends as much as the narrowest slot of a path takes. */
  #push(path: readonly number[]): number {
    let units = Number.POSITIVE_INFINITY;
    for (const slot of path) units = Math.min(units, at(this.#residuals, slot));
    for (const slot of path) {
      this.#residuals[slot] = at(this.#residuals, slot) - units;
      this.#residuals[slot ^ 1] = at(this.#residuals, slot ^ 1) + units;
    }
    return units;
  }
}
