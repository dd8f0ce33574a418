/** The flow solver against the plainest one there is: one cheapest path at a time, found by Bellman and Ford. */
import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { FlowNetwork } from "../../../node/core/ring/min-cost-flow.ts";

type Arc = { readonly tail: number; readonly head: number; readonly capacity: number; readonly cost: number };

/** Value and cost of the cheapest largest flow from node 0 to the last. */
function plainSolve(nodeCount: number, arcs: readonly Arc[]): { value: number; cost: number } {
  const edges = arcs.flatMap((arc) => [
    { from: arc.tail, to: arc.head, left: arc.capacity, cost: arc.cost },
    { from: arc.head, to: arc.tail, left: 0, cost: -arc.cost },
  ]);
  const total = { value: 0, cost: 0 };
  for (;;) {
    const best = Array.from({ length: nodeCount }, (_, node) => (node === 0 ? 0 : Number.POSITIVE_INFINITY));
    const by = new Array<number>(nodeCount).fill(-1);
    for (let round = 0; round < nodeCount; round++) {
      for (const [index, { from, to, left, cost }] of edges.entries()) {
        if (left === 0 || (best[from] ?? 0) + cost >= (best[to] ?? 0)) continue;
        best[to] = (best[from] ?? 0) + cost;
        by[to] = index;
      }
    }
    if (by[nodeCount - 1] === -1) return total;
    for (let node = nodeCount - 1; node !== 0; ) {
      const index = by[node] ?? 0;
      const [edge, reverse] = [edges[index], edges[index ^ 1]];
      if (edge === undefined || reverse === undefined) break;
      edge.left--;
      reverse.left++;
      node = edge.from;
    }
    total.value++;
    total.cost += best[nodeCount - 1] ?? 0;
  }
}

function solve(nodeCount: number, arcs: readonly Arc[]) {
  const network = new FlowNetwork({ nodeCount, arcCountMax: arcs.length });
  const numbers = arcs.map((arc) => network.addArc(arc));
  const value = network.solve({ source: 0, sink: nodeCount - 1 });
  const flows = numbers.map((number) => network.flowOf(number));
  return { value, flows, cost: arcs.reduce((sum, { cost }, index) => sum + cost * (flows[index] ?? 0), 0) };
}

const networks = fc.integer({ min: 2, max: 9 }).chain((nodeCount) => {
  const node = fc.nat(nodeCount - 1);
  const arc = fc
    .record({ tail: node, head: node, capacity: fc.nat(4), cost: fc.constantFrom(0, 0, 1, 2, 100) })
    .filter(({ tail, head }) => tail !== head);
  return fc.record({ nodeCount: fc.constant(nodeCount), arcs: fc.array(arc, { maxLength: 30, size: "max" }) });
});

describe("a minimum-cost flow", () => {
  it("is as large and as cheap as one cheapest path after the other makes it", () => {
    fc.assert(
      fc.property(networks, ({ nodeCount, arcs }) => {
        const { value, cost } = solve(nodeCount, arcs);
        expect({ value, cost }).toEqual(plainSolve(nodeCount, arcs));
      }),
      { seed: 3, numRuns: 1_000 },
    );
  });

  it("fits its arcs, and what enters a node leaves it", () => {
    fc.assert(
      fc.property(networks, ({ nodeCount, arcs }) => {
        const { value, flows } = solve(nodeCount, arcs);
        const surplus = new Array<number>(nodeCount).fill(0);
        for (const [index, { tail, head, capacity }] of arcs.entries()) {
          const flow = flows[index] ?? 0;
          expect(flow).toBeGreaterThanOrEqual(0);
          expect(flow).toBeLessThanOrEqual(capacity);
          surplus[tail] = (surplus[tail] ?? 0) - flow;
          surplus[head] = (surplus[head] ?? 0) + flow;
        }
        const expected = new Array<number>(nodeCount).fill(0);
        expected[0] = 0 - value;
        expected[nodeCount - 1] = value;
        expect(surplus.map((units) => units + 0)).toEqual(expected.map((units) => units + 0));
      }),
      { seed: 4, numRuns: 500 },
    );
  });

  it("takes the arc that was added first where two are as good", () => {
    const arc = { tail: 0, head: 1, capacity: 1, cost: 5 };
    expect(solve(3, [arc, arc, { tail: 1, head: 2, capacity: 1, cost: 0 }]).flows).toEqual([1, 0, 1]);
  });

  it("takes back a choice that stands in the way of a cheaper whole", () => {
    const arcs = [
      { tail: 0, head: 1, capacity: 1, cost: 0 },
      { tail: 0, head: 2, capacity: 1, cost: 0 },
      { tail: 1, head: 3, capacity: 1, cost: 0 },
      { tail: 1, head: 4, capacity: 1, cost: 1 },
      { tail: 2, head: 3, capacity: 1, cost: 0 },
      { tail: 3, head: 5, capacity: 1, cost: 0 },
      { tail: 4, head: 5, capacity: 1, cost: 0 },
    ];
    expect(solve(6, arcs)).toEqual({ value: 2, cost: 1, flows: [1, 1, 0, 1, 1, 1, 1] });
  });
});
