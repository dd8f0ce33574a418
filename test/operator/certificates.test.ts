/** Certificates that the operator makes: when, for whom, of what use they are to the nodes, and the way to them and back. */
import assert from "node:assert/strict";
import { generateKeyPairSync, type KeyPairKeyObjectResult, X509Certificate } from "node:crypto";
import { describe, it } from "@jest/globals";
import { encoded, fileOf } from "../../operator/core/certificates.ts";
import { readPod } from "../../operator/core/facts.ts";
import { at, listAt, textAt } from "../../operator/core/objects.ts";
import { identityOf, knows, secretOf, viewOf } from "./certificate-view.ts";
import { FakeCluster, NAME } from "./fake-cluster.ts";

const DAY_MS = 86_400_000;
const PLAIN = { peers: false, admin: false, data: false };
const SECURE = { peers: true, admin: true, data: true };

const modesOf = (cluster: FakeCluster) => cluster.pods.map((pod) => readPod(pod, NAME)?.peerTls);

async function settled(tls: Record<string, boolean>): Promise<FakeCluster> {
  const cluster = new FakeCluster({ tls });
  await cluster.until("settled at first", () => cluster.isSettled());
  return cluster;
}

function loseAuthority(cluster: FakeCluster): void {
  const secret = cluster.kube.find("Secret", `${NAME}-authority`);
  assert.ok(secret);
  cluster.kube.drop(secret);
}

const pem = ({ privateKey }: KeyPairKeyObjectResult) => privateKey.export({ format: "pem", type: "pkcs8" }).toString();

async function passMinutes(cluster: FakeCluster, minutes: number): Promise<void> {
  for (let minute = 0; minute < minutes; minute += 1) {
    await cluster.reconcile();
    cluster.kube.nowMs += 60_000;
  }
}

function passSixDays(cluster: FakeCluster): void {
  cluster.kube.nowMs += 6 * DAY_MS;
}

