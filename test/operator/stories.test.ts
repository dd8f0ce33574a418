/** The life of a cluster, told as stories: what happens, what the operator does, what its status says meanwhile. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { kindOf } from "../../operator/core/kinds.ts";
import type { KubeObject } from "../../operator/core/objects.ts";
import { at, listAt, numberAt, textAt } from "../../operator/core/objects.ts";
import { KubeError } from "../../operator/ports.ts";
import { FakeCluster, NAME, replicasOf, settled } from "./fake-cluster.ts";

const membersFile = (cluster: FakeCluster) =>
  textAt(cluster.kube.find("ConfigMap", `${NAME}-members`), "data", "members.env") ?? "";

describe("a new cluster", () => {
  it("is founded by the first pods, in three zones, and then points newcomers to seeds for good", async () => {
    const cluster = new FakeCluster();
    await cluster.until("the first members are named", () => membersFile(cluster) !== "");
    assert.match(
      membersFile(cluster),
      /^ANNULUS_MEMBERS=sessions-0=sessions-0\.sessions-peers\.default\.svc:7402@[abc]\*100,/,
    );
    await cluster.until("settled", () => cluster.isSettled());
    assert.match(membersFile(cluster), /^ANNULUS_SEEDS=/);
    assert.deepEqual(new Set(cluster.nodes.ring?.members.map(({ zone }) => zone)), new Set(["a", "b", "c"]));
    assert.equal(cluster.condition("ZonesBalanced").status, "True");
    assert.equal(numberAt(cluster.cluster, "status", "ringEpoch"), 1);
  });

  it("names no members before every pod has a machine", async () => {
    const cluster = new FakeCluster({}, 1);
    for (const machine of cluster.machines) cluster.setMachineDown(machine, true);
    for (let second = 0; second < 20; second += 1) {
      await cluster.reconcile();
      cluster.tick();
    }
    assert.equal(membersFile(cluster), "");
    assert.equal(cluster.condition("Available").reason, "Founding");
  });

  it("never founds a second ring when its ConfigMap and all nodes' answers are gone", async () => {
    const cluster = await settled();
    const config = cluster.kube.find("ConfigMap", `${NAME}-members`);
    assert.ok(config);
    cluster.kube.drop(config);
    for (const name of cluster.members) cluster.nodes.unreachable.add(name);
    await cluster.reconcile();
    assert.match(membersFile(cluster), /^ANNULUS_SEEDS=/);
    assert.equal(cluster.condition("Available").status, "Unknown");
  });

  it("is founded by those that were named, also when the spec or the StatefulSet changed meanwhile", async () => {
    const cluster = new FakeCluster({ replicas: 5 });
    await cluster.until("the first members are named", () => membersFile(cluster) !== "");
    cluster.edit({ replicas: 3 });
    cluster.dropStatefulSet();
    await cluster.reconcile();
    assert.equal(replicasOf(cluster), 5);
    await cluster.until("settled", () => cluster.isSettled());
  });

  it("has one list of first members, though another operator that saw another size writes its own meanwhile", async () => {
    const cluster = new FakeCluster({ replicas: 5 });
    const { kube } = cluster;
    const create = kube.create.bind(kube);
    const apply = kube.apply.bind(kube);
    let isNamed = false;
    const nameOthers = async (object: KubeObject) => {
      if (isNamed || object.kind !== "ConfigMap") return;
      isNamed = true;
      const data = (object as { data?: Record<string, string> }).data ?? {};
      const text = (data["members.env"] ?? "").replace(/,sessions-4=[^,\n]*/, "");
      await create(kindOf("ConfigMap"), { ...object, data: { "members.env": text } } as KubeObject);
    };
    kube.create = async (resource, object) => {
      await nameOthers(object);
      return create(resource, object);
    };
    kube.apply = async (resource, object, options) => {
      await nameOthers(object);
      return apply(resource, object, options);
    };
    for (let second = 0; second < 20 && !isNamed; second += 1) {
      await cluster.reconcile().catch((error: unknown) => assert(error instanceof KubeError));
      cluster.tick();
    }
    assert.ok(isNamed);
    assert.doesNotMatch(membersFile(cluster), /sessions-4/);
    await cluster.until("settled", () => cluster.isSettled());
    assert.equal(cluster.members.length, 5);
  });

  it("leaves a name alone that belongs to somebody else", async () => {
    const cluster = new FakeCluster();
    cluster.kube.set({
      apiVersion: "v1",
      kind: "Service",
      metadata: {
        name: NAME,
        namespace: "default",
        ownerReferences: [{ apiVersion: "v1", kind: "Other", name: "x", uid: "other", controller: true }],
      },
    });
    await cluster.reconcile();
    assert.equal(cluster.condition("Progressing").reason, "NameTaken");
    assert.equal(cluster.kube.all("StatefulSet").length, 0);
  });
});

