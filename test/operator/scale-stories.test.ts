/** A cluster that grows and shrinks, told as stories. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { formatInstant } from "../../operator/core/instant.ts";
import { at, textAt } from "../../operator/core/objects.ts";
import { KubeError } from "../../operator/ports.ts";
import { type FakeCluster, NAME, replicasOf, settled } from "./fake-cluster.ts";

describe("scaling out", () => {
  it("starts pods, joins both in one change, and is done when the ring is", async () => {
    const cluster = await settled();
    cluster.edit({ replicas: 5 });
    await cluster.until("the change runs", () => cluster.nodes.running !== undefined);
    await cluster.reconcile();
    assert.equal(textAt(cluster.cluster, "status", "transition", "kind"), "join sessions-3, sessions-4");
    assert.equal(cluster.condition("Progressing").reason, "ChangeRuns");
    assert.equal(at(cluster.kube.find("PodDisruptionBudget", NAME), "spec", "maxUnavailable"), 0);
    await cluster.until("settled", () => cluster.isSettled());
    assert.equal(cluster.nodes.changes, 1);
    assert.equal(at(cluster.kube.find("PodDisruptionBudget", NAME), "spec", "maxUnavailable"), 1);
    assert.ok(textAt(cluster.cluster, "status", "lastChangeAt"));
  });

  it("is turned around before the switch: the change is cancelled and the new pods go", async () => {
    const cluster = await settled();
    cluster.edit({ replicas: 5 });
    await cluster.until("the change runs", () => cluster.nodes.running !== undefined);
    cluster.edit({ replicas: 3 });
    await cluster.until("settled", () => cluster.isSettled());
    assert.equal(cluster.nodes.changes, 1);
    assert.equal(cluster.members.length, 3);
  });

  it("that came too late to be cancelled is ended and then undone", async () => {
    const cluster = await settled();
    cluster.edit({ replicas: 4 });
    await cluster.until("the change has switched", () => cluster.nodes.running?.phase === "switch");
    cluster.edit({ replicas: 3 });
    await cluster.until("settled", () => cluster.isSettled());
    assert.equal(cluster.nodes.changes, 2);
  });
});

describe("a pod on a volume that is being deleted", () => {
  it("does not join: it is made anew, on a volume that stays", async () => {
    const cluster = await settled();
    cluster.edit({ replicas: 4 });
    const isUp = () => cluster.nodes.processes.has("sessions-3");
    while (!isUp()) {
      await cluster.reconcile();
      cluster.tick();
    }
    const claim = cluster.kube.find("PersistentVolumeClaim", "data-sessions-3");
    assert.ok(claim);
    cluster.kube.markDeleted(claim);
    const { actor } = cluster.nodes.processes.get("sessions-3")?.disk ?? {};
    await cluster.until("settled", () => cluster.isSettled());
    assert.deepEqual(cluster.story, ["delete Pod sessions-3"]);
    assert.notEqual(cluster.nodes.ring?.members.find(({ name }) => name === "sessions-3")?.actor, actor);
  });
});

describe("a pod that never answers", () => {
  it("holds back neither weights nor quorums once it has been waited for", async () => {
    const cluster = await settled();
    cluster.crash("sessions-3", true);
    cluster.edit({ replicas: 4, quorum: { n: 3, r: 1, w: 3, mode: "strict" } });
    await cluster.until("it is waited for", () => cluster.condition("Progressing").reason === "WaitingForPods");
    const waitedSinceMs = cluster.kube.nowMs;
    await cluster.until("the quorums are changed", () => cluster.nodes.ring?.w === 3);
    assert.ok(cluster.kube.nowMs - waitedSinceMs >= 50_000, "all at once, if it had answered soon");
    cluster.crash("sessions-3", false);
    await cluster.until("settled", () => cluster.isSettled());
  });
});

/** A quota refuses pods of these names: they are never made. */
function refusePods(cluster: FakeCluster, ...names: string[]): void {
  const set = cluster.kube.set.bind(cluster.kube);
  cluster.kube.set = (object, options) =>
    object.kind === "Pod" && names.includes(object.metadata.name) ? object : set(object, options);
}

