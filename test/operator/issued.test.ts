/** Certificates that cert-manager makes: asked for, brought to the members, renewed, and of another authority, in peace. */
import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { describe, it } from "@jest/globals";
import { createCertificateMaker } from "../../operator/adapters/certificates.ts";
import { fileOf } from "../../operator/core/certificates.ts";
import { readPod } from "../../operator/core/facts.ts";
import { at, textAt } from "../../operator/core/objects.ts";
import type { Issued } from "../../operator/ports.ts";
import { identityOf, knows, secretOf, type View, viewOf } from "./certificate-view.ts";
import { FakeCluster, NAME, replicasOf } from "./fake-cluster.ts";

const DAY_MS = 86_400_000;
const OWN = { peers: true, admin: true, data: true };
const ISSUED = { ...OWN, issuer: { name: "office" } };
/** The longest that a kubelet takes, and how often these tests look. */
const [LAG_SECONDS, STEP_SECONDS] = [240, 30];

/** cert-manager, as far as it makes what Certificates ask for, and makes it anew where that is due. */
class CertManager {
  readonly #maker = createCertificateMaker();
  /** Leaves the authority out, as issuers do that know none. */
  isSilent = false;
  authority: Issued | undefined;

  async work(cluster: FakeCluster): Promise<void> {
    const { kube } = cluster;
    const span = { fromMs: kube.nowMs, untilMs: kube.nowMs + 90 * DAY_MS };
    this.authority ??= await this.#maker.createAuthority("office", { ...span, untilMs: span.untilMs + 3_650 * DAY_MS });
    for (const asked of kube.all("Certificate")) {
      const name = textAt(asked, "spec", "secretName") ?? "";
      const present = fileOf(kube.find("Secret", name), "tls.crt");
      const certificate = present === undefined ? undefined : new X509Certificate(present);
      const isDue = certificate === undefined || certificate.validToDate.getTime() - kube.nowMs < 30 * DAY_MS;
      const isOurs = certificate?.verify(new X509Certificate(this.authority.certificate).publicKey) === true;
      if (!isDue && isOurs) continue;
      const made = await this.#maker.issue(this.authority, at(asked, "spec", "dnsNames") as string[], span);
      const files = { "tls.crt": made.certificate, "tls.key": made.key, "ca.crt": this.authority.certificate };
      const told = Object.entries(files).filter(([file]) => file !== "ca.crt" || !this.isSilent);
      const data = Object.fromEntries(told.map(([file, text]) => [file, Buffer.from(text).toString("base64")]));
      const metadata = { name, namespace: "default" };
      kube.set({ apiVersion: "v1", kind: "Secret", metadata, type: "kubernetes.io/tls", data });
    }
  }
}

async function pass(cluster: FakeCluster, manager: CertManager, seconds: number, step = 1): Promise<View[]> {
  const views: View[] = [];
  for (let second = 0; second < seconds; second += step) {
    await cluster.reconcile();
    await manager.work(cluster);
    if (secretOf(cluster) !== undefined) views.push(viewOf(cluster));
    for (let tick = 0; tick < step; tick += 1) cluster.tick();
  }
  return views;
}

/** cert-manager is away. */
async function rest(cluster: FakeCluster, seconds: number): Promise<void> {
  for (let second = 0; second < seconds; second += 1) {
    await cluster.reconcile();
    cluster.tick();
  }
}

/** A machine goes, and what was on it is made anew. */
async function losesOne(cluster: FakeCluster): Promise<void> {
  const budget = () => at(cluster.kube.find("PodDisruptionBudget", NAME), "spec", "maxUnavailable");
  const claim = () => cluster.kube.find("PersistentVolumeClaim", "data-sessions-1")?.metadata.uid;
  const before = claim();
  cluster.setMachineDown(textAt(cluster.kube.find("Pod", "sessions-1"), "spec", "nodeName") ?? "", true);
  await cluster.until("no other may be evicted", () => budget() === 0);
  await cluster.until("replaced", () => claim() !== before && budget() === 1);
}

