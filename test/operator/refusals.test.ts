/** What the API server refuses for good: it is told, and holds nothing else up. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { at, type KubeObject, textAt } from "../../operator/core/objects.ts";
import { KubeError } from "../../operator/ports.ts";
import { type FakeCluster, settled } from "./fake-cluster.ts";

/** The API server takes no object that `is` true of. */
function refuse(
  cluster: FakeCluster,
  is: (object: KubeObject) => boolean,
  failure: "refused" | "not-found" = "refused",
) {
  const apply = cluster.kube.apply.bind(cluster.kube);
  cluster.kube.apply = async (resource, object, options) => {
    if (is(object)) throw new KubeError(failure, `PATCH ${object.kind}: it is refused`);
    return apply(resource, object, options);
  };
}

const grows = async (cluster: FakeCluster) => {
  cluster.edit({ replicas: 4 });
  await cluster.until("grown", () => cluster.members.length === 4 && cluster.nodes.running === undefined);
  await cluster.reconcile();
  assert.equal(cluster.condition("Degraded").reason, "ApplyRefused");
  assert.match(cluster.condition("Degraded").message, /it is refused/);
};

describe("what is refused at the side", () => {
  it("is a volume's growth, where its class allows none: the cluster scales all the same", async () => {
    const cluster = await settled();
    refuse(cluster, ({ kind }) => kind === "PersistentVolumeClaim");
    cluster.edit({ storage: { size: "20Gi" } });
    await grows(cluster);
  });

  it("is that growth also while a member is lost, which is replaced all the same", async () => {
    const cluster = await settled({ recovery: { replaceAfterSeconds: 60 } });
    refuse(cluster, ({ kind }) => kind === "PersistentVolumeClaim");
    cluster.edit({ storage: { size: "20Gi" } });
    cluster.setMachineDown(textAt(cluster.kube.find("Pod", "sessions-1"), "spec", "nodeName") ?? "", true);
    await cluster.until("replaced", () => cluster.story.includes("delete PersistentVolumeClaim data-sessions-1"));
  });

  it("is an autoscaler with a behaviour that makes no sense", async () => {
    const cluster = await settled();
    refuse(cluster, ({ kind }) => kind === "HorizontalPodAutoscaler");
    cluster.edit({ autoscaling: { cooldownSeconds: 0, behavior: { scaleUp: { policies: "all" } } } });
    await grows(cluster);
  });

  it("is a ServiceMonitor whose definition is not installed", async () => {
    const cluster = await settled();
    refuse(cluster, ({ kind }) => kind === "ServiceMonitor", "not-found");
    cluster.edit({ monitoring: { serviceMonitor: true } });
    await grows(cluster);
  });

  it("is the disruption budget, while a member is missing: what else is wanted is applied", async () => {
    const cluster = await settled();
    refuse(cluster, ({ kind }) => kind === "PodDisruptionBudget");
    cluster.setMachineDown(textAt(cluster.kube.find("Pod", "sessions-1"), "spec", "nodeName") ?? "", true);
    cluster.edit({ image: "annulus:next" });
    const image = () => JSON.stringify(cluster.kube.find("StatefulSet", "sessions")).includes("annulus:next");
    await cluster.until("the template has the image", image);
  });

  it("is told no more once it is taken", async () => {
    const cluster = await settled();
    let isRefused = true;
    refuse(cluster, ({ kind }) => isRefused && kind === "PersistentVolumeClaim");
    cluster.edit({ storage: { size: "20Gi" } });
    await cluster.reconcile();
    assert.equal(cluster.condition("Degraded").reason, "ApplyRefused");
    isRefused = false;
    await cluster.until("settled", () => cluster.isSettled() && cluster.condition("Degraded").status === "False");
  });
});

/** As an operator goes on whose runs fail: one after the other. */
async function untilThough(cluster: FakeCluster, what: string, done: () => boolean): Promise<void> {
  for (let second = 0; second < 300; second += 1) {
    await cluster.reconcile().catch((error: unknown) => assert.ok(error instanceof KubeError, String(error)));
    if (done()) return;
    cluster.tick();
  }
  assert.fail(`not within 300 s: ${what}; ${JSON.stringify(cluster.condition("Progressing"))}`);
}

