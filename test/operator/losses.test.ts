/** What is taken for lost, and what is not: a volume that is given up is gone, whoever was wrong about its machine. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { formatInstant } from "../../operator/core/instant.ts";
import { at, listAt, textAt } from "../../operator/core/objects.ts";
import { type FakeCluster, NAME, settled } from "./fake-cluster.ts";
import { pass } from "./pass.ts";

const SOON = { recovery: { replaceAfterSeconds: 120 } };

const machineOf = (cluster: FakeCluster, pod: string) =>
  textAt(cluster.kube.find("Pod", pod), "spec", "nodeName") ?? "";

/** The API server says of a machine that it is not ready, though all on it runs. */
function misjudge(cluster: FakeCluster, machine: string): void {
  const node = cluster.kube.find("Node", machine, "");
  assert.ok(node);
  const since = new Date(cluster.kube.nowMs).toISOString().replace(/\.\d+/, "");
  cluster.kube.set({
    ...node,
    status: { conditions: [{ type: "Ready", status: "Unknown", lastTransitionTime: since }] },
  });
}

/** All kubelets tell that nothing has changed. */
function beat(cluster: FakeCluster): void {
  const lastHeartbeatTime = formatInstant(cluster.kube.nowMs);
  for (const node of cluster.kube.all("Node")) {
    const [ready] = listAt(node, "status", "conditions") as Record<string, unknown>[];
    cluster.kube.set({ ...node, status: { conditions: [{ ...ready, lastHeartbeatTime }] } });
  }
}

// On many clouds the label kubernetes.io/hostname, by which volumes go, is not the name: so it is in `FakeCluster`.
describe("a machine that bears another host name than its own name", () => {
  it("is not taken for gone: a node that is silent for a moment keeps its volume", async () => {
    const cluster = await settled(SOON);
    await pass(cluster, 130);
    cluster.crash("sessions-1", true);
    await pass(cluster, 20);
    assert.deepEqual(cluster.story, []);
    assert.notEqual(cluster.condition("Degraded").reason, "ReplacementHeld");
  });

  it("is given up with its volume once it has been gone for the set time", async () => {
    const cluster = await settled(SOON);
    const machine = machineOf(cluster, "sessions-1");
    misjudge(cluster, machine);
    cluster.downMachines.add(machine);
    cluster.nodes.processes.delete("sessions-1");
    await pass(cluster, 100);
    assert.deepEqual(cluster.story, []);
    await cluster.until("given up", () => cluster.story.includes("delete PersistentVolumeClaim data-sessions-1"));
  });
});

describe("a machine that is struck off the list", () => {
  it("is waited for as long as any other: how old its pod is says nothing", async () => {
    const cluster = await settled(SOON);
    await pass(cluster, 600);
    const machine = machineOf(cluster, "sessions-1");
    cluster.setMachineDown(machine, true);
    const node = cluster.kube.find("Node", machine, "");
    assert.ok(node);
    cluster.kube.drop(node);
    const goneMs = cluster.kube.nowMs;
    await pass(cluster, 60);
    // Kubernetes takes pods of machines that are not listed away after a minute or so; the successor waits for the volume.
    const pod = cluster.kube.find("Pod", "sessions-1");
    assert.ok(pod);
    assert.deepEqual(cluster.story, []);
    cluster.kube.drop(pod);
    await cluster.until("given up", () => cluster.story.includes("delete PersistentVolumeClaim data-sessions-1"));
    assert.ok(cluster.kube.nowMs - goneMs >= 120_000, `after ${cluster.kube.nowMs - goneMs} ms`);
    await cluster.until("settled", () => cluster.isSettled());
  });
});

describe("an operator whose clock is ahead", () => {
  it("gives nothing up for it: machines were heard of when it takes this one for long gone", async () => {
    const cluster = await settled({ recovery: { replaceAfterSeconds: 1200 } });
    beat(cluster);
    cluster.crash("sessions-1", true);
    misjudge(cluster, machineOf(cluster, "sessions-1"));
    cluster.kube.nowMs += 3_600_000;
    await cluster.reconcile();
    assert.deepEqual(cluster.story, []);
    beat(cluster);
    await cluster.until("given up", () => cluster.story.includes("delete PersistentVolumeClaim data-sessions-1"), 2);
  });
});