async function settled(tls: object, manager: CertManager, spec: object = {}): Promise<FakeCluster> {
  const cluster = new FakeCluster({ tls, ...spec });
  await pass(cluster, manager, 90);
  assert.ok(cluster.isSettled(), JSON.stringify(cluster.condition("Progressing")));
  return cluster;
}

/** Members whose files are of different moments, as far as kubelets let them be, always know each other. */
function assertKnown(views: readonly View[]): void {
  const reach = Math.ceil(LAG_SECONDS / STEP_SECONDS);
  for (const [index, one] of views.entries())
    for (const other of views.slice(index, index + reach + 1)) {
      assert.ok(knows(one, other), `after ${index * STEP_SECONDS} s what comes is not known`);
      assert.ok(knows(other, one), `after ${index * STEP_SECONDS} s what was is not known`);
    }
}

const uidsOf = (cluster: FakeCluster) => cluster.pods.map(({ metadata }) => metadata.uid);

describe("certificates of cert-manager", () => {
  it("are awaited before the first pods, and then each member shows its own; the operator makes no authority", async () => {
    const manager = new CertManager();
    const cluster = new FakeCluster({ tls: ISSUED });
    await cluster.reconcile();
    assert.equal(cluster.condition("Progressing").reason, "CertificatesAwaited");
    assert.match(
      cluster.condition("Progressing").message,
      /for sessions-0, sessions-1, sessions-2: look at Issuer office/,
    );
    assert.equal(cluster.kube.find("StatefulSet", NAME), undefined);
    const asked = cluster.kube.find("Certificate", `${NAME}-1-certificate`);
    assert.deepEqual(at(asked, "spec", "issuerRef"), { name: "office", kind: "Issuer", group: "cert-manager.io" });
    await pass(cluster, manager, 90);
    assert.ok(cluster.isSettled());
    assert.equal(new Set([0, 1, 2].map((ordinal) => identityOf(cluster, `${NAME}-${ordinal}`).fingerprint)).size, 3);
    assert.deepEqual(
      cluster.pods.map((pod) => readPod(pod, NAME)?.peerTls),
      ["require", "require", "require"],
    );
    assert.equal(cluster.kube.find("Secret", `${NAME}-authority`), undefined);
    cluster.edit({ replicas: 4 });
    await pass(cluster, manager, 90);
    assert.ok(cluster.isSettled() && identityOf(cluster, `${NAME}-3`));
  });

  it("are awaited by pods that are to join before these are made, and by nobody else: what is lost is replaced", async () => {
    const manager = new CertManager();
    const cluster = await settled(ISSUED, manager, { recovery: { replaceAfterSeconds: 60 } });
    cluster.edit({ replicas: 5 });
    await rest(cluster, 5);
    assert.equal(replicasOf(cluster), 3);
    assert.match(cluster.condition("Progressing").message, /essions-3 \(.*no certificate .* Issuer office\)/);
    await losesOne(cluster);
    await pass(cluster, manager, 90);
    assert.ok(cluster.isSettled() && cluster.members.length === 5);
  });

  it("are awaited by pods that were made without theirs, and the others are seen to meanwhile", async () => {
    const manager = new CertManager();
    const cluster = await settled({ ...ISSUED, admin: false }, manager, { recovery: { replaceAfterSeconds: 60 } });
    const set = cluster.kube.find("StatefulSet", NAME);
    assert.ok(set);
    for (const pod of ["sessions-3", "sessions-4"]) cluster.crash(pod, true);
    cluster.edit({ replicas: 5 });
    cluster.kube.set({ ...set, spec: { ...(set.spec as object), replicas: 5 } }, { newGeneration: true });
    await rest(cluster, 5);
    assert.equal(cluster.pods.length, 5);
    await losesOne(cluster);
    assert.equal(replicasOf(cluster), 5);
  });

  it("are awaited by members that run when an issuer is named: they run on as they are, and the ring changes", async () => {
    const manager = new CertManager();
    const plain = { peers: false, admin: false, data: false };
    const cluster = await settled(plain, manager, { recovery: { replaceAfterSeconds: 60 } });
    const set = cluster.kube.find("StatefulSet", NAME);
    const pods = uidsOf(cluster);
    cluster.edit({ tls: ISSUED, weights: { default: 50 } });
    await rest(cluster, 30);
    assert.equal(cluster.condition("Progressing").reason, "CertificatesAwaited");
    assert.deepEqual(cluster.kube.find("StatefulSet", NAME), set);
    assert.deepEqual(uidsOf(cluster), pods);
    assert.ok(cluster.nodes.ring?.members.every(({ weight }) => weight === 50));
    await losesOne(cluster);
    await pass(cluster, manager, 300);
    assert.ok(cluster.isSettled() && cluster.pods.every((pod) => readPod(pod, NAME)?.peerTls === "require"));
  });

  it("are awaited where the issuer does not tell its authority: members could not hold each other to anything", async () => {
    const manager = new CertManager();
    manager.isSilent = true;
    const cluster = new FakeCluster({ tls: ISSUED });
    await pass(cluster, manager, 10);
    assert.match(cluster.condition("Progressing").message, /no certificate with its authority \(ca\.crt\)/);
    assert.equal(cluster.pods.length, 0);
  });

  it("come to the members when they are renewed, and no pod is restarted", async () => {
    const manager = new CertManager();
    const cluster = await settled(ISSUED, manager);
    const [before, pods] = [identityOf(cluster, `${NAME}-0`), uidsOf(cluster)];
    cluster.kube.nowMs += 61 * DAY_MS;
    await pass(cluster, manager, 5);
    const after = identityOf(cluster, `${NAME}-0`);
    assert.ok(after.expiresAtMs - before.expiresAtMs > 60 * DAY_MS);
    assert.deepEqual(uidsOf(cluster), pods);
  });

  it("of another authority are shown once all trust it, and the one before is trusted until nobody shows it", async () => {
    const manager = new CertManager();
    const cluster = await settled(ISSUED, manager);
    const pods = uidsOf(cluster);
    const views = [viewOf(cluster)];
    manager.authority = undefined;
    views.push(...(await pass(cluster, manager, 1_500, STEP_SECONDS)));
    assertKnown(views);
    const [first, last] = [views[0], views.at(-1)];
    assert.ok(first !== undefined && last !== undefined && !knows(last, first) && knows(last, last));
    assert.equal(last.authorities.length, 1);
    assert.deepEqual(uidsOf(cluster), pods);
  });

  it.each([
    ["from the operator's own", OWN, ISSUED],
    ["back to the operator's own", ISSUED, OWN],
  ])("take the place %s in a cluster that runs, and members always know each other", async (_way, from, to) => {
    const manager = new CertManager();
    const cluster = await settled(OWN, manager);
    const views = [viewOf(cluster)];
    for (const tls of from === OWN ? [to] : [from, to]) {
      cluster.edit({ tls });
      views.push(...(await pass(cluster, manager, 1_500, STEP_SECONDS)));
    }
    assertKnown(views);
    const last = views.at(-1);
    assert.ok(last !== undefined && knows(last, last));
    assert.equal(last.authorities.length, 1);
    const office = new X509Certificate(manager.authority?.certificate ?? "");
    assert.equal(last.authorities[0]?.fingerprint256 === office.fingerprint256, to === ISSUED);
  });

  it("are asked for and brought also when the operator was killed anywhere", async () => {
    const manager = new CertManager();
    for (let calls = 0; ; calls += 1) {
      const cluster = new FakeCluster({ tls: ISSUED });
      await cluster.reconcile();
      await manager.work(cluster);
      const wasKilled = await cluster.reconcile(calls);
      await cluster.reconcile();
      for (const ordinal of [0, 1, 2]) assert.ok(identityOf(cluster, `${NAME}-${ordinal}`));
      if (!wasKilled) break;
    }
  });
});
