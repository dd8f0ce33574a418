/** What the status says while things are otherwise than they look: it neither frightens nor soothes. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { textAt } from "../../operator/core/objects.ts";
import type { NodeAnswer } from "../../operator/core/world.ts";
import { FakeCluster, NAME, settled } from "./fake-cluster.ts";

/** Each node's answer passes through `change`. */
function doctor(cluster: FakeCluster, change: (answer: NodeAnswer) => Partial<NodeAnswer>): void {
  const ask = cluster.nodes.ask.bind(cluster.nodes);
  cluster.nodes.ask = async (target) => {
    const answer = await ask(target);
    return { ...answer, ...change(answer) };
  };
}

const downTo = (names: readonly string[]) => new Map(names.map((name) => [name, "down" as const]));

describe("Available", () => {
  it("is False where all pods are ready and answer, but none reaches another", async () => {
    const cluster = await settled();
    doctor(cluster, ({ health }) => ({ health: downTo([...health.keys()]) }));
    await cluster.reconcile();
    assert.equal(cluster.condition("Available").status, "False");
    assert.match(cluster.condition("Available").message, /sessions-0 is down to its peers/);
  });

  it("stays True where one of them is cut off from the others", async () => {
    const cluster = await settled();
    doctor(cluster, ({ name, health }) => {
      const isDown = (other: string) => name === "sessions-1" || other === "sessions-1";
      return { health: new Map([...health.keys()].map((other) => [other, isDown(other) ? "down" : "up"])) };
    });
    await cluster.reconcile();
    assert.equal(cluster.condition("Available").reason, "QuorumsServe");
  });

  it("stays True while a new ring is on its way to the others", async () => {
    const cluster = await settled();
    doctor(cluster, ({ name, ringEpoch, ring }) =>
      name === "sessions-0" && ring !== undefined
        ? { ringEpoch: ringEpoch + 1, ring: { ...ring, epoch: ringEpoch + 1 } }
        : {},
    );
    await cluster.reconcile();
    assert.equal(cluster.condition("Available").reason, "AllMembersServe");
  });

  it("is False where one member is away and another one is being rebuilt", async () => {
    const cluster = await settled();
    cluster.crash("sessions-1", true);
    doctor(cluster, ({ name }) => (name === "sessions-2" ? { ownState: "rebuilding" } : {}));
    cluster.tick();
    await cluster.reconcile();
    assert.equal(cluster.condition("Available").status, "False");
    assert.match(cluster.condition("Available").message, /sessions-2 is being rebuilt/);
  });
});

describe("Degraded", () => {
  const machineOf = (cluster: FakeCluster, pod: string) =>
    textAt(cluster.kube.find("Pod", pod), "spec", "nodeName") ?? "";

  async function changing(): Promise<FakeCluster> {
    const cluster = await settled();
    cluster.edit({ replicas: 4 });
    await cluster.until("the change runs", () => cluster.condition("Progressing").reason === "ChangeRuns");
    return cluster;
  }

  it("names a member whose machine is lost while a change runs, which may take hours", async () => {
    const cluster = await changing();
    assert.equal(cluster.condition("Degraded").status, "False");
    cluster.setMachineDown(machineOf(cluster, "sessions-1"), true);
    cluster.tick();
    await cluster.reconcile();
    assert.equal(cluster.condition("Degraded").reason, "MembersMissing");
    assert.match(cluster.condition("Degraded").message, /^Member sessions-1 does not answer/);
  });

  it("is no word of what is ordinary then: a joiner not heard of yet, and an epoch that is on its way", async () => {
    const cluster = await changing();
    doctor(cluster, ({ name, health, ringEpoch }) => ({
      health: new Map([...health.keys()].map((other) => [other, name === "sessions-3" ? "suspect" : "up"])),
      ...(name === "sessions-2" ? { ringEpoch: ringEpoch - 1 } : {}),
    }));
    await cluster.reconcile();
    assert.equal(cluster.condition("Progressing").reason, "ChangeRuns");
    assert.equal(cluster.condition("Degraded").status, "False");
  });
});

describe("a member that its peers do not reach, and the operator does", () => {
  it("has no say in whether a change runs: the one that it knows of has ended", async () => {
    const cluster = await settled();
    const change = { id: "old", phase: "switch", kind: "w 3", movedBytes: 1, totalBytes: 2, startedAt: undefined };
    doctor(cluster, ({ name, health, ringEpoch, ring }) =>
      name === "sessions-1" && ring !== undefined
        ? { ringEpoch: ringEpoch - 1, ring: { ...ring, epoch: ringEpoch - 1 }, change }
        : { health: new Map([...health].map(([other, seen]) => [other, other === "sessions-1" ? "down" : seen])) },
    );
    cluster.nodes.ring = { ...(cluster.nodes.ring ?? assert.fail("there is a ring")), epoch: 7 };
    await cluster.reconcile();
    assert.equal(cluster.condition("Progressing").reason, "WaitingForMembers");
    assert.equal(cluster.condition("Degraded").reason, "MembersMissing");
    assert.equal(textAt(cluster.cluster, "status", "transition", "id"), undefined);
  });
});

describe("pods that belong to an earlier cluster of the name", () => {
  it("are told as such, with how they are taken over", async () => {
    const cluster = await settled();
    doctor(cluster, () => ({ clusterId: "5f0c1a6e" }));
    await cluster.reconcile();
    for (const type of ["Available", "Progressing"])
      assert.match(cluster.condition(type).message, /annulus\.dev\/adopt.*5f0c1a6e/, type);
  });

  it("name no first members of this one, whose own pods may come to other zones", async () => {
    const cluster = new FakeCluster();
    const labels = { "app.kubernetes.io/name": "annulus", "app.kubernetes.io/instance": NAME };
    const owner = { apiVersion: "apps/v1", kind: "StatefulSet", name: NAME, uid: "earlier", controller: true };
    const earlier = ["a1", "b1", "c1"].map((nodeName, ordinal) =>
      cluster.kube.set({
        apiVersion: "v1",
        kind: "Pod",
        metadata: { name: `${NAME}-${ordinal}`, namespace: "default", labels, ownerReferences: [owner] },
        spec: { nodeName },
      }),
    );
    for (let second = 0; second < 10; second += 1) {
      await cluster.reconcile();
      cluster.tick();
    }
    assert.equal(cluster.kube.find("ConfigMap", `${NAME}-members`), undefined);
    assert.match(cluster.condition("Progressing").message, /^Pod sessions-0 is another StatefulSet's/);
    for (const pod of earlier) cluster.kube.drop(pod);
    await cluster.until("settled", () => cluster.isSettled());
  });
});

describe("a member that a person wants made anew", () => {
  it("delivers the hints that it keeps first: its disk may be the only one that has them", async () => {
    const cluster = await settled();
    let count = 3;
    doctor(cluster, ({ name }) => (name === "sessions-2" ? { hints: new Map([["sessions-0", count]]) } : {}));
    cluster.annotate("Pod", "sessions-2", { "annulus.dev/replace": "true" });
    for (let second = 0; second < 10; second += 1) {
      await cluster.reconcile();
      cluster.tick();
    }
    assert.deepEqual(cluster.story, []);
    assert.match(cluster.condition("Degraded").message, /sessions-2 keeps 3 hints for sessions-0/i);
    count = 0;
    await cluster.until("replaced", () => cluster.story.includes("delete Pod sessions-2"));
  });
});
