/** What strict quorums promise in moments that seldom come by themselves, told as stories. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { KvError } from "../../node/core/errors.ts";
import type { Coordinator, RequestOptions } from "../../node/services/coordinator.ts";
import { answerOf } from "./answers.ts";
import { SimulatedCluster } from "./cluster.ts";

const NEVER_MS = 31_536_000_000;
const KEYS = Array.from({ length: 40 }, (_, index) => new TextEncoder().encode(`key ${index}`));

/** Three homes of everything, without anti-entropy. */
async function startCluster(): Promise<SimulatedCluster> {
  const cluster = new SimulatedCluster({
    seed: 3,
    nodes: 3,
    zones: 3,
    replicationFactor: 3,
    readQuorum: 2,
    writeQuorum: 2,
    mode: "strict",
    durability: "os",
    repairIntervalMs: NEVER_MS,
  });
  await cluster.startAll();
  await cluster.simulator.runUntil(cluster.simulator.nowMs + 2_000);
  return cluster;
}

function through(cluster: SimulatedCluster, name: string): Coordinator {
  return cluster.byName(name).node?.coordinator ?? assert.fail(`${name} serves`);
}

function put(cluster: SimulatedCluster, name: string, key: Uint8Array, value: string): Promise<unknown> {
  const bytes = new TextEncoder().encode(value);
  return answerOf(cluster, through(cluster, name).put({ key, value: bytes, contentType: "", base: "sibling" }, {}));
}

async function shown(cluster: SimulatedCluster, name: string, key: Uint8Array, options: RequestOptions = {}) {
  const answer = await answerOf(cluster, through(cluster, name).get(key, options));
  if (answer instanceof KvError) return [answer.code];
  return answer.siblings.map(({ value }) => new TextDecoder().decode(value)).sort();
}

function cut({ network }: SimulatedCluster, one: string, other: string): void {
  network.cut(one, other);
  network.cut(other, one);
}

describe("a machine that lost its power and some of its records", () => {
  it("replaces nothing that it stamped and does not hold any more", async () => {
    const cluster = await startCluster();
    for (const key of KEYS) await put(cluster, "n1", key, "before");
    const n1 = cluster.byName("n1");
    cluster.crash(n1, "machine");
    cluster.start(n1);
    // No hint waits for it, and nobody reads: what it lost stays lost until then.
    await cluster.simulator.runUntil(cluster.simulator.nowMs + 5_000);
    for (const key of KEYS) assert(!((await put(cluster, "n1", key, "after")) instanceof KvError), "it stamps again");
    await cluster.simulator.runUntil(cluster.simulator.nowMs + 5_000);
    for (const key of KEYS)
      assert.deepEqual(
        await shown(cluster, "n2", key, { readQuorum: 3 }),
        ["after", "before"],
        "both writes are there",
      );
  });
});

describe("a write that only one home holds", () => {
  it("is shown by every strict read that begins after one has shown it", async () => {
    const cluster = await startCluster();
    for (const other of ["n2", "n3"]) cut(cluster, "n1", other);
    // Unconfirmed: n1 holds them, the others have not heard of them.
    for (const key of KEYS)
      through(cluster, "n1").put({ key, value: key, contentType: "", base: "sibling" }, {}).catch(onlyAnswers);
    await cluster.simulator.runUntil(cluster.simulator.nowMs + 1_500);
    cluster.network.heal();
    let met = 0;
    for (const key of KEYS) {
      const value = new TextDecoder().decode(key);
      if (!(await shown(cluster, "n2", key)).includes(value)) continue;
      met += 1;
      cut(cluster, "n1", "n3");
      assert.deepEqual(await shown(cluster, "n3", key), [value], "what was shown once is shown again");
      cluster.network.heal();
    }
    assert(met > 0, "some read found a write that only one home held");
  });
});

describe("a write that is sent again under its Idempotency-Key", () => {
  it("is the same event through every node, also after it was replaced", async () => {
    const cluster = await startCluster();
    const [key = assert.fail("there are keys")] = KEYS;
    const first = { key, value: new TextEncoder().encode("first"), contentType: "", idempotencyKey: key } as const;
    const answer = await answerOf(cluster, through(cluster, "n1").put({ ...first, base: "sibling" }, {}));
    assert(!(answer instanceof KvError), String(answer));
    const second = { key, value: new TextEncoder().encode("second"), contentType: "", base: answer } as const;
    assert(!((await answerOf(cluster, through(cluster, "n2").put(second, {}))) instanceof KvError));
    await cluster.simulator.runUntil(cluster.simulator.nowMs + 100);
    for (const name of ["n1", "n2", "n3"]) {
      assert(
        !((await answerOf(cluster, through(cluster, name).put({ ...first, base: "sibling" }, {}))) instanceof KvError),
      );
      assert.deepEqual(await shown(cluster, "n1", key, { readQuorum: 3 }), ["second"], `sent again through ${name}`);
    }
  });
});

function onlyAnswers(error: unknown): void {
  if (!(error instanceof KvError)) throw error;
}