describe("a pod that is never made, for a quota refuses it", () => {
  it("does not keep others from joining once they have waited", async () => {
    const cluster = await settled();
    refusePods(cluster, "sessions-4");
    cluster.edit({ replicas: 5 });
    const askedMs = cluster.kube.nowMs;
    await cluster.until("the other has joined", () => cluster.members.includes("sessions-3"));
    assert.ok(cluster.kube.nowMs - askedMs >= 50_000, "both at once, if it had been made soon");
    await cluster.until("told", () => cluster.condition("Progressing").reason === "WaitingForPods");
    assert.match(
      cluster.condition("Progressing").message,
      /^Sessions-4 \(it is not made: kubectl describe statefulset/,
    );
  });

  it("holds back neither weights nor quorums, though no other pod waits with it", async () => {
    const cluster = await settled();
    refusePods(cluster, "sessions-3");
    cluster.edit({ replicas: 4, quorum: { n: 3, r: 1, w: 3, mode: "strict" } });
    await cluster.until("the quorums are changed", () => cluster.nodes.ring?.w === 3);
  });
});

describe("scaling in", () => {
  it("waits for the members to have left before their pods go, and keeps the volumes", async () => {
    const cluster = await settled({ replicas: 5 });
    cluster.edit({ replicas: 3 });
    await cluster.until("the change runs", () => cluster.nodes.running !== undefined);
    await cluster.reconcile();
    assert.equal(replicasOf(cluster), 5);
    assert.equal(textAt(cluster.cluster, "status", "transition", "kind"), "let sessions-3, sessions-4 leave");
    await cluster.until("settled", () => cluster.isSettled());
    assert.equal(cluster.kube.all("PersistentVolumeClaim").length, 5);
  });

  it("is not told as done while pods that are not wanted still run, not even in the run that lets them go", async () => {
    const cluster = await settled({ replicas: 5 });
    cluster.edit({ replicas: 3 });
    await cluster.until("the pods may go", () => replicasOf(cluster) === 3);
    assert.equal(cluster.pods.length, 5);
    assert.equal(cluster.condition("Progressing").reason, "PodsStopping");
    await cluster.until("settled", () => cluster.isSettled());
  });

  it("gives members their pods back where the StatefulSet was lowered below them, and then lets them leave", async () => {
    const cluster = await settled({ replicas: 5 });
    const set = cluster.kube.find("StatefulSet", NAME);
    assert.ok(set);
    cluster.kube.set({ ...set, spec: { ...(set.spec as object), replicas: 3 } }, { newGeneration: true });
    for (const pod of cluster.pods.slice(3)) cluster.kube.drop(pod);
    cluster.edit({ replicas: 3 });
    cluster.tick();
    await cluster.reconcile();
    assert.equal(replicasOf(cluster), 5);
    await cluster.until("settled", () => cluster.isSettled());
    assert.equal(cluster.kube.all("PersistentVolumeClaim").length, 5);
  });

  it("lowers nothing where the ring changes between the look and the request", async () => {
    const cluster = await settled({ replicas: 5 });
    cluster.edit({ replicas: 3 });
    await cluster.until("they leave", () => cluster.nodes.running !== undefined);
    while (cluster.nodes.running !== undefined) cluster.tick();
    const ask = cluster.nodes.ask.bind(cluster.nodes);
    let asked = 0;
    cluster.nodes.ask = async (target) => {
      asked += 1;
      const answer = await ask(target);
      return asked <= 5 ? answer : { ...answer, ringEpoch: answer.ringEpoch + 1 };
    };
    await assert.rejects(cluster.reconcile(), { failure: "conflict" });
    assert.equal(replicasOf(cluster), 5);
    assert.equal(asked, 8, "five pods, and then the three members once more");
    cluster.nodes.ask = ask;
    await cluster.until("settled", () => cluster.isSettled());
  });

  it("removes the volumes of members that left where the policy says so", async () => {
    const cluster = await settled({ replicas: 4, storage: { whenScaled: "Delete" } });
    cluster.edit({ replicas: 3 });
    await cluster.until("settled", () => cluster.isSettled() && cluster.kube.all("PersistentVolumeClaim").length === 3);
  });

  it("is held while another member is down, and says so", async () => {
    const cluster = await settled({ replicas: 5 });
    cluster.crash("sessions-1", true);
    cluster.edit({ replicas: 3 });
    for (let second = 0; second < 30; second += 1) {
      cluster.tick();
      await cluster.reconcile();
    }
    assert.equal(cluster.nodes.changes, 0);
    assert.equal(cluster.condition("Progressing").reason, "ScaleInHeld");
    assert.match(cluster.condition("Progressing").message, /sessions-1/);
    cluster.crash("sessions-1", false);
    await cluster.until("settled", () => cluster.isSettled());
  });

  it("does not begin on silence: the operator cut off from the nodes takes nothing away", async () => {
    const cluster = await settled({ replicas: 5 });
    for (const name of cluster.members) cluster.nodes.unreachable.add(name);
    cluster.edit({ replicas: 3 });
    for (let second = 0; second < 30; second += 1) {
      await cluster.reconcile();
      cluster.tick();
    }
    assert.equal(replicasOf(cluster), 5);
    assert.deepEqual(cluster.story, []);
    assert.equal(cluster.condition("Progressing").reason, "RingUnknown");
  });

  it("first lets who is wanted join again where a person let it leave, and too few would stay", async () => {
    const cluster = await settled({ replicas: 4, access: { mode: "open" } });
    const target = { pod: "sessions-0", ip: "10.0.0.1" };
    assert.equal((await cluster.nodes.change(target, { leave: ["sessions-1"] })).kind, "accepted");
    while (cluster.nodes.running !== undefined) cluster.tick();
    cluster.edit({ replicas: 3 });
    await cluster.until("settled", () => cluster.isSettled());
    assert.deepEqual(cluster.members, ["sessions-0", "sessions-1", "sessions-2"]);
  });

  it("is held for lasting reasons without holding back the weights, which may be the way out", async () => {
    const cluster = await settled({ replicas: 4, weights: { byNode: { "sessions-1": 0 } } });
    cluster.edit({ replicas: 3 });
    for (let second = 0; second < 10; second += 1) {
      cluster.tick();
      await cluster.reconcile();
    }
    assert.equal(cluster.condition("Progressing").reason, "ScaleInHeld");
    cluster.edit({ weights: { byNode: {} } });
    await cluster.until("settled", () => cluster.isSettled());
  });

  it("waits for no cool-down and no refusal that another clock dates into the future", async () => {
    const cluster = await settled({ replicas: 4, autoscaling: { cooldownSeconds: 60 } });
    const future = formatInstant(cluster.kube.nowMs + 3_600_000);
    cluster.kube.set({ ...cluster.cluster, status: { ...(cluster.cluster.status as object), lastChangeAt: future } });
    const change = cluster.nodes.change.bind(cluster.nodes);
    cluster.nodes.change = async () => ({ kind: "refused", why: "not now" });
    cluster.edit({ replicas: 3 });
    await cluster.until("refused", () => cluster.condition("Progressing").reason === "ChangeRefused", 20);
    cluster.nodes.change = change;
    cluster.kube.nowMs -= 7_200_000;
    await cluster.until("shrunk", () => cluster.members.length === 3, 60);
  });

  it("waits out the cool-down of an autoscaled cluster", async () => {
    const cluster = await settled({ replicas: 4, autoscaling: { cooldownSeconds: 60 } });
    cluster.edit({ replicas: 5 });
    await cluster.until("grown", () => cluster.isSettled());
    const grownMs = cluster.kube.nowMs;
    cluster.edit({ replicas: 3 });
    await cluster.reconcile();
    assert.equal(cluster.condition("Progressing").reason, "ScaleInHeld");
    await cluster.until("shrunk", () => cluster.isSettled());
    assert.ok(cluster.kube.nowMs - grownMs >= 60_000);
  });

  it("waits it out once, also where the status cannot be written", async () => {
    const cluster = await settled({ replicas: 4, autoscaling: { cooldownSeconds: 60 } });
    cluster.edit({ replicas: 5 });
    await cluster.until("the change runs", () => cluster.condition("Progressing").reason === "ChangeRuns");
    cluster.edit({ replicas: 6 });
    const apply = cluster.kube.apply.bind(cluster.kube);
    cluster.kube.apply = async (resource, object, options) => {
      if (options?.subresource === "status") throw new KubeError("refused", "no status of this release");
      return apply(resource, object, options);
    };
    for (let second = 0; second < 200 && cluster.members.length < 6; second += 1) {
      await cluster.reconcile().catch((error: unknown) => assert(error instanceof KubeError));
      cluster.tick();
    }
    assert.equal(cluster.members.length, 6);
  });

  it("waits it out where the next size was asked for while the last change ran: its end is seen in the look that would ask", async () => {
    const cluster = await settled({ replicas: 4, autoscaling: { cooldownSeconds: 60 } });
    const runs = () => cluster.condition("Progressing").reason === "ChangeRuns";
    cluster.edit({ replicas: 5 });
    await cluster.until("the change runs", runs);
    cluster.edit({ replicas: 6 });
    await cluster.until("it has ended", () => !runs());
    const endedMs = cluster.kube.nowMs;
    assert.equal(cluster.condition("Progressing").reason, "ScaleOutHeld");
    await cluster.until("grown", () => cluster.isSettled());
    assert.ok(cluster.kube.nowMs - endedMs >= 60_000);
  });
});
