/** Admin ports that speak TLS though the manifest says nothing of it: by the operator's setting, and on the way to it and back. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { readPod } from "../../operator/core/facts.ts";
import { at, listAt, numberAt, textAt } from "../../operator/core/objects.ts";
import { FakeCluster, NAME } from "./fake-cluster.ts";

const ON = { adminTls: true };
const OFF = { adminTls: false };

/** A running cluster whose pods were all started, and which the operator found as wanted; nodes refuse to be spoken to the wrong way. */
async function settled(spec: Record<string, unknown>, presets: typeof ON): Promise<FakeCluster> {
  const cluster = new FakeCluster(spec, 2, presets);
  await cluster.until("settled at first", () => cluster.isSettled());
  return cluster;
}

const areSecure = (cluster: FakeCluster) => cluster.pods.map((pod) => readPod(pod, NAME)?.isAdminSecure);
const uidsOf = (cluster: FakeCluster) => cluster.pods.map(({ metadata }) => metadata.uid);
const schemesOf = (cluster: FakeCluster) =>
  ["startupProbe", "livenessProbe", "readinessProbe"].map((probe) =>
    textAt(cluster.pods[0], "spec", "containers", 0, probe, "httpGet", "scheme"),
  );
const ALL = [true, true, true];
const NONE = [false, false, false];

describe("the admin port of a cluster whose manifest says nothing of it", () => {
  it("speaks TLS where the operator's setting says so, and probes, ServiceMonitor and operator follow", async () => {
    const cluster = await settled({ monitoring: { serviceMonitor: true } }, ON);
    assert.deepEqual(areSecure(cluster), ALL);
    assert.deepEqual(schemesOf(cluster), ["HTTPS", "HTTPS", "HTTPS"]);
    const monitor = cluster.kube.find("ServiceMonitor", NAME);
    assert.equal(textAt(monitor, "spec", "endpoints", 0, "scheme"), "https");
    // The other ports are plain, as ever.
    const settings = listAt(cluster.pods[0], "spec", "containers", 0, "env").map((one) => textAt(one, "name") ?? "");
    assert.deepEqual(
      settings.filter((name) => name.includes("TLS")),
      ["ANNULUS_ADMIN_TLS_CERTIFICATE_FILE", "ANNULUS_ADMIN_TLS_KEY_FILE"],
    );
    // What the operator takes for granted is written nowhere: it may be set otherwise.
    assert.equal(at(cluster.cluster, "spec", "tls"), undefined);
    cluster.edit({ replicas: 4 });
    await cluster.until("grown", () => cluster.isSettled());
    assert.deepEqual(areSecure(cluster), [...ALL, true]);
    cluster.edit({ replicas: 3 });
    await cluster.until("shrunk", () => cluster.isSettled());
  });

  it("is plain where the setting says so", async () => {
    const cluster = await settled({}, OFF);
    assert.deepEqual(areSecure(cluster), NONE);
    assert.deepEqual(schemesOf(cluster), [undefined, undefined, undefined]);
  });

  it.each([
    ["true", OFF, ALL],
    ["false", ON, NONE],
  ] as const)("is as the manifest has it where that says %s, whatever the setting", async (admin, presets, wanted) => {
    const cluster = await settled({ tls: { admin: admin === "true" } }, presets);
    assert.deepEqual(areSecure(cluster), wanted);
  });

  it.each([
    ["speaks TLS", OFF, ON, ALL],
    ["is plain again", ON, OFF, NONE],
  ])(
    "%s once the setting has changed: members are restarted one by one, and each is spoken to as it was started",
    async (_how, from, to, wanted) => {
      const cluster = await settled({}, from);
      const [before, restarts] = [uidsOf(cluster), cluster.story.length];
      cluster.upgrade(to);
      const mixes = new Set<string>();
      await cluster.until(
        "all are as the setting has it",
        () => {
          mixes.add([...new Set(areSecure(cluster))].sort().join());
          return cluster.isSettled() && areSecure(cluster).join() === wanted.join();
        },
        600,
      );
      assert.ok(mixes.has("false,true"), "there was a mix");
      assert.equal(cluster.story.slice(restarts).filter((line) => line.startsWith("delete Pod")).length, 3);
      assert.ok(uidsOf(cluster).every((uid) => !before.includes(uid)));
    },
  );

  it("changes when a field is taken out of the manifest that the API server once wrote there", async () => {
    const cluster = await settled({ tls: { peers: false, admin: false, data: false } }, ON);
    assert.deepEqual(areSecure(cluster), NONE);
    const before = uidsOf(cluster);
    for (let second = 0; second < 30; second += 1) {
      await cluster.reconcile();
      cluster.tick();
    }
    assert.deepEqual(uidsOf(cluster), before);
    cluster.edit({ tls: { peers: false, data: false } });
    await cluster.until("secured", () => cluster.isSettled() && areSecure(cluster).join() === ALL.join(), 600);
  });

  it("stays as it is while the cluster is paused, and changes after it", async () => {
    const cluster = await settled({}, OFF);
    cluster.annotate("KVCluster", NAME, { "annulus.dev/paused": "true" });
    cluster.upgrade(ON);
    const before = uidsOf(cluster);
    for (let second = 0; second < 60; second += 1) {
      await cluster.reconcile();
      cluster.tick();
    }
    assert.equal(cluster.condition("Progressing").reason, "Paused");
    assert.deepEqual([uidsOf(cluster), areSecure(cluster)], [before, NONE]);
    assert.equal(cluster.condition("Available").status, "True");
    cluster.annotate("KVCluster", NAME, { "annulus.dev/paused": "false" });
    await cluster.until("secured", () => cluster.isSettled() && areSecure(cluster).join() === ALL.join(), 600);
  });

  it("stays plain until cert-manager has made certificates, where the manifest names an issuer of it", async () => {
    const cluster = await settled({ tls: { issuer: { name: "office" } } }, OFF);
    cluster.upgrade(ON);
    await cluster.until("certificates are asked for", () => cluster.kube.all("Certificate").length === 3);
    await cluster.until("it says so", () => cluster.condition("Progressing").reason === "CertificatesAwaited");
    assert.deepEqual(areSecure(cluster), NONE);
    assert.equal(cluster.condition("Available").status, "True");
    assert.equal(cluster.kube.find("Secret", `${NAME}-authority`), undefined);
  });

  it("changes as well when the operator is killed at any call of it", async () => {
    for (let calls = 0; ; calls += 1) {
      const cluster = await settled({}, OFF);
      cluster.upgrade(ON);
      const wasKilled = await cluster.reconcile(calls);
      if (wasKilled) cluster.upgrade(ON);
      await cluster.until("secured", () => cluster.isSettled() && areSecure(cluster).join() === ALL.join(), 600);
      assert.equal(numberAt(cluster.kube.find("StatefulSet", NAME), "spec", "replicas"), 3);
      if (!wasKilled) break;
    }
  });
});