describe("weights and quorums", () => {
  it("move onto the ring in one change", async () => {
    const cluster = await settled();
    cluster.edit({ weights: { byNode: { "sessions-1": 200 } }, quorum: { r: 1, w: 3, mode: "strict" } });
    await cluster.until("settled", () => cluster.nodes.changes === 1 && cluster.isSettled());
    assert.equal(cluster.nodes.ring?.members.find(({ name }) => name === "sessions-1")?.weight, 200);
    assert.equal(cluster.nodes.ring?.mode, "strict");
  });
});

describe("a rolling change", () => {
  it("restarts one pod after the other, zone by zone", async () => {
    const cluster = await settled({ replicas: 6 });
    cluster.edit({ config: { ANNULUS_TIMEOUT_MS: "900" } });
    await cluster.until("rolled", () => cluster.story.length === 6 && cluster.isSettled(), 600);
    const zones = cluster.story.map((line) => {
      const name = line.split(" ")[2] as string;
      return textAt(cluster.kube.find("Pod", name), "spec", "nodeName")?.[0];
    });
    assert.deepEqual(zones, ["a", "a", "b", "b", "c", "c"]);
  });

  it("is told from the first look on, also before Kubernetes has taken notice of the new template", async () => {
    const cluster = await settled();
    cluster.edit({ config: { ANNULUS_TIMEOUT_MS: "900" } });
    for (const when of ["in the run that changes the template", "while no controller has seen it"]) {
      await cluster.reconcile();
      assert.equal(numberAt(cluster.cluster, "status", "observedGeneration"), cluster.cluster.metadata.generation);
      assert.equal(cluster.condition("Progressing").reason, "Rolling", when);
    }
    assert.deepEqual(cluster.story, []);
    await cluster.until("rolled", () => cluster.story.length === 3 && cluster.isSettled());
  });

  it("waits until a pod has found its partitions equal, whatever the clock by which it says so", async () => {
    const cluster = await settled();
    for (const name of cluster.members) cluster.nodes.unequal.add(name);
    cluster.edit({ config: { ANNULUS_TIMEOUT_MS: "900" } });
    for (let second = 0; second < 60; second += 1) {
      await cluster.reconcile();
      cluster.tick();
    }
    assert.equal(cluster.story.length, 1);
    cluster.nodes.unequal.clear();
    cluster.nodes.clockSkewMs = -3_600_000;
    await cluster.until("rolled", () => cluster.story.length === 3 && cluster.isSettled());
  });

  it("with a bad image stops at the first pod, says so, and is healed by putting the spec back", async () => {
    const cluster = await settled();
    cluster.edit({ image: "annulus:bad" });
    await cluster.until("stuck", () => cluster.condition("Degraded").reason === "RollingStuck");
    for (let second = 0; second < 60; second += 1) {
      cluster.tick();
      await cluster.reconcile();
    }
    assert.equal(cluster.story.length, 1);
    assert.match(cluster.condition("Degraded").message, /ImagePullBackOff/);
    assert.equal(cluster.condition("Available").status, "True");
    cluster.edit({ image: "annulus:good" });
    await cluster.until("healed", () => cluster.isSettled());
    assert.equal(cluster.story.length, 2);
  });

  it("mends a cluster that was made with a bad image", async () => {
    const cluster = new FakeCluster({ image: "annulus:bad" });
    await cluster.until("stuck", () => cluster.condition("Degraded").reason === "PodStuck");
    cluster.edit({ image: "annulus:good" });
    await cluster.until("settled", () => cluster.isSettled());
  });
});

