/** Secrets of a name that a cluster needs and that are somebody else's: what is in them is not touched, nor trusted. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { createCertificateMaker } from "../../operator/adapters/certificates.ts";
import { AUTHORITY_LIFE_MS, encoded } from "../../operator/core/certificates.ts";
import { readPod } from "../../operator/core/facts.ts";
import { at, type KubeObject, textAt } from "../../operator/core/objects.ts";
import { FakeCluster, NAME } from "./fake-cluster.ts";

const SECURE = { peers: true, admin: true, data: true };

function secret(
  name: string,
  data: Record<string, string>,
  labels: Record<string, string> = { app: "shop" },
): KubeObject {
  const encodedData = Object.fromEntries(Object.entries(data).map(([file, text]) => [file, encoded(text)]));
  const metadata = { name, namespace: "default", labels };
  return { apiVersion: "v1", kind: "Secret", metadata, type: "Opaque", data: encodedData };
}

const isSecure = (pod: KubeObject) => readPod(pod, NAME)?.peerTls === "require";

async function authorityFiles(cluster: FakeCluster): Promise<Record<string, string>> {
  const { nowMs } = cluster.kube;
  const span = { fromMs: nowMs, untilMs: nowMs + AUTHORITY_LIFE_MS };
  const { certificate, key } = await createCertificateMaker().createAuthority("office", span);
  return { "ca.crt": certificate, "ca.key": key };
}

describe("a Secret that a cluster needs", () => {
  it.each([
    ["tls", "what is served to its clients"],
    ["authority", "an authority of their own"],
    ["access", "a token that they made"],
  ])("and that is another's (%s: %s) is left as it is, and said; it goes on once that is gone", async (suffix) => {
    const cluster = new FakeCluster({ tls: SECURE });
    const name = `${NAME}-${suffix}`;
    const theirs = cluster.kube.set(
      secret(name, { ...(await authorityFiles(cluster)), "admin-token": "a".repeat(40) }),
    );
    for (let second = 0; second < 5; second += 1) {
      await cluster.reconcile();
      cluster.tick();
    }
    assert.deepEqual(cluster.kube.find("Secret", name), theirs);
    assert.equal(cluster.condition("Degraded").reason, "NameTaken");
    assert.match(
      cluster.condition("Degraded").message,
      /^Secret\/sessions-\w+ exists and belongs to somebody else: delete/,
    );
    assert.equal(cluster.kube.find("StatefulSet", NAME), undefined);
    cluster.kube.drop(theirs);
    await cluster.until("settled", () => cluster.isSettled() && cluster.condition("Degraded").status === "False");
  });

  it("and that is another's keeps a cluster that runs as it is, and no member that is lost from being replaced", async () => {
    const cluster = new FakeCluster({ recovery: { replaceAfterSeconds: 60 } });
    await cluster.until("settled", () => cluster.isSettled());
    const set = cluster.kube.find("StatefulSet", NAME);
    const theirs = cluster.kube.set(secret(`${NAME}-tls`, { "tls.crt": "theirs" }));
    cluster.edit({ tls: SECURE });
    await cluster.until("told", () => cluster.condition("Degraded").reason === "NameTaken");
    const budget = () => at(cluster.kube.find("PodDisruptionBudget", NAME), "spec", "maxUnavailable");
    const claim = () => cluster.kube.find("PersistentVolumeClaim", "data-sessions-1")?.metadata.uid;
    const before = claim();
    cluster.setMachineDown(textAt(cluster.kube.find("Pod", "sessions-1"), "spec", "nodeName") ?? "", true);
    await cluster.until("no other may be evicted", () => budget() === 0);
    await cluster.until("replaced", () => claim() !== before && budget() === 1);
    assert.equal(cluster.condition("Degraded").reason, "NameTaken");
    assert.deepEqual(cluster.kube.find("StatefulSet", NAME), set);
    cluster.kube.drop(theirs);
    await cluster.until("settled by TLS", () => cluster.isSettled() && cluster.pods.every(isSecure), 600);
  });

  it("keeps its certificates renewed beside another object that is somebody else's", async () => {
    const cluster = new FakeCluster({ tls: SECURE });
    await cluster.until("settled", () => cluster.isSettled());
    const ours = cluster.kube.find("NetworkPolicy", NAME);
    assert.ok(ours !== undefined);
    cluster.kube.drop(ours);
    const metadata = { name: NAME, namespace: "default", labels: { app: "shop" } };
    cluster.kube.set({ apiVersion: "networking.k8s.io/v1", kind: "NetworkPolicy", metadata });
    const certificate = () => textAt(cluster.kube.find("Secret", `${NAME}-tls`), "data", "sessions-1.crt");
    const before = certificate();
    cluster.kube.nowMs += 70 * 86_400_000;
    await cluster.until("renewed", () => certificate() !== before);
    assert.equal(cluster.condition("Degraded").reason, "NameTaken");
  });

  it("is taken over where the operator has made it, also when its owner is lost: a restored one has none", async () => {
    const cluster = new FakeCluster({ tls: SECURE });
    await cluster.until("settled", () => cluster.isSettled());
    for (const suffix of ["tls", "authority", "access"]) {
      const found = cluster.kube.find("Secret", `${NAME}-${suffix}`);
      assert.ok(found);
      const { ownerReferences: _none, ...metadata } = found.metadata;
      cluster.kube.set({ ...found, metadata });
    }
    await cluster.reconcile();
    assert.ok(cluster.isSettled(), JSON.stringify(cluster.condition("Progressing")));
  });

  it("is no authority where an issuer is named: the issuer's own may be of that name", async () => {
    const cluster = new FakeCluster({ tls: { ...SECURE, issuer: { name: "office" } } });
    const theirs = cluster.kube.set(secret(`${NAME}-authority`, await authorityFiles(cluster)));
    await cluster.reconcile();
    assert.equal(cluster.condition("Progressing").reason, "CertificatesAwaited");
    assert.deepEqual(cluster.kube.find("Secret", `${NAME}-authority`), theirs);
  });
});