describe("what is refused of the objects that carry the pods", () => {
  const TLS = { peers: true, admin: true, data: true, issuer: { name: "office" } };

  it.each([
    ["a template that makes no sense", { resources: { requests: { memory: "2Gi" } } }, "StatefulSet", "refused"],
    ["certificates of a cert-manager that is not installed", { tls: TLS }, "Certificate", "not-found"],
  ] as const)(
    "(%s) keeps no member that is lost from being replaced, nor others from being held",
    async (_what, spec, kind, failure) => {
      const cluster = await settled({ recovery: { replaceAfterSeconds: 60 } });
      const claim = () => cluster.kube.find("PersistentVolumeClaim", "data-sessions-1")?.metadata.uid;
      const before = claim();
      refuse(cluster, (object) => object.kind === kind, failure);
      cluster.edit(spec);
      await untilThough(cluster, "it is told", () => JSON.stringify(cluster.cluster.status).includes("it is refused"));
      cluster.setMachineDown(textAt(cluster.kube.find("Pod", "sessions-1"), "spec", "nodeName") ?? "", true);
      const budget = () => at(cluster.kube.find("PodDisruptionBudget", "sessions"), "spec", "maxUnavailable");
      await untilThough(cluster, "no other may be evicted", () => budget() === 0);
      await untilThough(cluster, "replaced", () => claim() !== before && budget() === 1);
      assert.equal(cluster.members.length, 3);
      assert.deepEqual(cluster.story, ["delete PersistentVolumeClaim data-sessions-1", "delete Pod sessions-1"]);
    },
  );

  it("lets no pod go whose volume could not be given up before it", async () => {
    const cluster = await settled({ recovery: { replaceAfterSeconds: 60 } });
    refuse(cluster, (object) => object.kind === "StatefulSet");
    const remove = cluster.kube.remove.bind(cluster.kube);
    let refused = 0;
    cluster.kube.remove = async (resource, place, options) => {
      if (resource.kind !== "PersistentVolumeClaim") return remove(resource, place, options);
      refused += 1;
      throw new KubeError("refused", "DELETE: it is refused");
    };
    cluster.edit({ resources: { requests: { memory: "2Gi" } } });
    cluster.setMachineDown(textAt(cluster.kube.find("Pod", "sessions-1"), "spec", "nodeName") ?? "", true);
    await untilThough(cluster, "it was tried", () => refused > 3);
    assert.deepEqual(cluster.story, []);
  });
});

describe("a claim that is not bound yet", () => {
  it("is not asked to grow, which the API server would refuse, and grows once it is", async () => {
    const cluster = await settled();
    const kind = "PersistentVolumeClaim";
    const sizeOf = () => textAt(cluster.kube.find(kind, "data-sessions-3"), "spec", "resources", "requests", "storage");
    const other = cluster.kube.find(kind, "data-sessions-0");
    assert.ok(other);
    const spec = { resources: { requests: { storage: "10Gi" } } };
    const metadata = { name: "data-sessions-3", namespace: "default", labels: other.metadata.labels ?? {} };
    const claim = cluster.kube.set({ apiVersion: "v1", kind, metadata, spec, status: { phase: "Pending" } });
    refuse(
      cluster,
      (object) => object.metadata.name === claim.metadata.name && claim === cluster.kube.find(kind, "data-sessions-3"),
    );
    cluster.edit({ storage: { size: "20Gi" } });
    await cluster.until("settled", () => cluster.isSettled());
    assert.equal(cluster.condition("Degraded").status, "False");
    assert.equal(sizeOf(), "10Gi");
    cluster.kube.set({ ...claim, spec: { ...spec, volumeName: "pv-3" }, status: { phase: "Bound" } });
    await cluster.until("grown", () => sizeOf() === "20Gi");
  });
});