describe("certificates of a cluster", () => {
  it("are there before its first pods, each for its own member, and no pod has the authority's key", async () => {
    const cluster = new FakeCluster({ tls: SECURE });
    await cluster.reconcile();
    const fingerprints = [0, 1, 2].map((ordinal) => identityOf(cluster, `${NAME}-${ordinal}`).fingerprint);
    assert.equal(new Set(fingerprints).size, 3);
    const names = new X509Certificate(fileOf(secretOf(cluster), `${NAME}-1.crt`) ?? "").subjectAltName;
    assert.equal(
      names,
      "DNS:sessions-1.sessions-peers.default.svc, DNS:sessions-peers.default.svc, DNS:sessions.default.svc, DNS:sessions.default, DNS:sessions, DNS:localhost",
    );
    assert.deepEqual(
      Object.keys(at(secretOf(cluster), "data") as object).filter((file) => file.startsWith("ca")),
      ["ca.crt"],
    );
    await cluster.until("settled", () => cluster.isSettled());
    assert.deepEqual(modesOf(cluster), ["require", "require", "require"]);
    const mounted = listAt(cluster.pods[0], "spec", "volumes").flatMap(
      (volume) => textAt(volume, "secret", "secretName") ?? [],
    );
    assert.deepEqual(mounted, [`${NAME}-tls`, `${NAME}-access`]);
  });

  it("are made for members that are to come, and no other changes for them", async () => {
    const cluster = await settled(SECURE);
    const before = identityOf(cluster, `${NAME}-0`).fingerprint;
    cluster.edit({ replicas: 4 });
    await cluster.reconcile();
    assert.equal(cluster.pods.length, 3);
    assert.ok(identityOf(cluster, `${NAME}-3`));
    assert.equal(identityOf(cluster, `${NAME}-0`).fingerprint, before);
  });

  it("are renewed when a third of their life is left, which restarts nobody", async () => {
    const cluster = await settled(SECURE);
    const pods = cluster.pods.map(({ metadata }) => metadata.uid);
    const before = identityOf(cluster, `${NAME}-0`);
    cluster.kube.nowMs += 59 * DAY_MS;
    await cluster.reconcile();
    assert.equal(identityOf(cluster, `${NAME}-0`).fingerprint, before.fingerprint);
    cluster.kube.nowMs += 2 * DAY_MS;
    await cluster.reconcile();
    const after = identityOf(cluster, `${NAME}-0`);
    assert.ok(after.expiresAtMs - before.expiresAtMs > 60 * DAY_MS);
    await cluster.until("settled", () => cluster.isSettled());
    assert.deepEqual(
      cluster.pods.map(({ metadata }) => metadata.uid),
      pods,
    );
  });

  it("come anew from the same authority when their Secret is lost", async () => {
    const cluster = await settled(SECURE);
    const authority = fileOf(secretOf(cluster), "ca.crt");
    const secret = secretOf(cluster);
    assert.ok(secret);
    cluster.kube.drop(secret);
    await cluster.reconcile();
    assert.equal(fileOf(secretOf(cluster), "ca.crt"), authority);
    for (const ordinal of [0, 1, 2]) assert.ok(identityOf(cluster, `${NAME}-${ordinal}`));
  });

  it.each([
    ["is lost", 0, loseAuthority],
    ["has less than a year left", 3_280, passSixDays],
  ])("come from a new authority when theirs %s, and members always know each other", async (_how, days, happen) => {
    const cluster = await settled(SECURE);
    cluster.kube.nowMs += days * DAY_MS;
    await cluster.reconcile();
    const views = [viewOf(cluster)];
    happen(cluster);
    for (let step = 0; step < 30; step += 1) {
      await cluster.reconcile();
      views.push(viewOf(cluster));
      cluster.kube.nowMs += 60_000;
    }
    for (const [index, next] of views.entries()) {
      const before = views[index - 1];
      if (before === undefined) continue;
      for (const one of [before, next])
        for (const other of [before, next]) assert.ok(knows(one, other), `step ${index}`);
    }
    const [first, last] = [views[0], views.at(-1)];
    assert.ok(first !== undefined && last !== undefined && !knows(last, first));
    assert.deepEqual(new Set(views.map(({ authorities }) => authorities.length)), new Set([1, 2]));
    assert.equal(last.authorities.length, 1);
  });

  it.each([
    [
      "RSA",
      () => pem(generateKeyPairSync("rsa", { modulusLength: 2048 })),
      /of the kind rsa, and not of the curve P-256/,
    ],
    [
      "another curve",
      () => pem(generateKeyPairSync("ec", { namedCurve: "P-384" })),
      /of the kind secp384r1, and not of the curve P-256/,
    ],
    ["another's", () => pem(generateKeyPairSync("ec", { namedCurve: "P-256" })), /not that of its certificate/],
    ["no key", () => "letmein", /cannot be read/],
  ])(
    "are not made with an authority whose key somebody changed (%s): it is told, with what to do",
    async (_what, key, told) => {
      const cluster = await settled(SECURE);
      const secret = cluster.kube.find("Secret", `${NAME}-authority`);
      assert.ok(secret);
      cluster.kube.set({ ...secret, data: { ...(secret.data as object), "ca.key": encoded(key()) } });
      cluster.kube.nowMs += 61 * DAY_MS;
      await assert.rejects(cluster.reconcile(), { name: "KubeError", failure: "refused" });
      assert.equal(cluster.condition("Degraded").reason, "ApplyRefused");
      assert.match(cluster.condition("Degraded").message, told);
      assert.match(
        cluster.condition("Degraded").message,
        /Secret sessions-authority: .*; delete it, and another authority is made/,
      );
      loseAuthority(cluster);
      await cluster.until("settled", () => cluster.isSettled() && cluster.condition("Degraded").status === "False");
      assert.ok(identityOf(cluster, `${NAME}-0`).expiresAtMs - cluster.kube.nowMs > 0);
    },
  );

  it("are made with the first certificate that can be read where somebody wrote others around it", async () => {
    const cluster = await settled(SECURE);
    const secret = cluster.kube.find("Secret", `${NAME}-authority`);
    const broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert.ok(secret);
    const text = encoded(`${broken}${fileOf(secret, "ca.crt")}`);
    cluster.kube.set({ ...secret, data: { ...(secret.data as object), "ca.crt": text } });
    cluster.kube.nowMs += 61 * DAY_MS;
    await cluster.reconcile();
    assert.ok(identityOf(cluster, `${NAME}-0`).expiresAtMs - cluster.kube.nowMs > 80 * DAY_MS);
  });

  it("come from a new authority alone in the end also where members have left, whose files go", async () => {
    const cluster = await settled(SECURE);
    cluster.edit({ replicas: 5 });
    await cluster.until("grown", () => cluster.isSettled(), 600);
    const pod = cluster.kube.find("Pod", `${NAME}-3`);
    cluster.edit({ replicas: 3 });
    await cluster.until("shrunk", () => cluster.isSettled(), 600);
    assert.ok(pod);
    // On a machine that nobody hears of it may still run, though it is deleted.
    cluster.kube.set({ ...pod, metadata: { ...pod.metadata, deletionTimestamp: "2027-01-15T08:00:00Z" } });
    for (const ordinals of [
      [0, 1, 2, 3],
      [0, 1, 2],
    ]) {
      loseAuthority(cluster);
      await passMinutes(cluster, 30);
      assert.equal(viewOf(cluster).authorities.length, 1);
      const files = Object.keys(at(secretOf(cluster), "data") as object).sort();
      const own = ordinals.flatMap((ordinal) => [`${NAME}-${ordinal}.crt`, `${NAME}-${ordinal}.key`]);
      assert.deepEqual(files, ["ca.crt", ...own]);
      for (const ordinal of ordinals) assert.ok(identityOf(cluster, `${NAME}-${ordinal}`));
      cluster.kube.drop(pod);
    }
    cluster.edit({ replicas: 4 });
    await cluster.until("grown again", () => cluster.isSettled(), 600);
    assert.ok(identityOf(cluster, `${NAME}-3`));
  });

  it("are completed when the operator was killed anywhere while it made them", async () => {
    for (let calls = 0; ; calls += 1) {
      const cluster = new FakeCluster({ tls: SECURE });
      const wasKilled = await cluster.reconcile(calls);
      await cluster.reconcile();
      for (const ordinal of [0, 1, 2]) assert.ok(identityOf(cluster, `${NAME}-${ordinal}`));
      if (!wasKilled) break;
    }
  });

  it("are not made where no port speaks TLS", async () => {
    const cluster = await settled(PLAIN);
    assert.deepEqual(
      cluster.kube.all("Secret").map(({ metadata }) => metadata.name),
      [`${NAME}-access`],
    );
  });
});

