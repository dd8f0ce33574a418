/**
 * The resource definitions on a real API server: every rule refuses what it is there for, with its message; what is
 * allowed is taken; defaults are filled in as `parseCluster` fills them in; the scale subresource obeys the same rules.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { afterAll, beforeAll, describe, it } from "@jest/globals";
import { parseBackup } from "../../operator/api/kvbackup.ts";
import { parseCluster } from "../../operator/api/kvcluster.ts";
import { BACKUP_ALLOWED, BACKUP_BREACHES, backupManifest } from "../operator/backup-manifests.ts";
import { ALLOWED, BREACHES, manifest } from "../operator/manifests.ts";
import { apply, get, kubectl, makeNamespace, run, until } from "./kubectl.ts";
import { tell } from "./store.ts";

const ROOT = join(import.meta.dirname, "..", "..");
const NAMESPACE = "annulus-rules";
let count = 0;

/** Each test has an object of its own. */
function own(spec: Record<string, unknown>, name?: string) {
  const made = manifest(spec, name ?? `rules-${count}`);
  return { ...made, metadata: { ...made.metadata, namespace: NAMESPACE } };
}

/** The same for a KVBackup; suspended, so that an operator that is there by chance begins none. */
function ownBackup(spec: Record<string, unknown>, name?: string) {
  const made = backupManifest({ suspend: true, ...spec }, name ?? `rules-${count}`);
  return { ...made, metadata: { ...made.metadata, namespace: NAMESPACE } };
}

beforeAll(async () => {
  await makeNamespace(NAMESPACE);
  for (const plural of ["kvclusters", "kvbackups"]) {
    await kubectl(["apply", "--server-side", "--force-conflicts", "-f", join(ROOT, "crds", `${plural}.yaml`)]);
    await kubectl(["wait", `crd/${plural}.annulus.dev`, "--for=condition=Established", "--timeout=60s"]);
    // The API server says that it is established a moment before it serves it everywhere.
    const isServed = async () => (await run("kubectl", ["-n", NAMESPACE, "get", plural])).code === 0;
    await until("the kind is served", 60, isServed);
  }
});

let refusals = 0;

afterAll(async () => {
  tell(
    `${refusals} of ${BREACHES.length + BACKUP_BREACHES.length} wrong manifests refused by the API server with what to do`,
  );
  // The next operator would look after what is still in it, where nothing can be made any more.
  await kubectl(["delete", "namespace", NAMESPACE, "--wait=true", "--timeout=120s"]);
});

describe("the API server", () => {
  it.each(BREACHES.map((breach) => [breach.what, breach] as const))(
    "refuses %s, and says what to do",
    async (_, breach) => {
      count += 1;
      if (breach.before !== undefined) {
        const made = await apply(own(breach.before));
        assert.equal(made.code, 0, made.err);
      }
      const refused = await apply(own(breach.spec, breach.name));
      assert.notEqual(refused.code, 0, "it was taken");
      assert.ok(refused.err.includes(breach.message), refused.err);
      refusals += 1;
    },
  );

  it.each(ALLOWED.map((change) => [change.what, change] as const))("takes %s", async (_, change) => {
    count += 1;
    for (const spec of [change.before, change.spec]) {
      const taken = await apply(own(spec));
      assert.equal(taken.code, 0, taken.err);
    }
  });

  it("fills in the defaults that the operator knows", async () => {
    count += 1;
    const plain = own({ autoscaling: {} });
    assert.equal((await apply(plain)).code, 0);
    const stored = await get(NAMESPACE, "kvc", plain.metadata.name);
    const parsed = parseCluster({ ...plain, metadata: { ...plain.metadata, uid: "any" } }, { adminTls: true });
    assert.ok(parsed.ok);
    // What the operator fills in is not stored: it may be set otherwise later.
    const { admin, ...tls } = parsed.cluster.spec.tls;
    assert.equal(admin, true);
    assert.deepEqual(stored?.spec, JSON.parse(JSON.stringify({ ...parsed.cluster.spec, tls })));
  });

  it("refuses a field of the wrong kind, and drops one that is not known", async () => {
    count += 1;
    assert.match((await apply(own({ replicas: "three" }))).err, /spec.replicas/);
    assert.match((await apply(own({ quorum: { mode: "loose" } }))).err, /Unsupported value/);
    const strict = await run("kubectl", ["apply", "--validate=strict", "-f", "-"], JSON.stringify(own({ replica: 3 })));
    assert.match(strict.err, /unknown field "spec.replica"/);
  });

  it("takes N as a person writes it, without quotes", async () => {
    const lines = ["apiVersion: annulus.dev/v1alpha1", "kind: KVCluster", "metadata: {name: bare}"];
    const text = [...lines, "spec: {replicas: 5, quorum: {n: 5, r: 3, w: 3}}", ""].join("\n");
    await kubectl(["-n", NAMESPACE, "apply", "-f", "-"], text);
    const parsed = parseCluster(await get(NAMESPACE, "kvc", "bare"), { adminTls: true });
    assert.ok(parsed.ok);
    assert.equal(parsed.cluster.spec.quorum.n, 5);
    const refused = await run("kubectl", ["-n", NAMESPACE, "apply", "-f", "-"], text.replaceAll("5", "4"));
    assert.match(refused.err, /n is fixed/);
  });

  it("scales by the subresource, and not below N", async () => {
    count += 1;
    const { metadata } = own({});
    assert.equal((await apply(own({}))).code, 0);
    await kubectl(["-n", NAMESPACE, "scale", "kvc", metadata.name, "--replicas=5"]);
    assert.equal((await specOf(metadata.name)).replicas, 5);
    const refused = await run("kubectl", ["-n", NAMESPACE, "scale", "kvc", metadata.name, "--replicas=0"]);
    assert.match(refused.err, /replicas|greater than or equal/);
  });

  it("shows what a person wants to know", async () => {
    count += 1;
    assert.equal((await apply(own({}))).code, 0);
    const [head = ""] = (await kubectl(["-n", NAMESPACE, "get", "kvc"])).split("\n");
    assert.deepEqual(head.trim().split(/\s+/), ["NAME", "REPLICAS", "READY", "EPOCH", "STATUS", "AGE"]);
    assert.match(await kubectl(["explain", "kvc.spec.quorum.n"]), /Home replicas of each key/);
  });
});

