/** What the operator makes of KVBackups: one backup or many, what is missing, what failed, and what it leaves alone. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { at, type KubeObject, listAt, textAt } from "../../operator/core/objects.ts";
import { FakeBackups, OWNED, REPORT } from "./fake-backups.ts";

const SCHEDULE = { schedule: "15 3 * * *" };
const LAST = { name: REPORT.backup, keys: REPORT.keys, bytes: REPORT.bytes, newBytes: REPORT.newBytes };

async function begun(spec: Record<string, unknown> = {}, cluster: Record<string, unknown> = {}): Promise<FakeBackups> {
  const world = new FakeBackups();
  world.putCluster(cluster);
  world.putBackup(spec);
  await world.settle();
  return world;
}

const containerOf = (job: KubeObject | undefined) => at(job, "spec", "template", "spec", "containers", 0);
const settingOf = (job: KubeObject | undefined, name: string) =>
  textAt(
    listAt(containerOf(job), "env").find((one) => at(one, "name") === name),
    "value",
  );

describe("a KVBackup without a schedule", () => {
  it("is one run, which is never made again once it has left a whole backup", async () => {
    const world = await begun();
    const { job } = world;
    assert.ok(job);
    assert.equal(world.condition("Ready").reason, "Running");
    assert.equal(world.condition("Complete").status, "False");
    world.end(job);
    await world.settle();
    assert.deepEqual(
      [world.summary, world.condition("Complete").status, world.condition("Failed").status],
      ["Complete", "True", "False"],
    );
    assert.match(world.condition("Complete").message, /backup 20260101T000000000Z, 7 keys/);
    assert.deepEqual(at(world.backup, "status", "lastBackup"), LAST);
    assert.ok(textAt(world.backup, "status", "lastSuccessfulTime"));
    world.kube.drop(job);
    world.putCluster({ image: "annulus:other" });
    await world.settle();
    assert.equal(world.job, undefined);
    assert.equal(world.summary, "Complete");
    assert.deepEqual(at(world.backup, "status", "lastBackup"), LAST);
    assert.ok(world.events.includes("Normal MadeJob") && world.events.includes("Normal BackupTaken"));
  });

  it("waits for its cluster, and for that one's ring, and says so", async () => {
    const world = new FakeBackups();
    world.putBackup();
    await world.settle();
    assert.deepEqual([world.condition("Ready").reason, world.job], ["ClusterMissing", undefined]);
    assert.match(world.condition("Ready").message, /^There is no KVCluster sessions in namespace default: make it, or/);
    assert.equal((await world.look())?.isFailing, true);
    world.putCluster({}, 0);
    await world.settle();
    assert.deepEqual([world.condition("Ready").reason, world.job], ["ClusterNotFounded", undefined]);
    world.putCluster({}, 1);
    await world.settle();
    assert.equal(world.condition("Ready").reason, "Running");
    assert.equal((await world.look())?.isFailing, false);
  });

  it("that failed says why in the program's words, and is tried again once its Job is deleted or its spec mended", async () => {
    const world = await begun();
    assert.ok(world.job);
    const message = "12 of 32 partitions\nannulus: cannot use /backups/sessions: EACCES: permission denied\n";
    world.end(world.job, { message, reason: "BackoffLimitExceeded" });
    await world.settle();
    assert.equal(world.summary, "Failed");
    const failed = world.condition("Failed");
    assert.deepEqual([failed.status, failed.reason], ["True", "BackoffLimitExceeded"]);
    assert.equal(world.condition("Ready").reason, "RunEnded");
    assert.match(
      failed.message,
      /^nightly-backup failed: cannot use .*denied\. To try again, delete the Job nightly-b/,
    );
    assert.ok(world.events.includes("Warning BackoffLimitExceeded"));
    const { uid } = world.job.metadata;
    for (const pod of world.kube.all("Pod")) world.kube.drop(pod);
    world.kube.drop(world.job);
    await world.settle();
    assert.ok(world.job && world.job.metadata.uid !== uid);
    assert.equal(world.condition("Failed").status, "False");
    world.end(world.job, { message, reason: "BackoffLimitExceeded" });
    world.putBackup({ destination: { pvc: { claimName: "other" } } });
    await world.settle();
    assert.equal(
      at(world.job, "spec", "template", "spec", "volumes", 0, "persistentVolumeClaim", "claimName"),
      "other",
    );
    assert.equal(world.condition("Ready").reason, "Running");
  });

  it("begins anew when the spec or the cluster's image changes, and only when the pod before has ended", async () => {
    const world = await begun();
    assert.ok(world.job);
    const pod = world.try(world.job, { phase: "Running" });
    world.putCluster({ image: "annulus:other" });
    await world.settle();
    assert.deepEqual([world.job, world.condition("Ready").reason], [undefined, "PodStopping"]);
    world.kube.drop(pod);
    await world.settle();
    assert.equal(textAt(containerOf(world.job), "image"), "annulus:other");
  });

  it("goes on undisturbed while an autoscaler changes its mind", async () => {
    const autoscaling = { minReplicas: 4, maxReplicas: 9 };
    const world = await begun({}, { replicas: 4, autoscaling });
    const uid = world.job?.metadata.uid;
    world.putCluster({ replicas: 7, autoscaling });
    await world.settle();
    assert.equal(world.job?.metadata.uid, uid);
    assert.equal(settingOf(world.job, "ANNULUS_ADMIN_URL")?.split(",").length, 4);
  });

  it("that is suspended has no run, and has one when it is not", async () => {
    const world = await begun({ suspend: true });
    assert.deepEqual([world.job, world.summary], [undefined, "Suspended"]);
    assert.equal((await world.look())?.isFailing, false);
    world.putBackup({ suspend: false });
    await world.settle();
    assert.ok(world.job);
    world.putBackup({ suspend: true });
    await world.settle();
    assert.equal(world.job, undefined);
  });

  it("tells what keeps its pod from starting", async () => {
    const world = await begun();
    assert.ok(world.job);
    const waiting = (reason: string, message?: string) => ({
      ...{ phase: "Pending", containerStatuses: [{ state: { waiting: { reason, message } } }] },
    });
    const pod = world.try(world.job, waiting("ContainerCreating"));
    await world.settle();
    assert.equal(world.condition("Ready").reason, "Running");
    world.pass(121);
    await world.settle();
    assert.match(world.condition("Ready").message, /a Secret or a volume that it mounts may be missing/);
    world.kube.set({ ...pod, status: waiting("ImagePullBackOff", "no such image") });
    await world.settle();
    assert.match(world.condition("Ready").message, /does not start: ImagePullBackOff: no such image/);
    const unscheduled = { type: "PodScheduled", status: "False", message: 'persistentvolumeclaim "backups" not found' };
    world.kube.set({ ...pod, status: { phase: "Pending", conditions: [unscheduled] } });
    await world.settle();
    assert.equal(world.condition("Ready").reason, "PodStuck");
    assert.match(world.condition("Ready").message, /persistentvolumeclaim "backups" not found/);
    assert.equal(world.summary, "PodStuck");
  });
});

describe("a KVBackup with a schedule", () => {
  it("is a CronJob that follows the spec and the cluster, and tells of the run that ended last", async () => {
    const world = await begun({ ...SCHEDULE, timeZone: "Europe/Berlin" });
    assert.deepEqual([world.summary, world.job], ["Scheduled", undefined]);
    assert.match(world.condition("Ready").message, /by the schedule 15 3 \* \* \* in Europe\/Berlin/);
    const { uid } = world.cronJob?.metadata ?? {};
    world.end(world.fire());
    await world.settle();
    assert.equal(world.condition("Complete").status, "True");
    const succeeded = textAt(world.backup, "status", "lastSuccessfulTime");
    assert.ok(succeeded && textAt(world.backup, "status", "lastScheduledTime"));
    world.end(world.fire(), { message: "annulus: no node answers", reason: "DeadlineExceeded" });
    await world.settle();
    assert.deepEqual([world.condition("Complete").status, world.condition("Failed").status], ["False", "True"]);
    assert.match(
      world.condition("Failed").message,
      /failed: no node answers\. It had not ended after timeoutSeconds, 86400\. The next run goes on where it ended\.$/,
    );
    assert.equal(textAt(world.backup, "status", "lastSuccessfulTime"), succeeded);
    assert.deepEqual(at(world.backup, "status", "lastBackup"), LAST);
    const running = world.fire();
    await world.settle();
    assert.equal(world.summary, "Failed, Running");
    world.end(running);
    world.putBackup({ schedule: "@hourly", suspend: true });
    world.putCluster({ image: "annulus:other" });
    await world.settle();
    assert.equal(world.condition("Failed").status, "False");
    assert.equal(world.cronJob?.metadata.uid, uid);
    assert.deepEqual([at(world.cronJob, "spec", "schedule"), at(world.cronJob, "spec", "suspend")], ["@hourly", true]);
    assert.equal(textAt(containerOf(at(world.cronJob, "spec", "jobTemplate") as KubeObject), "image"), "annulus:other");
    assert.equal(world.summary, "Suspended");
  });

  it("remembers how the last run ended when Kubernetes has swept it away", async () => {
    const world = await begun(SCHEDULE);
    world.end(world.fire(), { reason: "PodFailurePolicy", message: "annulus: it holds backups of another cluster" });
    await world.settle();
    for (const kind of ["Job", "Pod"]) for (const object of world.kube.all(kind)) world.kube.drop(object);
    await world.settle();
    assert.equal(world.condition("Failed").status, "True");
    assert.match(world.condition("Failed").message, /backups of another cluster/);
  });

  it("has none while its cluster is gone, and one again when that is back", async () => {
    const world = await begun(SCHEDULE);
    world.kube.drop(world.kube.find("KVCluster", "sessions") as KubeObject);
    await world.settle();
    assert.deepEqual([world.cronJob, world.summary], [undefined, "ClusterMissing"]);
    world.putCluster();
    await world.settle();
    assert.ok(world.cronJob);
  });

  it("goes to the admin ports as the members were told to be started, whatever the spec says by then", async () => {
    const world = await begun(SCHEDULE, { tls: { admin: true } });
    const urls = () => settingOf(at(world.cronJob, "spec", "jobTemplate") as KubeObject, "ANNULUS_ADMIN_URL") ?? "";
    const isSecure = () =>
      urls()
        .split(",")
        .every((url) => url.startsWith("https://"));
    assert.equal(isSecure(), true);
    const admin = { name: "ANNULUS_ADMIN_TLS_CERTIFICATE_FILE", value: "/etc/annulus-tls/x.crt" };
    const started = (env: readonly object[]) => ({ template: { spec: { containers: [{ name: "node", env }] } } });
    const metadata = { name: "sessions", namespace: "default" };
    const set = world.kube.set({ apiVersion: "apps/v1", kind: "StatefulSet", metadata, spec: started([]) });
    await world.settle();
    assert.equal(isSecure(), false);
    assert.ok(!JSON.stringify(world.cronJob).includes("sessions-tls"));
    world.kube.set({ ...set, spec: started([admin]) });
    await world.settle();
    assert.equal(isSecure(), true);
    assert.ok(JSON.stringify(world.cronJob).includes("sessions-tls"));
  });

  it("is written once and not again while nothing changes", async () => {
    const world = await begun(SCHEDULE);
    const versions = () => [...world.kube.objects.values()].map(({ metadata }) => metadata.resourceVersion);
    const before = versions();
    await world.settle();
    assert.deepEqual(versions(), before);
  });
});

describe("the rights of a backup", () => {
  const closed = (token: Record<string, unknown>, anonymous: Record<string, unknown> = {}) => ({
    access: { anonymous, tokens: [{ name: "backup", secret: { name: "backup-token", key: "t" }, ...token }] },
  });

  it("are everybody's where these are enough: then it is given no token, and never the administrator's", async () => {
    for (const cluster of [{}, { access: { mode: "open" } }]) {
      const { job } = await begun({}, cluster);
      assert.equal(settingOf(job, "ANNULUS_TOKEN_FILE"), undefined);
      assert.ok(!JSON.stringify(job).includes("sessions-access"));
    }
  });

  it("are those of a token of the cluster's manifest, and everybody's with them", async () => {
    for (const cluster of [
      closed({ data: "read", cluster: "monitor" }),
      closed({ data: "read-write" }, { cluster: "monitor" }),
      closed({ cluster: "admin" }, { data: "read" }),
    ]) {
      const { job } = await begun({ token: "backup" }, cluster);
      assert.equal(settingOf(job, "ANNULUS_TOKEN_FILE"), "/etc/annulus-access/token");
      const [, access] = listAt(job, "spec", "template", "spec", "volumes");
      assert.deepEqual(at(access, "secret"), {
        ...{ secretName: "backup-token", defaultMode: 0o440 },
        items: [{ key: "t", path: "token" }],
      });
    }
  });

  it("that are too few are said before anything runs, with what to do", async () => {
    const cases: readonly [Record<string, unknown>, Record<string, unknown>, RegExp][] = [
      [{}, closed({ data: "read" }), /add a token with data: read and cluster: monitor/],
      [{ token: "other" }, closed({ data: "read" }), /access\.tokens has no other: add it there/],
      [{ token: "backup" }, closed({ data: "read" }), /the token backup may not read every key and see the cluster/i],
      [{ token: "backup" }, closed({ data: "read", cluster: "monitor", prefixes: ["a"] }), /without prefixes/],
    ];
    for (const [spec, cluster, message] of cases) {
      const world = await begun({ ...SCHEDULE, ...spec }, cluster);
      assert.deepEqual([world.condition("Ready").reason, world.cronJob], ["TokenNeeded", undefined]);
      assert.match(world.condition("Ready").message, message);
    }
  });
});

describe("what is in the way of a backup", () => {
  it("is an object of its name that is somebody else's, which stays as it is", async () => {
    for (const kind of ["Job", "CronJob"]) {
      const world = new FakeBackups();
      world.putCluster();
      const owner = { apiVersion: "v1", kind: "Other", name: "x", uid: "other", controller: true };
      const ownerReferences = kind === "Job" ? [] : [owner];
      const metadata = { name: OWNED, namespace: "default", ownerReferences };
      const theirs = world.kube.set({ apiVersion: "batch/v1", kind, metadata });
      world.putBackup(SCHEDULE);
      await world.settle();
      assert.equal(world.condition("Ready").reason, "NameTaken");
      assert.match(world.condition("Ready").message, new RegExp(`^${kind}/${OWNED} exists and belongs to somebody`));
      assert.deepEqual(world.kube.find(kind, OWNED), theirs);
    }
  });

  it("is an older one that writes into the same place, until that is deleted or has taken its only backup", async () => {
    const world = new FakeBackups();
    const other = new FakeBackups(world.kube, "first");
    world.putCluster();
    other.putBackup();
    world.pass(5);
    world.putBackup({ ...SCHEDULE, destination: { pvc: { claimName: "backups", path: "sessions" } } });
    await other.settle();
    await world.settle();
    assert.equal(world.condition("Ready").reason, "PlaceTaken");
    assert.match(world.condition("Ready").message, /^The KVBackup first writes into the same place: name another/);
    assert.equal(other.condition("Ready").reason, "Running");
    other.end(world.kube.find("Job", "first-backup") as KubeObject);
    await other.settle();
    await world.settle();
    assert.ok(world.cronJob);
    const another = new FakeBackups(world.kube, "second");
    another.putBackup({ destination: { pvc: { claimName: "backups", path: "./sessions/." } } });
    await another.settle();
    assert.equal(another.condition("Ready").reason, "PlaceTaken");
    const third = new FakeBackups(world.kube, "third");
    third.putBackup({ destination: { pvc: { claimName: "backups", path: "elsewhere" } } });
    await third.settle();
    assert.equal(third.condition("Ready").reason, "Running");
  });

  it("is what the API server refuses: it is said, and tried again", async () => {
    const world = new FakeBackups();
    world.putCluster();
    world.putBackup(SCHEDULE);
    const apply = world.kube.apply.bind(world.kube);
    const { KubeError } = await import("../../operator/ports.ts");
    world.kube.apply = async (resource, object, options) => {
      if (object.kind === "CronJob") throw new KubeError("refused", "spec.schedule: Invalid value");
      return apply(resource, object, options);
    };
    await assert.rejects(world.look(), /Invalid value/);
    assert.equal(world.condition("Ready").reason, "ApplyRefused");
    assert.match(world.condition("Ready").message, /spec\.schedule: Invalid value/);
    world.kube.apply = apply;
    await world.settle();
    assert.equal(world.summary, "Scheduled");
  });
});

describe("what a KVBackup owns", () => {
  it("goes with it; no claim, Secret or member is touched on the way", async () => {
    for (const spec of [{}, SCHEDULE]) {
      const world = await begun(spec);
      const owned = [...world.kube.objects.values()].filter(
        ({ kind }) => !["KVCluster", "KVBackup", "Event"].includes(kind),
      );
      assert.deepEqual(
        owned.map(({ kind }) => kind).sort(),
        ["NetworkPolicy", "schedule" in spec ? "CronJob" : "Job"].sort(),
      );
      for (const { metadata } of owned) assert.equal(metadata.ownerReferences?.[0]?.uid, world.backup.metadata.uid);
    }
  });

  it("is whole when the operator was killed between any two calls, and no run is made twice", async () => {
    for (let calls = 0; calls < 16; calls += 1) {
      const world = new FakeBackups();
      world.putCluster();
      world.putBackup();
      await world.settle(calls);
      assert.ok(world.job);
      world.end(world.job);
      await world.settle(calls);
      assert.equal(world.summary, "Complete", `killed at call ${calls}`);
      assert.equal(world.kube.all("Job").length, 1);
    }
  });
});
