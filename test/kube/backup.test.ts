/**
 * KVBackups on a real Kubernetes: one onto a volume, then one by a schedule every minute that adds what changed and prunes, a restore
 * by the example's Job into another store, and what deleting them leaves. Both stores ask for tokens, and their admin ports speak TLS. Figures are printed.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, it } from "@jest/globals";
import { parseAllDocuments } from "yaml";
import { API_VERSION, KIND } from "../../operator/api/kvcluster.ts";
import { at, type KubeObject, listAt, numberAt, textAt } from "../../operator/core/objects.ts";
import { apply, get, kubectl, list, run, until } from "./kubectl.ts";
import { condition, createStore, NAME, settled, TAG, tell, timed } from "./store.ts";

const NAMESPACE = "annulus-backup";
const EXAMPLES = join(import.meta.dirname, "..", "..", "docs", "examples");
const store = createStore(NAMESPACE);
const COPY = "copy";
const PAIRS = 300;
/** A cron schedule has no shorter period than a minute, and each run has a pod to start. */
const TWO_RUNS_SECONDS = 240;
const TOKEN = "backup-".repeat(6);

/** Everybody may read and write keys; to see the cluster takes a token. */
const access = {
  anonymous: { data: "read-write", cluster: "none" },
  tokens: [{ name: "backup", secret: { name: "backup-token" }, cluster: "monitor" }],
};
const spec = { storage: { size: "1Gi" }, partitions: 64, access };
const destination = { pvc: { claimName: "backups" } };

const backup = (name: string) => get(NAMESPACE, "kvb", name);
const claim = async () => (await get(NAMESPACE, "pvc", "backups"))?.metadata.uid;

async function make(...objects: readonly object[]): Promise<void> {
  const ran = await apply(...objects);
  assert.equal(ran.code, 0, ran.err);
}

function kvBackup(name: string, more: Record<string, unknown>): object {
  const metadata = { name, namespace: NAMESPACE };
  const all = { cluster: NAME, destination, token: "backup", ...more };
  return { apiVersion: API_VERSION, kind: "KVBackup", metadata, spec: all };
}

/** Waits for something of a KVBackup, and tells all of it when it does not come. */
function untilBackup(name: string, what: string, seconds: number, is: (object: KubeObject) => boolean) {
  const explain = async () => {
    const told = await kubectl(["-n", NAMESPACE, "describe", "kvb", name]);
    const logs = await run("kubectl", [
      "-n",
      NAMESPACE,
      "logs",
      "-l",
      `app.kubernetes.io/instance=${name}`,
      "--tail=20",
    ]);
    return `${told}\n${await kubectl(["-n", NAMESPACE, "get", "pods,jobs,pvc", "-o", "wide"])}\n${logs.out}${logs.err}`;
  };
  const found = async () => {
    const object = await backup(name);
    return object !== undefined && is(object) ? object : undefined;
  };
  return until(what, seconds, found, explain);
}

/** Writes or reads all pairs in the client's pod; prints how many went wrong. */
async function pairs(name: string, method: "PUT" | "GET", from = 0): Promise<number> {
  const script = `(async () => {
    let wrong = 0;
    for (let i = ${from}; i < ${PAIRS}; i++) {
      const url = "http://${name}:7400/v1/kv/pair-" + i;
      const body = "value " + i + (i % 50 === 0 ? " anew" : "");
      const asked = ${method === "PUT" ? "{ method: 'PUT', body }" : "{}"};
      const answer = await fetch(url, asked).then(async (r) => r.status + " " + await r.text(), String);
      if (answer !== ${method === "PUT" ? '"204 "' : '"200 " + body'}) wrong++;
    }
    console.log(wrong);
  })()`;
  return Number(await store.inPod(script));
}

beforeAll(async () => {
  // The token's Secret can only be there once the namespace is.
  await store.install({ ...spec, access: { anonymous: { data: "read-write", cluster: "monitor" } } });
  const token = { apiVersion: "v1", kind: "Secret", metadata: { name: "backup-token", namespace: NAMESPACE } };
  const volume = {
    apiVersion: "v1",
    kind: "PersistentVolumeClaim",
    metadata: { name: "backups", namespace: NAMESPACE },
  };
  const resources = { requests: { storage: "1Gi" } };
  await make(
    { ...token, type: "annulus.dev/token", stringData: { token: TOKEN } },
    { ...volume, spec: { accessModes: ["ReadWriteOnce"], resources } },
  );
  await kubectl(["-n", NAMESPACE, "patch", "kvc", NAME, "--type=merge", "-p", JSON.stringify({ spec: { access } })]);
  await store.untilSettled("tokens are asked for", 300);
  assert.equal(await pairs(NAME, "PUT"), 0);
});

afterAll(() => store.uninstall());