describe("a machine that is lost", () => {
  it("is replaced after the set time: new volume, new pod, and the ring learns of the new disk", async () => {
    const cluster = await settled({ recovery: { replaceAfterSeconds: 120 } });
    const machine = textAt(cluster.kube.find("Pod", "sessions-1"), "spec", "nodeName") ?? "";
    const before = cluster.nodes.ring?.members.find(({ name }) => name === "sessions-1")?.actor;
    const lostMs = cluster.kube.nowMs;
    cluster.setMachineDown(machine, true);
    await cluster.until("given up", () => cluster.story.includes("delete PersistentVolumeClaim data-sessions-1"));
    assert.ok(cluster.kube.nowMs - lostMs >= 120_000);
    await cluster.until("settled", () => cluster.isSettled());
    assert.notEqual(cluster.nodes.ring?.members.find(({ name }) => name === "sessions-1")?.actor, before);
  });

  it("is not replaced while another member is away too", async () => {
    const cluster = await settled({ recovery: { replaceAfterSeconds: 10 } });
    cluster.setMachineDown(textAt(cluster.kube.find("Pod", "sessions-1"), "spec", "nodeName") ?? "", true);
    cluster.crash("sessions-2", true);
    for (let second = 0; second < 60; second += 1) {
      cluster.tick();
      await cluster.reconcile();
    }
    assert.deepEqual(cluster.story, []);
    assert.equal(cluster.condition("Degraded").reason, "ReplacementHeld");
    cluster.crash("sessions-2", false);
    await cluster.until("settled", () => cluster.isSettled());
  });

  it("that comes back in time is left alone", async () => {
    const cluster = await settled({ recovery: { replaceAfterSeconds: 120 } });
    const machine = textAt(cluster.kube.find("Pod", "sessions-1"), "spec", "nodeName") ?? "";
    cluster.setMachineDown(machine, true);
    for (let second = 0; second < 100; second += 1) {
      cluster.tick();
      await cluster.reconcile();
    }
    assert.equal(cluster.condition("Available").reason, "QuorumsServe");
    assert.equal(cluster.condition("Degraded").status, "True");
    cluster.setMachineDown(machine, false);
    await cluster.until("settled", () => cluster.isSettled());
    assert.deepEqual(cluster.story, []);
  });

  it("that comes back while its silent node is waited for is left alone", async () => {
    const cluster = await settled({ recovery: { replaceAfterSeconds: 120 } });
    const machine = textAt(cluster.kube.find("Pod", "sessions-1"), "spec", "nodeName") ?? "";
    cluster.setMachineDown(machine, true);
    for (let second = 0; second < 121; second += 1) cluster.tick();
    const asked = cluster.nodes.ask.bind(cluster.nodes);
    cluster.nodes.ask = async (target) => {
      if (target.pod === "sessions-1") cluster.setMachineDown(machine, false);
      return asked(target);
    };
    await assert.rejects(cluster.reconcile(), { failure: "conflict" });
    assert.match(cluster.condition("Progressing").message, /is back/);
    await cluster.until("settled", () => cluster.isSettled());
    assert.deepEqual(cluster.story, []);
  });

  it("that comes back when its volume has been given up, but not its pod, is replaced all the same", async () => {
    const cluster = await settled({ recovery: { replaceAfterSeconds: 120 } });
    const machine = textAt(cluster.kube.find("Pod", "sessions-1"), "spec", "nodeName") ?? "";
    const before = cluster.nodes.processes.get("sessions-1")?.disk.actor;
    cluster.setMachineDown(machine, true);
    for (let second = 0; second < 121; second += 1) cluster.tick();
    const remove = cluster.kube.onRemove;
    cluster.kube.onRemove = (object) => {
      remove(object);
      cluster.setMachineDown(machine, false);
    };
    await assert.rejects(cluster.reconcile(), { failure: "conflict" });
    assert.deepEqual(cluster.story, ["delete PersistentVolumeClaim data-sessions-1"]);
    await cluster.until("settled", () => cluster.isSettled());
    assert.notEqual(cluster.nodes.processes.get("sessions-1")?.disk.actor, before);
  });

  it("is replaced, once the others are whole, where its volume is being deleted under a node that runs", async () => {
    const cluster = await settled();
    const actor = cluster.nodes.processes.get("sessions-1")?.disk.actor;
    cluster.crash("sessions-2", true);
    const claim = cluster.kube.find("PersistentVolumeClaim", "data-sessions-1");
    assert.ok(claim);
    cluster.kube.markDeleted(claim);
    for (let second = 0; second < 30; second += 1) {
      cluster.tick();
      await cluster.reconcile();
    }
    assert.deepEqual(cluster.story, []);
    assert.match(
      cluster.condition("Degraded").message,
      /^Sessions-1 \(the volume of data-sessions-1 is being deleted\)/,
    );
    cluster.crash("sessions-2", false);
    const isRenewed = () => ![undefined, actor].includes(cluster.nodes.processes.get("sessions-1")?.disk.actor);
    await cluster.until("replaced", () => isRenewed() && cluster.isSettled());
    assert.deepEqual(cluster.story, ["delete Pod sessions-1"]);
  });

  it("is replaced at once when a person says so", async () => {
    const cluster = await settled();
    const actor = cluster.nodes.processes.get("sessions-2")?.disk.actor;
    cluster.annotate("Pod", "sessions-2", { "annulus.dev/replace": "true" });
    const isRenewed = () => ![undefined, actor].includes(cluster.nodes.processes.get("sessions-2")?.disk.actor);
    await cluster.until("replaced", () => isRenewed() && cluster.isSettled());
    assert.equal(cluster.nodes.changes, 0, "the members list the new disk by themselves");
    assert.deepEqual(cluster.story, ["delete PersistentVolumeClaim data-sessions-2", "delete Pod sessions-2"]);
  });
});