describe("a machine that is started with a wrong clock", () => {
  it("has been away for as long as it says by that clock, not since 1970", async () => {
    const cluster = await settled(SOON);
    await pass(cluster, 130);
    const node = cluster.kube.find("Node", machineOf(cluster, "sessions-1"), "");
    assert.ok(node);
    // Its kubelet says so itself, while containers are not started yet.
    const said = (lastHeartbeatTime: string) => {
      const ready = { type: "Ready", status: "False", lastTransitionTime: "1970-01-01T00:00:20Z", lastHeartbeatTime };
      cluster.kube.set({ ...node, status: { conditions: [ready] } });
    };
    said("1970-01-01T00:00:40Z");
    cluster.crash("sessions-1", true);
    await pass(cluster, 20);
    assert.deepEqual(cluster.story, []);
    beat(cluster);
    said("1970-01-01T00:02:21Z");
    await cluster.until("given up", () => cluster.story.includes("delete PersistentVolumeClaim data-sessions-1"), 2);
  });
});

describe("a member whose machine is said to be gone", () => {
  it("is kept while a peer sees it up, though neither Kubernetes nor the operator reaches it", async () => {
    const cluster = await settled(SOON);
    misjudge(cluster, machineOf(cluster, "sessions-1"));
    cluster.nodes.unreachable.add("sessions-1");
    await pass(cluster, 200);
    assert.deepEqual(cluster.story, []);
    assert.equal(cluster.condition("Degraded").reason, "ReplacementHeld");
    assert.match(cluster.condition("Degraded").message, /sessions-0 sees it up/);
    cluster.downMachines.add(machineOf(cluster, "sessions-1"));
    cluster.annotate("Pod", "sessions-1", { "annulus.dev/replace": "true" });
    await cluster.reconcile();
    assert.deepEqual(cluster.story, ["delete PersistentVolumeClaim data-sessions-1", "delete Pod sessions-1"]);
  });

  it("is kept where the one node that answers tells a ring from before it joined", async () => {
    const cluster = await settled(SOON);
    const ask = cluster.nodes.ask.bind(cluster.nodes);
    const before = await ask({ pod: "sessions-0", ip: "10.0.0.1", ...tokenOf(cluster) });
    cluster.edit({ replicas: 4 });
    await cluster.until("grown", () => cluster.isSettled());
    const status = { ...(cluster.cluster.status as object), ringEpoch: 1 };
    cluster.kube.set({ ...cluster.cluster, status });
    for (const name of ["sessions-1", "sessions-2"]) cluster.nodes.unreachable.add(name);
    cluster.nodes.ask = async (target) => (target.pod === "sessions-0" ? before : ask(target));
    cluster.setMachineDown(machineOf(cluster, "sessions-3"), true);
    await pass(cluster, 200);
    assert.deepEqual(cluster.story, []);
    assert.equal(at(cluster.kube.find("StatefulSet", NAME), "spec", "replicas"), 4);
  });
});