describe("a KVBackup", () => {
  it("of a store that is not there waits, and says so", async () => {
    await make(kvBackup("early", { cluster: "none", suspend: false }));
    await untilBackup("early", "it waits", 30, (object) => condition(object, "Ready").reason === "ClusterMissing");
    await kubectl(["-n", NAMESPACE, "delete", "kvb", "early"]);
  });

  it("that lacks a right is told which, and begins once it has it", async () => {
    await make(kvBackup("once", { token: undefined }));
    await untilBackup("once", "it lacks a token", 30, (object) => condition(object, "Ready").reason === "TokenNeeded");
    assert.deepEqual(await list(NAMESPACE, "jobs"), []);
    await timed("asked for to whole backup", async () => {
      await make(kvBackup("once", {}));
      await untilBackup("once", "a whole backup", 120, (object) => condition(object, "Complete").status === "True");
    });
    const found = await backup("once");
    assert.ok((numberAt(found, "status", "lastBackup", "keys") ?? 0) >= PAIRS);
    assert.equal(textAt(found, "status", "summary"), "Complete");
  });

  it("by a schedule adds what changed, run after run, and prunes", async () => {
    await make(kvBackup("often", { schedule: "* * * * *", retention: { last: 2 }, rateMiBPerSecond: 50 }));
    const first = await untilBackup("often", "a first run", TWO_RUNS_SECONDS, (object) => {
      return textAt(object, "status", "lastBackup", "name") !== undefined;
    });
    assert.equal(await pairs(NAME, "PUT", PAIRS - 10), 0);
    const name = textAt(first, "status", "lastBackup", "name");
    const next = await untilBackup("often", "a second run", TWO_RUNS_SECONDS, (object) => {
      return textAt(object, "status", "lastBackup", "name") !== name;
    });
    const [newBytes = 0, bytes = 0] = ["newBytes", "bytes"].map((field) =>
      numberAt(next, "status", "lastBackup", field),
    );
    tell(`a scheduled backup added ${newBytes} of ${bytes} bytes`);
    assert.ok(newBytes < bytes / 2, `${newBytes} of ${bytes}`);
    assert.equal(condition(next, "Failed").status, "False");
    const jobs = await list(NAMESPACE, "jobs", "-l", "app.kubernetes.io/instance=often");
    assert.ok(jobs.every((job) => textAt(job, "metadata", "ownerReferences", 0, "kind") === "CronJob"));
    const patch = JSON.stringify({ spec: { suspend: true } });
    await kubectl(["-n", NAMESPACE, "patch", "kvb", "often", "--type=merge", "-p", patch]);
    await untilBackup("often", "suspended", 60, (object) => textAt(object, "status", "summary") === "Suspended");
    assert.equal(at(await get(NAMESPACE, "cronjob", "often-backup"), "spec", "suspend"), true);
    await until("no run is under way", 120, async () => {
      const running = await list(NAMESPACE, "pods", "-l", "app.kubernetes.io/instance=often");
      return running.every((pod) => textAt(pod, "status", "phase") !== "Running");
    });
  });

  it("deleted takes its runs with it and leaves the volume", async () => {
    const before = await claim();
    await kubectl(["-n", NAMESPACE, "delete", "kvb", "--all"]);
    await until("nothing of them is left", 60, async () => {
      const left = await list(NAMESPACE, "jobs,cronjobs,pods", "-l", "app.kubernetes.io/name=annulus-backup");
      return left.length === 0;
    });
    assert.ok(before !== undefined);
    assert.equal(await claim(), before);
  });

  it("is restored into another store by the example's Job, every pair of it", async () => {
    const metadata = { name: COPY, namespace: NAMESPACE };
    await make({ apiVersion: API_VERSION, kind: KIND, metadata, spec: { storage: spec.storage, partitions: 32 } });
    await settled(NAMESPACE, COPY, "the other store", 180);
    const text = readFileSync(join(EXAMPLES, "restore-job.yaml"), "utf8")
      .replaceAll(".default.svc", `.${NAMESPACE}.svc`)
      .replace("annulus:0.1.0", `annulus:${TAG}`);
    await kubectl(["-n", NAMESPACE, "apply", "-f", "-"], text);
    await timed("restore", () =>
      until(
        "the restore has ended",
        180,
        async () => {
          const job = await get(NAMESPACE, "job", "restore");
          return listAt(job, "status", "conditions").some((one) => at(one, "type") === "Complete");
        },
        () => kubectl(["-n", NAMESPACE, "logs", "-l", "app.kubernetes.io/name=annulus-restore", "--tail=20"]),
      ),
    );
    assert.equal(parseAllDocuments(text).length, 2);
    assert.equal(await pairs(COPY, "GET"), 0);
  });

  it("was never refused a right by the API server", async () => {
    const log = await kubectl(["-n", "annulus-system", "logs", "deployment/annulus", "--tail=-1"]);
    const refused = log.split("\n").filter((line) => /forbidden|operator\.kind_unknown/i.test(line));
    assert.deepEqual(refused, []);
  });
});