describe("the way of a running cluster", () => {
  it.each([
    ["to TLS", PLAIN, SECURE, ["require", "require", "require"]],
    ["back to plain", SECURE, PLAIN, ["off", "off", "off"]],
  ])("%s takes two rolls, in which no member requires what another cannot do", async (_way, from, to, wanted) => {
    const cluster = await settled(from);
    cluster.edit({ tls: to });
    const met = new Set<string>();
    await cluster.until(
      "all are as the spec has it",
      () => {
        const modes = modesOf(cluster);
        met.add([...new Set(modes)].sort().join());
        assert.ok(!(modes.includes("off") && modes.includes("require")), `${modes}`);
        return cluster.isSettled() && modes.every((mode) => mode === wanted[0]);
      },
      600,
    );
    assert.deepEqual(modesOf(cluster), wanted);
    assert.ok(met.has("allow") || met.has("allow,off") || met.has("allow,require"));
    assert.ok([...met].some((modes) => modes.includes("allow")));
  });

  it("says that it is not over between the two rolls", async () => {
    const cluster = await settled(PLAIN);
    cluster.edit({ tls: { ...PLAIN, peers: true } });
    await cluster.until("all allow", () => modesOf(cluster).every((mode) => mode === "allow"), 600);
    assert.equal(cluster.condition("Progressing").reason, "Rolling");
    assert.ok(!cluster.isSettled());
  });
});
