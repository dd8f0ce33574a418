/** A change of weights or quorums that the spec takes back: it is given up, for it may never end by itself. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { textAt } from "../../operator/core/objects.ts";
import { type FakeCluster, settled } from "./fake-cluster.ts";

const weightOf = ({ nodes }: FakeCluster, name: string) =>
  nodes.ring?.members.find((member) => member.name === name)?.weight;
const weighing = (weight: number) => ({ weights: { byNode: { "sessions-0": weight } } });

/** A change that does not come to its end, for a member is away. */
async function waiting(spec: Record<string, unknown>): Promise<FakeCluster> {
  const cluster = await settled({ replicas: 4 });
  cluster.edit(spec);
  await cluster.until("the change runs", () => cluster.condition("Progressing").reason === "ChangeRuns");
  cluster.crash("sessions-2", true);
  return cluster;
}

const isOver = ({ nodes }: FakeCluster) => nodes.running === undefined;

describe("a change of the ring that only weighs", () => {
  it("is told by what it does", async () => {
    const cluster = await waiting(weighing(1000));
    assert.equal(textAt(cluster.cluster, "status", "transition", "kind"), "weight sessions-0 1000");
  });

  it("is cancelled when the spec is put back, though a member is away", async () => {
    const cluster = await waiting(weighing(1000));
    cluster.edit({ weights: {} });
    await cluster.until("given up", () => isOver(cluster), 10);
    assert.equal(weightOf(cluster, "sessions-0"), 100);
    cluster.crash("sessions-2", false);
    await cluster.until("settled", () => cluster.isSettled());
    assert.equal(cluster.nodes.changes, 1);
  });

  it("is cancelled for another weight, and for none at all", async () => {
    const cluster = await waiting(weighing(0));
    cluster.edit(weighing(500));
    await cluster.until("given up", () => isOver(cluster), 10);
    cluster.crash("sessions-2", false);
    await cluster.until("settled", () => cluster.isSettled());
    assert.equal(weightOf(cluster, "sessions-0"), 500);
  });

  it("is cancelled where a person asked for it, and the spec never did", async () => {
    const cluster = await settled({ access: { mode: "open" } });
    const target = { pod: "sessions-0", ip: "10.0.0.1" };
    assert.equal((await cluster.nodes.change(target, { weights: { "sessions-0": 7 } })).kind, "accepted");
    await cluster.until("given up", () => isOver(cluster), 5);
    assert.equal(weightOf(cluster, "sessions-0"), 100);
  });
});

describe("a change of quorums", () => {
  it("is cancelled when the spec is put back: a W that needs whoever is away would be waited for", async () => {
    const quorum = { n: 3, r: 2, w: 2, mode: "sloppy" };
    const cluster = await waiting({ quorum: { ...quorum, r: 1, w: 3, mode: "strict" } });
    cluster.edit({ quorum });
    await cluster.until("given up", () => isOver(cluster), 10);
    cluster.crash("sessions-2", false);
    await cluster.until("settled", () => cluster.isSettled());
    assert.equal(cluster.nodes.ring?.w, 2);
    assert.equal(cluster.nodes.changes, 1);
  });

  it("goes on while something of it is wanted, or does what this operator does not know of", async () => {
    const cluster = await waiting({ ...weighing(1000), quorum: { n: 3, r: 1, w: 3, mode: "sloppy" } });
    const cancel = cluster.nodes.cancel.bind(cluster.nodes);
    cluster.nodes.cancel = () => assert.fail("it is wanted");
    cluster.edit({ weights: {}, quorum: { n: 3, r: 2, w: 3, mode: "sloppy" } });
    for (let second = 0; second < 5; second += 1) {
      await cluster.reconcile();
      cluster.tick();
    }
    cluster.edit({ quorum: { n: 3, r: 2, w: 2, mode: "sloppy" } });
    const ask = cluster.nodes.ask.bind(cluster.nodes);
    cluster.nodes.ask = async (target) => {
      const answer = await ask(target);
      return { ...answer, change: answer.change && { ...answer.change, kind: `${answer.change.kind}; colour red` } };
    };
    await cluster.reconcile();
    Object.assign(cluster.nodes, { ask, cancel });
    await cluster.until("given up", () => isOver(cluster), 5);
  });
});
