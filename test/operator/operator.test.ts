/** The whole operator over an API server in memory, in virtual time: two at once, one killed, one cut off. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { type KubeObject, numberAt, textAt } from "../../operator/core/objects.ts";
import { type Kube, KubeError } from "../../operator/ports.ts";
import { backupManifest } from "./backup-manifests.ts";
import { manifest } from "./manifests.ts";
import { createWorld, TIMES } from "./operator-world.ts";

describe("an operator", () => {
  it("brings a cluster up by what its watches tell it, and follows a change of the spec", async () => {
    const { cluster, start, until, end } = createWorld();
    const operator = start("a");
    await until("settled", () => cluster.isSettled());
    cluster.edit({ replicas: 4 });
    await until("grown", () => cluster.members.length === 4 && cluster.isSettled());
    await end(operator);
  });

  it("has admin ports speak TLS where its policy says so and the spec nothing, and backups go there by TLS", async () => {
    const { cluster, start, until, end } = createWorld({ adminTls: true });
    const operator = start("a");
    cluster.kube.put(backupManifest() as KubeObject);
    // Keys are made in real time, while hours of the world's own may pass.
    await until("settled", () => cluster.isSettled(), 100_000);
    const job = () => JSON.stringify(cluster.kube.find("Job", "nightly-backup") ?? "");
    await until("its Job", () => job().includes("https://sessions-0.sessions-peers.default.svc:7401"));
    await end(operator);
  });

  it("makes runs of a KVBackup by what its watches tell it: of the cluster, of itself, and of a run that ends", async () => {
    const { cluster, start, until, end } = createWorld();
    const { kube } = cluster;
    const operator = start("a");
    kube.put(backupManifest() as KubeObject);
    const job = () => kube.find("Job", "nightly-backup");
    await until("its Job", () => job() !== undefined);
    assert.ok(numberAt(cluster.cluster, "status", "ringEpoch"), "there was a ring by then");
    const ended = { conditions: [{ type: "Complete", status: "True" }], completionTime: "2027-01-15T08:05:00Z" };
    kube.set({ ...(job() as KubeObject), status: ended });
    const summary = () => textAt(kube.find("KVBackup", "nightly"), "status", "summary");
    await until("its end is told", () => summary() === "Complete", 5);
    await end(operator);
  });

  it("sees to clusters where the definition of KVBackup is not installed, and finds it once it is", async () => {
    let isInstalled = false;
    const around = (kube: Kube): Kube => ({
      ...{ read: kube.read.bind(kube), apply: kube.apply.bind(kube), create: kube.create.bind(kube) },
      ...{ replace: kube.replace.bind(kube), remove: kube.remove.bind(kube) },
      list: async (resource, options) => {
        if (resource.kind === "KVBackup" && !isInstalled) throw new KubeError("not-found", "no such kind");
        return kube.list(resource, options);
      },
      watch: (resource, options, tell) => {
        assert.ok(resource.kind !== "KVBackup" || isInstalled, "a kind is watched that is not known");
        return kube.watch(resource, options, tell);
      },
    });
    const { cluster, start, until, end } = createWorld({ around });
    const operator = start("a");
    await until("settled", () => cluster.isSettled());
    isInstalled = true;
    cluster.kube.put(backupManifest() as KubeObject);
    await until("its Job", () => cluster.kube.find("Job", "nightly-backup") !== undefined, 90);
    await end(operator);
  });

  it("goes on with all others when it stumbles over one cluster or backup, tells of it as a bug, and tries again", async () => {
    const looks = { KVCluster: 0, KVBackup: 0 };
    const around = (kube: Kube): Kube => ({
      ...{ list: kube.list.bind(kube), apply: kube.apply.bind(kube), create: kube.create.bind(kube) },
      ...{ replace: kube.replace.bind(kube), remove: kube.remove.bind(kube), watch: kube.watch.bind(kube) },
      read: async (resource, place) => {
        const { kind } = resource;
        if (place.name !== "strange" || (kind !== "KVCluster" && kind !== "KVBackup"))
          return kube.read(resource, place);
        looks[kind] += 1;
        throw new TypeError("nobody expected that");
      },
    });
    const { cluster, bugs, start, until, end } = createWorld({ around, mayMeetBugs: true });
    cluster.kube.put(manifest({}, "strange") as KubeObject);
    cluster.kube.put(backupManifest({}, "strange") as KubeObject);
    const operator = start("a");
    await until("settled", () => cluster.isSettled());
    await until("both were tried again", () => looks.KVCluster > 2 && looks.KVBackup > 2);
    assert.ok(bugs.some(({ cluster: of, cause }) => of === "default/strange" && cause instanceof TypeError));
    assert.ok(bugs.some(({ backup: of, cause }) => of === "default/strange" && cause instanceof TypeError));
    await end(operator);
  });

  it("does not look again for what it wrote into the status itself: bytes that move are told every other second", async () => {
    let looks = 0;
    const around = (kube: Kube): Kube => ({
      ...{ list: kube.list.bind(kube), apply: kube.apply.bind(kube), create: kube.create.bind(kube) },
      ...{ replace: kube.replace.bind(kube), remove: kube.remove.bind(kube), watch: kube.watch.bind(kube) },
      read: async (resource, place) => {
        if (resource.kind === "KVCluster") looks += 1;
        return kube.read(resource, place);
      },
    });
    const { cluster, start, until, end, time } = createWorld({ around });
    const operator = start("a");
    await until("settled", () => cluster.isSettled());
    const ask = cluster.nodes.ask.bind(cluster.nodes);
    let movedBytes = 0;
    cluster.nodes.ask = async (target) => {
      // An end to it, should it be asked without a pause.
      movedBytes = Math.min(movedBytes + 1, 90);
      const change = {
        id: "1",
        phase: "prepare",
        kind: undefined,
        movedBytes,
        totalBytes: 9_999,
        startedAt: undefined,
      };
      return { ...(await ask(target)), change };
    };
    cluster.edit({ weights: { default: 101 } });
    const [looksBefore, sinceMs] = [looks, time.monotonicMs()];
    await until("twenty seconds have passed", () => time.monotonicMs() - sinceMs >= 20_000);
    assert.ok(looks - looksBefore >= 8 && looks - looksBefore <= 14, `${looks - looksBefore} looks in 20 s`);
    await end(operator);
  });

  it("that stops hands over at once", async () => {
    const { cluster, start, until, holder, end, time } = createWorld();
    const [a, b] = [start("a"), start("b")];
    await until("settled", () => cluster.isSettled());
    const [leader, other] = a.leads() ? [a, b] : [b, a];
    assert.ok(!other.leads(), "two lead");
    const stoppedMs = time.monotonicMs();
    await leader.stop();
    assert.equal(holder(), "");
    await until("the other leads", () => other.leads());
    assert.ok(time.monotonicMs() - stoppedMs <= 3_000, `after ${time.monotonicMs() - stoppedMs} ms`);
    await end(other);
  });

  it("that is cut off stops to act before another begins, and both never lead at once", async () => {
    const { cluster, cutOff, start, until, end, time } = createWorld();
    const [a, b] = [start("a"), start("b")];
    await until("somebody leads", () => a.leads() || b.leads());
    const [leader, other, name] = a.leads() ? [a, b, "a"] : [b, a, "b"];
    cutOff.add(name);
    const cutMs = time.monotonicMs();
    await until("the other leads", () => {
      assert.ok(!(a.leads() && b.leads()), "two lead");
      return other.leads();
    });
    const tookMs = time.monotonicMs() - cutMs;
    assert.ok(
      tookMs >= TIMES.renewDeadlineMs - TIMES.retryMs && tookMs <= TIMES.durationMs + 2 * TIMES.retryMs,
      `${tookMs} ms`,
    );
    cluster.edit({ replicas: 5 });
    await until("grown", () => cluster.members.length === 5 && cluster.isSettled());
    cutOff.clear();
    await end(leader, other);
  });
});