describe("the API server, of a KVBackup,", () => {
  it.each(BACKUP_BREACHES.map((breach) => [breach.what, breach] as const))(
    "refuses %s, and says what to do",
    async (_, breach) => {
      count += 1;
      if (breach.before !== undefined) {
        const made = await apply(ownBackup(breach.before));
        assert.equal(made.code, 0, made.err);
      }
      const refused = await apply(ownBackup(breach.spec, breach.name));
      assert.notEqual(refused.code, 0, "it was taken");
      assert.ok(refused.err.includes(breach.message), refused.err);
      refusals += 1;
    },
  );

  it.each(BACKUP_ALLOWED.map((change) => [change.what, change] as const))("takes %s", async (_, change) => {
    count += 1;
    for (const spec of [change.before, change.spec]) {
      const taken = await apply(ownBackup(spec));
      assert.equal(taken.code, 0, taken.err);
    }
  });

  it("fills in the defaults that the operator knows", async () => {
    count += 1;
    const s3 = { bucket: "annulus", serviceAccountName: "backups", caSecret: { name: "store-ca" } };
    const plain = ownBackup({ destination: { s3 } });
    assert.equal((await apply(plain)).code, 0);
    const stored = await get(NAMESPACE, "kvb", plain.metadata.name);
    const parsed = parseBackup({ ...plain, metadata: { ...plain.metadata, uid: "any" } });
    assert.ok(parsed.ok);
    assert.deepEqual(stored?.spec, JSON.parse(JSON.stringify(parsed.backup.spec)));
  });

  it("refuses one without a spec, and a field that is not known", async () => {
    count += 1;
    const { spec: _none, ...bare } = ownBackup({});
    assert.match((await apply(bare)).err, /spec: Required value|missing required field "spec"/);
    const strict = ["apply", "--validate=strict", "-f", "-"];
    const unknown = await run("kubectl", strict, JSON.stringify(ownBackup({ retentions: {} })));
    assert.match(unknown.err, /unknown field "spec.retentions"/);
  });

  it("shows what a person wants to know", async () => {
    count += 1;
    assert.equal((await apply(ownBackup({ schedule: "@daily" }))).code, 0);
    const [head = ""] = (await kubectl(["-n", NAMESPACE, "get", "kvb"])).split("\n");
    assert.deepEqual(head.trim().split(/\s{2,}/), ["NAME", "CLUSTER", "SCHEDULE", "STATUS", "LAST BACKUP", "AGE"]);
    assert.match(await kubectl(["explain", "kvb.spec.retention.daily"]), /The same for days/);
  });
});

async function specOf(name: string): Promise<{ replicas: number }> {
  return (await get(NAMESPACE, "kvc", name))?.spec as { replicas: number };
}