describe("a paused cluster", () => {
  it("is left as it is, and says so", async () => {
    const cluster = await settled();
    cluster.annotate("KVCluster", NAME, { "annulus.dev/paused": "true" });
    cluster.edit({ replicas: 5 });
    await cluster.reconcile();
    assert.equal(replicasOf(cluster), 3);
    assert.equal(cluster.condition("Progressing").reason, "Paused");
    cluster.annotate("KVCluster", NAME, { "annulus.dev/paused": "false" });
    await cluster.until("settled", () => cluster.isSettled());
  });
});

describe("volumes", () => {
  it("grow with the spec", async () => {
    const cluster = await settled();
    cluster.edit({ storage: { size: "20Gi" } });
    await cluster.until("grown", () =>
      cluster.kube
        .all("PersistentVolumeClaim")
        .every((claim) => textAt(claim, "spec", "resources", "requests", "storage") === "20Gi"),
    );
    assert.equal(
      textAt(
        cluster.kube.find("StatefulSet", NAME),
        "spec",
        "volumeClaimTemplates",
        0,
        "spec",
        "resources",
        "requests",
        "storage",
      ),
      "10Gi",
    );
  });
});

describe("what is owned", () => {
  it("has the cluster as its owner, so that it goes with it", async () => {
    const cluster = await settled({ autoscaling: {} });
    for (const kind of [
      "StatefulSet",
      "Service",
      "ConfigMap",
      "PodDisruptionBudget",
      "NetworkPolicy",
      "ServiceAccount",
      "HorizontalPodAutoscaler",
    ])
      for (const object of cluster.kube.all(kind))
        assert.deepEqual(
          listAt(object, "metadata", "ownerReferences").map((owner) => at(owner, "uid")),
          [cluster.cluster.metadata.uid],
          kind,
        );
    cluster.edit({ autoscaling: undefined });
    await cluster.reconcile();
    assert.equal(cluster.kube.all("HorizontalPodAutoscaler").length, 0);
  });

  it("is alone what is taken away: an autoscaler that a person made for the cluster stays", async () => {
    const cluster = await settled();
    const metadata = { name: NAME, namespace: "default" };
    // As `kubectl autoscale kvc sessions` makes it.
    const own = { apiVersion: "autoscaling/v2", kind: "HorizontalPodAutoscaler", metadata, spec: { maxReplicas: 9 } };
    cluster.kube.set(own);
    await cluster.reconcile();
    assert.ok(cluster.kube.find("HorizontalPodAutoscaler", NAME));
    assert.ok(cluster.isSettled());
  });

  it("keeps to it: a name that is not needed may be anybody's", async () => {
    const cluster = await settled();
    const ownerReferences = [{ apiVersion: "v1", kind: "Other", name: "x", uid: "other", controller: true }];
    const metadata = { name: NAME, namespace: "default", ownerReferences };
    cluster.kube.set({ apiVersion: "autoscaling/v2", kind: "HorizontalPodAutoscaler", metadata });
    await cluster.reconcile();
    assert.ok(cluster.isSettled());
  });

  it.each(["Service", "StatefulSet", "NetworkPolicy", "ConfigMap"])(
    "is nobody else's %s: one of that name that the operator has not made is left alone",
    async (kind) => {
      const cluster = new FakeCluster();
      const name = kind === "ConfigMap" ? `${NAME}-members` : NAME;
      const labels = { app: "shop" };
      const theirs = cluster.kube.set({ apiVersion: "v1", kind, metadata: { name, namespace: "default", labels } });
      await cluster.reconcile();
      assert.equal(cluster.kube.find(kind, name)?.metadata.resourceVersion, theirs.metadata.resourceVersion);
      assert.equal(cluster.condition("Degraded").reason, "NameTaken");
      assert.equal(cluster.kube.all("PodDisruptionBudget").length, 0);
    },
  );

  it("is not written again when nothing changed", async () => {
    const cluster = await settled();
    const before = [...cluster.kube.objects.values()].map(({ metadata }) => metadata.resourceVersion);
    await cluster.reconcile();
    assert.deepEqual(
      [...cluster.kube.objects.values()].map(({ metadata }) => metadata.resourceVersion),
      before,
    );
  });
});
