/** What clients see of quorums, versions and siblings, on three real processes. */
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { type ClusterNode, LocalCluster } from "../bench/cluster.ts";
import { sleep } from "../bench/processes.ts";
import { type Answered, ask, problemOf, siblingsOf } from "./http.ts";

const RECOVERY_MS = 10_000;
const RECOVERY_POLL_MS = 50;

let cluster: LocalCluster;
let a: ClusterNode;
let b: ClusterNode;
let c: ClusterNode;

beforeAll(async () => {
  cluster = await LocalCluster.start();
  const [first, second, third] = cluster.nodes;
  if (first === undefined || second === undefined || third === undefined) throw new Error("three nodes were asked for");
  [a, b, c] = [first, second, third];
}, 60_000);
afterAll(async () => {
  expect(await cluster.stop()).toEqual([]);
}, 60_000);

const text = (answer: Answered): string => `${answer.status} ${answer.body}`;
const contextOf = (answer: Answered): Record<string, string> => ({
  "KV-Context": answer.headers.get("kv-context") ?? "",
});

describe("versions, through any node", () => {
  it("shows both of two writes that replace the same version, in the same order everywhere, until one settles them", async () => {
    await ask(a, "PUT", "cart", { body: "empty" });
    const [seenByOne, seenByTwo] = [await ask(b, "GET", "cart"), await ask(c, "GET", "cart")];
    expect([text(seenByOne), text(seenByTwo)]).toEqual(["200 empty", "200 empty"]);
    for (const [node, seen, body] of [
      [b, seenByOne, "milk"],
      [c, seenByTwo, "bread"],
    ] as const) {
      expect((await ask(node, "PUT", "cart", { headers: contextOf(seen), body })).status).toBe(204);
    }
    const shown = await Promise.all([a, b, c].map(async (node) => siblingsOf(await ask(node, "GET", "cart"))));
    expect(shown.map(({ values }) => values.toSorted())).toEqual(Array(3).fill(["bread", "milk"]));
    expect(shown.map(({ values }) => values)).toEqual(Array(3).fill(shown[0]?.values));
    const settled = await ask(a, "PUT", "cart", { headers: { "KV-Context": shown[1]?.context ?? "" }, body: "both" });
    expect(settled.status).toBe(204);
    for (const node of cluster.nodes) expect(text(await ask(node, "GET", "cart"))).toBe("200 both");
  });

  it("gives 409 with the context to a client that takes raw bytes only, while there are siblings", async () => {
    await ask(a, "PUT", "picky", { body: "one" });
    await ask(b, "PUT", "picky?blind=sibling", { body: "two" });
    const refused = await ask(c, "GET", "picky", { headers: { Accept: "application/octet-stream" } });
    expect(refused.status).toBe(409);
    expect(refused.headers.get("kv-context")).not.toBeNull();
  });

  it("gives the last of plain blind writes through different nodes, and both with blind=sibling", async () => {
    for (let round = 0; round < 20; round++) {
      const key = `blind-${round}`;
      const [first = a, second = b, reader = c] = [0, 1, 2].map((step) => cluster.nodes[(round + step) % 3]);
      expect((await ask(first, "PUT", key, { body: "one" })).status).toBe(204);
      expect((await ask(second, "PUT", key, { body: "two" })).status).toBe(204);
      expect(text(await ask(reader, "GET", key))).toBe("200 two");
      expect((await ask(first, "PUT", `${key}?blind=sibling`, { body: "three" })).status).toBe(204);
      expect(siblingsOf(await ask(reader, "GET", key)).values.toSorted()).toEqual(["three", "two"]);
    }
  });

  it("chains a client's writes by the token that each answers with", async () => {
    const first = await ask(a, "PUT", "chain", { body: "1" });
    const second = await ask(b, "PUT", "chain", { body: "2", headers: contextOf(first) });
    expect((await ask(c, "PUT", "chain", { body: "3", headers: contextOf(second) })).status).toBe(204);
    expect(text(await ask(a, "GET", "chain"))).toBe("200 3");
  });

  it("deletes, answers 404 with a context, and lets a write with that context bring the key back", async () => {
    await ask(a, "PUT", "gone", { body: "here" });
    expect((await ask(b, "DELETE", "gone")).status).toBe(204);
    const missing = await ask(c, "GET", "gone");
    expect(missing.status).toBe(404);
    expect((await ask(a, "PUT", "gone", { body: "again", headers: contextOf(missing) })).status).toBe(204);
    expect(text(await ask(b, "GET", "gone"))).toBe("200 again");
  });
});

/** Asks until the answer has the status, for as long as links take to come back. */
async function eventually(status: number, attempt: () => Promise<Answered>): Promise<Answered> {
  const until = performance.now() + RECOVERY_MS;
  for (;;) {
    const answer = await attempt();
    if (answer.status === status || performance.now() > until) {
      expect(answer.status).toBe(status);
      return answer;
    }
    await sleep(RECOVERY_POLL_MS);
  }
}

describe("quorums with nodes down", () => {
  it("refuses w=3 with one node down and says truly what happened, while w=2 goes on", async () => {
    await ask(a, "PUT", "stock", { body: "before" });
    await cluster.killNode(c);
    for (const node of [a, b]) {
      const answer = await ask(node, "PUT", "stock?w=3", { body: "after" });
      const problem = problemOf(answer);
      expect(problem).toMatchObject({ status: 503, required: 3, acknowledged: expect.any(Number) });
      expect(answer.headers.get("retry-after")).toMatch(/^\d+$/);
      const outcome = answer.headers.get("kv-outcome");
      const now = text(await ask(node, "GET", "stock?r=2"));
      // Unsent, nothing is there; sent, both that are up have acknowledged it and the value has surfaced.
      expect({ outcome, acknowledged: problem.acknowledged, now }).toEqual(
        outcome === "none"
          ? { outcome: "none", acknowledged: 0, now: "200 before" }
          : { outcome: "unknown", acknowledged: 2, now: "200 after" },
      );
      expect((await ask(node, "PUT", "stock?w=2", { body: "before" })).status).toBe(204);
      expect(text(await ask(node, "GET", "stock"))).toBe("200 before");
    }
  });

  it("answers r=1 with two nodes down, and refuses r=2 and w=2", async () => {
    await ask(a, "PUT", "lonely", { body: "still here" });
    await cluster.killNode(b);
    expect(text(await ask(a, "GET", "lonely?r=1"))).toBe("200 still here");
    const read = await ask(a, "GET", "lonely?r=2");
    expect(problemOf(read)).toMatchObject({ status: 503, required: 2 });
    const write = await ask(a, "PUT", "lonely?w=2", { body: "lost?" });
    expect(problemOf(write)).toMatchObject({ status: 503, required: 2, acknowledged: expect.any(Number) });
    expect(["none", "unknown"]).toContain(write.headers.get("kv-outcome"));
    expect((await ask(a, "PUT", "lonely?w=1", { body: "alone" })).status).toBe(204);
    expect(text(await ask(a, "GET", "lonely?r=1"))).toBe("200 alone");
  });

  it("takes w=3 again once the nodes are back, and every node sees what was written without them", async () => {
    await cluster.startAll();
    for (const node of cluster.nodes) {
      await eventually(204, () => ask(node, "PUT", `back-${node.name}?w=3`, { body: "all three" }));
      await eventually(200, () => ask(node, "GET", "stock?r=3"));
      expect(text(await ask(node, "GET", "stock?r=3"))).toBe("200 before");
    }
  });
});
