/**
 * Three nodes in three zones, cut two to one, with clients on both sides: what each side may still do, by mode, and what
 * everybody sees afterwards.
 */
import assert from "node:assert/strict";
import { afterEach, describe, expect, it } from "@jest/globals";
import type { ClusterNode } from "../bench/cluster.ts";
import { sleep } from "../bench/processes.ts";
import { type Answered, ask, problemOf, siblingsOf } from "./http.ts";
import { checkDisks, comeToRest, viewOf } from "./rest.ts";
import { REST_WITHIN_MS, World } from "./world.ts";

/** Until both sides know of the cut. */
const KNOWN_WITHIN_MS = 15_000;
const POLL_MS = 100;
const KEYS = 20;

let world: World | undefined;
afterEach(async () => {
  await world?.remove();
  world = undefined;
}, 60_000);

/** Cuts zone c off, and waits until each side calls the other down. */
async function cutTwoToOne({ cluster, machines, zone }: World, zoneC: ReturnType<typeof zone>): Promise<void> {
  await machines.isolate(zoneC);
  const startedMs = performance.now();
  for (;;) {
    const views = await Promise.all(cluster.nodes.map(viewOf));
    const down = views.map(({ members }) => members.filter(({ health }) => health === "down").length);
    if (down.join() === "1,1,2") return;
    assert(performance.now() - startedMs < KNOWN_WITHIN_MS, `both sides know of the cut: ${down}`);
    await sleep(POLL_MS);
  }
}

async function create(
  mode: "strict" | "sloppy",
): Promise<{ world: World; nodes: [ClusterNode, ClusterNode, ClusterNode] }> {
  world = await World.create({ zones: ["a", "b", "c"], mode });
  return { world, nodes: [world.node(0), world.node(1), world.node(2)] };
}

/** What a node answers, once that is `wanted`, or at last. */
async function eventually(node: ClusterNode, path: string, wanted: string): Promise<string> {
  const untilMs = performance.now() + 1_000;
  for (;;) {
    const body = bodyOf(await ask(node, "GET", path));
    if (body === wanted || performance.now() >= untilMs) return body;
    await sleep(POLL_MS / 10);
  }
}

const bodyOf = ({ status, body }: Answered): string => `${status} ${body}`;

describe("a cut that leaves two zones of three on one side", () => {
  it("lets both sides read and write at r=1 w=1, sloppy; afterwards both are shown, and nothing is lost", async () => {
    const { world: of, nodes } = await create("sloppy");
    const [a, b, c] = nodes;
    for (let i = 0; i < KEYS; i++) assert.equal((await ask(a, "PUT", `k${i}?w=3`, { body: "before" })).status, 204);
    const seen = await Promise.all(
      Array.from({ length: KEYS }, async (_, i) => ({ "KV-Context": contextOf(await ask(b, "GET", `k${i}`)) })),
    );
    await cutTwoToOne(of, of.zone("c"));
    for (const [i, headers] of seen.entries()) {
      expect((await ask(i % 2 === 0 ? a : b, "PUT", `k${i}?w=1`, { headers, body: "two" })).status).toBe(204);
      expect((await ask(c, "PUT", `k${i}?w=1`, { headers, body: "one" })).status).toBe(204);
      // The other node of the larger side may have it a moment later: w=1 waits for one.
      await expect(eventually(b, `k${i}?r=1`, "200 two")).resolves.toBe("200 two");
      expect(bodyOf(await ask(c, "GET", `k${i}?r=1`))).toBe("200 one");
    }
    // At the quorum, which is the default, only one side goes on.
    expect((await ask(a, "PUT", "quorum?w=2", { body: "x" })).status).toBe(204);
    expect((await ask(c, "PUT", "quorum?w=2", { body: "x" })).status).toBe(503);
    await of.machines.heal();
    await comeToRest(of.cluster, REST_WITHIN_MS);
    await checkDisks(of.cluster);
    for (let i = 0; i < KEYS; i++) {
      for (const node of nodes) {
        const { values } = siblingsOf(await ask(node, "GET", `k${i}?r=1`));
        expect(values.toSorted()).toEqual(["one", "two"]);
      }
    }
  });

  it("makes the smaller side refuse, strict, while the larger goes on; afterwards all see what the larger wrote", async () => {
    const { world: of, nodes } = await create("strict");
    const [a, b, c] = nodes;
    for (let i = 0; i < KEYS; i++) assert.equal((await ask(c, "PUT", `k${i}?w=3`, { body: "before" })).status, 204);
    await cutTwoToOne(of, of.zone("c"));
    for (let i = 0; i < KEYS; i++) {
      const refused = await ask(c, "PUT", `k${i}`, { body: "smaller" });
      expect(problemOf(refused)).toMatchObject({ status: 503, required: 2, acknowledged: 0 });
      expect(refused.headers.get("kv-outcome")).toBe("none");
      expect((await ask(c, "GET", `k${i}`)).status).toBe(503);
      expect((await ask(i % 2 === 0 ? a : b, "PUT", `k${i}`, { body: "larger" })).status).toBe(204);
      expect(bodyOf(await ask(i % 2 === 0 ? b : a, "GET", `k${i}`))).toBe("200 larger");
    }
    await of.machines.heal();
    await comeToRest(of.cluster, REST_WITHIN_MS);
    await checkDisks(of.cluster);
    for (let i = 0; i < KEYS; i++)
      for (const node of nodes) expect(bodyOf(await ask(node, "GET", `k${i}?r=1`))).toBe("200 larger");
  });
});

function contextOf(answer: Answered): string {
  return answer.headers.get("kv-context") ?? "";
}