describe("a zone that is lost with several members", () => {
  /** Members in three zones, six where it is not said otherwise; the two of one are gone with their machines. */
  async function withoutZone(spec: Record<string, unknown> = {}) {
    const cluster = await settled({ replicas: 6, ...SOON, ...spec });
    const zoneOf = (pod: string) => machineOf(cluster, pod).slice(0, 1);
    const matesOf = (pod: string) => cluster.members.filter((other) => zoneOf(other) === zoneOf(pod));
    const [first, second] = cluster.members.map(matesOf).find((mates) => mates.length === 2) ?? [];
    assert(first !== undefined && second !== undefined);
    for (const pod of [first, second]) cluster.setMachineDown(machineOf(cluster, pod), true);
    const ask = (...pods: string[]) => {
      for (const pod of pods) cluster.annotate("Pod", pod, { "annulus.dev/replace": "lost" });
    };
    return { cluster, first, second, ask };
  }

  it("is waited for as long as nobody says that it does not come back", async () => {
    const { cluster } = await withoutZone();
    await pass(cluster, 400);
    assert.deepEqual(cluster.story, []);
    assert.equal(cluster.condition("Degraded").reason, "ReplacementHeld");
  });

  it("is not given up for wishes that were there before: they were for members one by one", async () => {
    const { cluster, first, second } = await withoutZone();
    for (const pod of [first, second]) cluster.annotate("Pod", pod, { "annulus.dev/replace": "true" });
    await pass(cluster, 200);
    assert.deepEqual(cluster.story, []);
    assert.equal(cluster.condition("Degraded").reason, "ReplacementHeld");
  });

  it("is made anew where a person says so of its members, each as it is said", async () => {
    const { cluster, first, second, ask } = await withoutZone();
    await pass(cluster, 20);
    ask(first);
    await pass(cluster, 20);
    assert.deepEqual(cluster.story, [`delete PersistentVolumeClaim data-${first}`, `delete Pod ${first}`]);
    cluster.story.length = 0;
    ask(second);
    await pass(cluster, 20);
    assert.deepEqual(cluster.story, [`delete PersistentVolumeClaim data-${second}`, `delete Pod ${second}`]);
    for (const machine of cluster.downMachines) cluster.setMachineDown(machine, false);
    await cluster.until("settled", () => cluster.isSettled());
  });

  it("is made anew in other zones, where the ring has its members then, once all are whole", async () => {
    const { cluster, first, second, ask } = await withoutZone();
    ask(first, second);
    const lost = machineOf(cluster, first).slice(0, 1);
    const listed = () => cluster.nodes.ring?.members.filter(({ zone }) => zone === lost).map(({ name }) => name);
    assert.deepEqual(listed(), [first, second]);
    await cluster.until("settled", () => cluster.isSettled() && listed()?.length === 0);
    assert.equal(cluster.nodes.changes, 1);
    for (const { name, zone } of cluster.nodes.ring?.members ?? [])
      assert.equal(zone, machineOf(cluster, name).slice(0, 1));
    assert.equal(cluster.condition("ZonesBalanced").status, "True");
  });

  it("is not while a member of another zone is missing, which may hold all that is left", async () => {
    const { cluster, first, second, ask } = await withoutZone();
    const other = cluster.members.find((pod) => pod !== first && pod !== second);
    assert.ok(other);
    cluster.crash(other, true);
    ask(first, second);
    await pass(cluster, 20);
    assert.deepEqual(cluster.story, []);
    assert.match(cluster.condition("Degraded").message, new RegExp(other));
    cluster.crash(other, false);
    await cluster.until("given up", () => cluster.story.length === 4);
  });

  it("is not where a partition may have had two homes in it: one of them is waited for", async () => {
    const { cluster, first, second, ask } = await withoutZone({ quorum: { n: 4, r: 3, w: 3 } });
    ask(first, second);
    await pass(cluster, 200);
    assert.deepEqual(cluster.story, []);
    assert.equal(cluster.condition("Degraded").reason, "ReplacementHeld");
  });

  it("is not where half of the members are in it: no ring would be chosen any more", async () => {
    const { cluster, first, second, ask } = await withoutZone({ replicas: 4 });
    assert.equal(cluster.members.length, 4);
    ask(first, second);
    await pass(cluster, 200);
    assert.deepEqual(cluster.story, []);
    assert.equal(cluster.condition("Degraded").reason, "ReplacementHeld");
  });

  it("is not for members whose machines are there: of them it is asked one by one", async () => {
    const cluster = await settled({ replicas: 6, ...SOON });
    const zoneOf = (pod: string) => machineOf(cluster, pod).slice(0, 1);
    const pods = cluster.members.filter((pod) => zoneOf(pod) === zoneOf("sessions-1"));
    for (const pod of pods) cluster.annotate("Pod", pod, { "annulus.dev/replace": "lost" });
    for (const pod of pods) cluster.crash(pod, true);
    await pass(cluster, 60);
    assert.deepEqual(cluster.story, []);
  });
});

describe("a claim whose volume is lost", () => {
  function lose(cluster: FakeCluster): void {
    const claim = cluster.kube.find("PersistentVolumeClaim", "data-sessions-1");
    assert.ok(claim);
    cluster.kube.set({ ...claim, status: { phase: "Lost" } });
  }

  it("is kept while its node serves and holds what others wait for", async () => {
    const cluster = await settled(SOON);
    const ask = cluster.nodes.ask.bind(cluster.nodes);
    let count = 3;
    cluster.nodes.ask = async (target) => {
      const answer = await ask(target);
      return target.pod === "sessions-1" ? { ...answer, hints: new Map([["sessions-2", count]]) } : answer;
    };
    lose(cluster);
    await pass(cluster, 20);
    assert.deepEqual(cluster.story, []);
    assert.match(cluster.condition("Degraded").message, /not replaced before its hints are delivered/);
    count = 0;
    await cluster.until("given up", () => cluster.story.includes("delete PersistentVolumeClaim data-sessions-1"), 5);
  });

  it("is given up at once where its node does not start", async () => {
    const cluster = await settled(SOON);
    cluster.crash("sessions-1", true);
    cluster.tick();
    lose(cluster);
    await cluster.reconcile();
    assert.deepEqual(cluster.story, ["delete PersistentVolumeClaim data-sessions-1", "delete Pod sessions-1"]);
  });
});

function tokenOf(cluster: FakeCluster): { token?: string } {
  const secret = cluster.kube.find("Secret", `${NAME}-access`);
  const token = textAt(secret, "data", "admin-token");
  return token === undefined ? {} : { token: Buffer.from(token, "base64").toString() };
}
