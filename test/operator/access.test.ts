/** Tokens that the operator makes and brings to the nodes: for whom, when they change, and on the way to them and back. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import fc from "fast-check";
import { parseTokens } from "../../node/adapters/http/token-file.ts";
import { grantOf } from "../../node/core/access.ts";
import { parseCluster } from "../../operator/api/kvcluster.ts";
import { brokenRules } from "../../operator/api/rules.ts";
import { accessSecret } from "../../operator/core/access.ts";
import { fileOf } from "../../operator/core/certificates.ts";
import { readPod } from "../../operator/core/facts.ts";
import { at, type KubeObject, listAt, textAt } from "../../operator/core/objects.ts";
import { FakeCluster, NAME } from "./fake-cluster.ts";
import { manifest, PRESETS } from "./manifests.ts";

const SECRET = `${NAME}-access`;
const SHOP = "shop-shop-shop-shop-shop-shop-shop-1";
const SHOP_TOKEN = { name: "shop", secret: { name: "shop-token" }, data: "read-write" };
const OTHER = "shop-shop-shop-shop-shop-shop-shop-2";

const fileIn = (cluster: FakeCluster, file: string) => fileOf(cluster.kube.find("Secret", SECRET), file);
const grantIn = (cluster: FakeCluster, token: string | undefined) =>
  grantOf(parseTokens(fileIn(cluster, "tokens.json") ?? ""), token ?? "");
const asking = (cluster: FakeCluster) => cluster.pods.map((pod) => readPod(pod, NAME)?.asksForToken);
const uidsOf = (cluster: FakeCluster) => cluster.pods.map(({ metadata }) => metadata.uid);

/** A setting of the pods to come. */
function setting(cluster: FakeCluster, name: string): string | undefined {
  const set = cluster.kube.find("StatefulSet", NAME);
  const variables = listAt(set, "spec", "template", "spec", "containers", 0, "env");
  return textAt(
    variables.find((one) => at(one, "name") === name),
    "value",
  );
}

async function settled(spec: Record<string, unknown> = {}): Promise<FakeCluster> {
  const cluster = new FakeCluster(spec);
  await cluster.until("settled at first", () => cluster.isSettled());
  return cluster;
}

function putSecret(cluster: FakeCluster, name: string, text: string, type = "annulus.dev/token"): void {
  const data = { token: Buffer.from(text).toString("base64") };
  cluster.kube.set({ apiVersion: "v1", kind: "Secret", metadata: { name, namespace: "default" }, type, data });
}

/** As a person does: the file goes, the rest of the Secret stays. */
function deleteFile(cluster: FakeCluster, file: string): void {
  const secret = cluster.kube.find("Secret", SECRET);
  assert.ok(secret);
  const { [file]: _gone, ...data } = secret.data as Record<string, string>;
  cluster.kube.set({ ...secret, data });
}

async function pass(cluster: FakeCluster, seconds: number): Promise<void> {
  for (let second = 0; second < seconds; second += 1) {
    await cluster.reconcile();
    cluster.tick();
  }
}

describe("a cluster whose manifest says nothing of access", () => {
  it("lets everybody read, write and look, and asks for the administrator's token to be changed", async () => {
    const cluster = new FakeCluster();
    await cluster.reconcile();
    const admin = fileIn(cluster, "admin-token");
    assert.match(admin ?? "", /^[A-Za-z0-9_-]{43}$/);
    assert.deepEqual(grantIn(cluster, admin), {
      name: "annulus.admin",
      data: "none",
      cluster: "admin",
      prefixes: undefined,
    });
    await cluster.until("settled", () => cluster.isSettled());
    assert.deepEqual(asking(cluster), [true, true, true]);
    assert.equal(setting(cluster, "ANNULUS_ANONYMOUS_DATA"), "read-write");
    assert.equal(setting(cluster, "ANNULUS_ANONYMOUS_CLUSTER"), "monitor");
    cluster.edit({ weights: { default: 100, byZone: {}, byNode: { "sessions-0": 200 } } });
    await cluster.until("weighed", () => cluster.isSettled() && cluster.nodes.ring?.members[0]?.weight === 200);
    assert.deepEqual(cluster.nodes.turnedAway, []);
    assert.equal(fileIn(cluster, "admin-token"), admin);
  });

  it("has the tokens in one Secret, and nowhere else: no other object, event, status or log", async () => {
    const cluster = await settled();
    const secrets = ["admin-token", "admin-token.next"].map((file) => fileIn(cluster, file) ?? "");
    deleteFile(cluster, "admin-token");
    await pass(cluster, 3);
    secrets.push(fileIn(cluster, "admin-token.next") ?? "");
    assert.equal(new Set(secrets).size, 3);
    const others = [...cluster.kube.objects.values()].filter(({ metadata }) => metadata.name !== SECRET);
    assert.ok(others.some(({ kind }) => kind === "Event") && cluster.logged.some((line) => line.includes("tokens")));
    const told = [...cluster.logged, ...others.map((object) => JSON.stringify(object))].join("\n");
    for (const secret of secrets) {
      assert.ok(secret.length > 0 && !told.includes(secret));
      assert.ok(!told.includes(Buffer.from(secret).toString("base64")));
    }
  });

  it("gets its Secret whole when the operator was killed anywhere while it made it", async () => {
    for (let calls = 0; ; calls += 1) {
      const cluster = new FakeCluster();
      const wasKilled = await cluster.reconcile(calls);
      const before = fileIn(cluster, "admin-token");
      await cluster.reconcile();
      assert.equal(grantIn(cluster, fileIn(cluster, "admin-token"))?.cluster, "admin");
      if (before !== undefined) assert.equal(fileIn(cluster, "admin-token"), before);
      if (!wasKilled) break;
    }
  });
});

describe("the administrator's token", () => {
  it("is another once it was deleted, which all nodes know already: no request is turned away, no pod restarted", async () => {
    const cluster = await settled();
    const [before, next] = [fileIn(cluster, "admin-token"), fileIn(cluster, "admin-token.next")];
    const pods = uidsOf(cluster);
    deleteFile(cluster, "admin-token");
    cluster.edit({ weights: { default: 100, byZone: {}, byNode: { "sessions-1": 50 } } });
    await pass(cluster, 90);
    assert.equal(fileIn(cluster, "admin-token"), next);
    assert.ok(![before, next].includes(fileIn(cluster, "admin-token.next")));
    assert.equal(grantIn(cluster, before), undefined);
    assert.equal(cluster.nodes.ring?.members[1]?.weight, 50);
    assert.deepEqual(cluster.nodes.turnedAway, []);
    assert.deepEqual(uidsOf(cluster), pods);
  });

  it.each([
    ["admin-token", [{ ...SHOP_TOKEN }]],
    ["admin-token.next", []],
  ])(
    "does not come back when it is taken away while the operator looks at the cluster, though much else changed (%s)",
    async (file, tokens) => {
      const cluster = await settled();
      cluster.edit({ access: { tokens } });
      await cluster.until("settled", () => cluster.isSettled());
      const leaked = fileIn(cluster, file);
      if (file === "admin-token") putSecret(cluster, "shop-token", SHOP);
      else deleteFile(cluster, "admin-token");
      // It has read the Secret, and now waits for a node.
      const ask = cluster.nodes.ask.bind(cluster.nodes);
      let isAsked = false;
      cluster.nodes.ask = async (target) => {
        if (!isAsked) deleteFile(cluster, file);
        isAsked = true;
        return ask(target);
      };
      await assert.rejects(cluster.reconcile(), { name: "KubeError", failure: "conflict" });
      assert.ok(isAsked && fileIn(cluster, file) === undefined);
      await pass(cluster, 3);
      for (const present of ["admin-token", "admin-token.next"])
        assert.match(fileIn(cluster, present) ?? "", /^[A-Za-z0-9_-]{43}$/);
      assert.notEqual(fileIn(cluster, file), leaked);
      assert.equal(grantIn(cluster, leaked), undefined);
    },
  );

  it("stays when only the next one is lost, or is no token any more", async () => {
    const cluster = await settled();
    const admin = fileIn(cluster, "admin-token");
    deleteFile(cluster, "admin-token.next");
    await cluster.reconcile();
    const secret = cluster.kube.find("Secret", SECRET);
    assert.ok(secret);
    cluster.kube.set({ ...secret, data: { ...(secret.data as object), "admin-token.next": "" } });
    await cluster.reconcile();
    assert.equal(fileIn(cluster, "admin-token"), admin);
    assert.match(fileIn(cluster, "admin-token.next") ?? "", /^[A-Za-z0-9_-]{43}$/);
  });

  it("is asked for in vain until the kubelets have brought the new one when the whole Secret was lost, and then works", async () => {
    const cluster = await settled();
    const secret = cluster.kube.find("Secret", SECRET);
    assert.ok(secret);
    cluster.kube.drop(secret);
    await pass(cluster, 30);
    assert.ok(cluster.nodes.turnedAway.length > 0);
    assert.equal(cluster.condition("Available").status, "Unknown");
    await pass(cluster, 60);
    await cluster.until("settled again", () => cluster.isSettled());
  });
});

describe("tokens that a manifest names", () => {
  const tokens = [
    { name: "shop", secret: { name: "shop-token" }, data: "read-write", prefixes: ["cart%2F"], cluster: "monitor" },
  ];

  it("are known to the nodes with their rights, and callers without one have none that the manifest does not give", async () => {
    const cluster = new FakeCluster({ access: { tokens } });
    putSecret(cluster, "shop-token", `${SHOP}\n`);
    await cluster.until("settled", () => cluster.isSettled());
    assert.equal(setting(cluster, "ANNULUS_ANONYMOUS_DATA"), "none");
    assert.equal(setting(cluster, "ANNULUS_ANONYMOUS_CLUSTER"), "none");
    const grant = grantIn(cluster, SHOP);
    assert.deepEqual(
      { ...grant, prefixes: grant?.prefixes?.map((prefix) => Buffer.from(prefix).toString()) },
      { name: "shop", data: "read-write", cluster: "monitor", prefixes: ["cart/"] },
    );
    assert.equal(cluster.condition("Degraded").status, "False");
    assert.deepEqual(cluster.nodes.turnedAway, []);
  });

  it("follow their Secrets: another text, none, one of another type; no pod is restarted, and what is left out is said", async () => {
    const cluster = await settled();
    cluster.edit({ access: { anonymous: { data: "read-write", cluster: "monitor" }, tokens } });
    const pods = uidsOf(cluster);
    const steps: [() => void, string | undefined, RegExp][] = [
      [() => undefined, undefined, /there is no Secret shop-token/],
      [() => putSecret(cluster, "shop-token", SHOP), SHOP, /^Every member/],
      [() => putSecret(cluster, "shop-token", OTHER), OTHER, /^Every member/],
      [() => putSecret(cluster, "shop-token", "letmein"), undefined, /token in the Secret shop-token is no token/],
      [() => putSecret(cluster, "shop-token", SHOP, "Opaque"), undefined, /is not of type annulus\.dev\/token/],
      [() => putSecret(cluster, "shop-token", fileIn(cluster, "admin-token") ?? ""), undefined, /^Every member/],
    ];
    for (const [change, known, told] of steps) {
      change();
      await cluster.reconcile();
      for (const text of [SHOP, OTHER, "letmein"])
        assert.equal(grantIn(cluster, text)?.name, text === known ? "shop" : undefined);
      assert.match(cluster.condition("Degraded").message, told);
    }
    assert.equal(grantIn(cluster, fileIn(cluster, "admin-token"))?.name, "annulus.admin");
    assert.deepEqual(uidsOf(cluster), pods);
  });

  it("are each known by one name and one text: of two that are alike the second is left out", async () => {
    const twice = [...tokens, { ...tokens[0], name: "copy" }, { ...tokens[0], secret: { name: "other-token" } }];
    const cluster = new FakeCluster({ access: { tokens: twice } });
    putSecret(cluster, "shop-token", SHOP);
    putSecret(cluster, "other-token", OTHER);
    await cluster.reconcile();
    assert.equal(grantIn(cluster, SHOP)?.name, "shop");
    assert.equal(grantIn(cluster, OTHER), undefined);
  });

  it("never make a file that the nodes refuse, whatever manifest the API server takes", () => {
    const prefix = fc.stringMatching(/^([A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2}){1,20}$/);
    const token = fc.record(
      {
        name: fc.stringMatching(/^[a-z0-9]([-a-z0-9]{0,8}[a-z0-9])?$/),
        secret: fc.record({ name: fc.constantFrom("one", "two", "three"), key: fc.constantFrom("a", "b") }),
        data: fc.constantFrom("none", "read", "read-write"),
        prefixes: fc.array(prefix, { minLength: 1, maxLength: 3 }),
        cluster: fc.constantFrom("none", "monitor", "admin"),
      },
      { requiredKeys: ["name", "secret"] },
    );
    const text = fc.oneof(fc.constantFrom(SHOP, OTHER, `${SHOP}\n`), fc.string({ minLength: 30, maxLength: 60 }));
    const secrets = fc.dictionary(
      fc.constantFrom("one", "two", "three"),
      fc.dictionary(fc.constantFrom("a", "b"), text),
    );
    let taken = 0;
    fc.assert(
      fc.property(fc.array(token, { maxLength: 6 }), secrets, (tokensOf, texts) => {
        const plain = manifest({ access: { tokens: tokensOf } });
        const parsed = parseCluster({ ...plain, metadata: { ...plain.metadata, uid: "u" } }, PRESETS);
        assert.ok(parsed.ok);
        const { cluster } = parsed;
        if (brokenRules({ name: NAME, spec: cluster.spec }).length > 0) return;
        const tokenSecrets = new Map(
          Object.entries(texts).map(([name, files]): [string, KubeObject] => {
            const data = Object.entries(files).map(([key, value]) => [key, Buffer.from(value).toString("base64")]);
            const type = "annulus.dev/token";
            return [
              name,
              { apiVersion: "v1", kind: "Secret", metadata: { name }, type, data: Object.fromEntries(data) },
            ];
          }),
        );
        const world = { cluster, tokenSecrets } as unknown as Parameters<typeof accessSecret>[0];
        const secret = accessSecret(world, { admin: `${SHOP}-admin`, next: `${SHOP}-next` });
        taken += parseTokens(fileOf(secret, "tokens.json") ?? "").length - 2;
      }),
      { numRuns: 500, seed: 7 },
    );
    assert.ok(taken > 50, `${taken} tokens were taken`);
  });
});

describe("the way of a running cluster", () => {
  /** As an operator left it that knew no tokens, with nodes of a release that knows none either. */
  async function earlier(): Promise<FakeCluster> {
    const cluster = await settled({ image: "annulus:old", access: { mode: "open" } });
    cluster.edit({ access: undefined });
    return cluster;
  }

  const startOf = (cluster: FakeCluster) =>
    cluster.pods.map((pod) => `${textAt(pod, "spec", "image")} ${readPod(pod, NAME)?.asksForToken ? "asks" : "open"}`);

  it("waits for a release that knows tokens, and says so", async () => {
    const cluster = await earlier();
    const pods = uidsOf(cluster);
    await pass(cluster, 60);
    assert.equal(cluster.condition("Progressing").reason, "TokensHeld");
    assert.match(cluster.condition("Progressing").message, /take a newer image, or say access\.mode open/);
    assert.equal(cluster.condition("Available").status, "True");
    assert.equal(cluster.kube.find("Secret", SECRET), undefined);
    assert.deepEqual(uidsOf(cluster), pods);
  });

  it("to tokens takes the new image first and then another roll: no request is turned away, and every node starts", async () => {
    const cluster = await earlier();
    cluster.edit({ image: "annulus:good", weights: { default: 50 } });
    const met = new Set<string>();
    await cluster.until(
      "all ask for tokens",
      () => {
        met.add([...new Set(startOf(cluster))].sort().join(", "));
        for (const pod of cluster.pods)
          assert.notEqual(readPod(pod, NAME)?.trouble, "CrashLoopBackOff", startOf(cluster).join(", "));
        return cluster.isSettled() && asking(cluster).every((asks) => asks === true);
      },
      600,
    );
    assert.ok(met.has("annulus:good open"), [...met].join("; "));
    assert.ok(met.has("annulus:good asks, annulus:good open"), [...met].join("; "));
    assert.ok(![...met].some((starts) => starts.includes("old asks")));
    assert.deepEqual(cluster.nodes.turnedAway, []);
    assert.ok(cluster.nodes.ring?.members.every(({ weight }) => weight === 50));
  });

  it("to tokens and at once to a release that knows none keeps to what that release can start with", async () => {
    const cluster = await settled({ access: { mode: "open" } });
    cluster.edit({ access: undefined, image: "annulus:old" });
    await cluster.until("held", () => cluster.condition("Progressing").reason === "TokensHeld", 600);
    assert.deepEqual(new Set(startOf(cluster)), new Set(["annulus:old open"]));
  });

  it("to tokens waits for the word of every node", async () => {
    const cluster = await settled({ access: { mode: "open" } });
    cluster.nodes.unreachable.add(`${NAME}-1`);
    cluster.edit({ access: undefined });
    await pass(cluster, 60);
    assert.deepEqual(asking(cluster), [false, false, false]);
    cluster.nodes.unreachable.clear();
    await cluster.until("all ask for tokens", () => asking(cluster).every((asks) => asks === true), 600);
  });

  it("back to open, which a release that knows no tokens needs, takes one roll", async () => {
    const cluster = await settled();
    cluster.edit({ access: { mode: "open" }, image: "annulus:old" });
    await cluster.until("open", () => cluster.isSettled() && asking(cluster).every((asks) => asks === false), 600);
    assert.deepEqual(cluster.nodes.turnedAway, []);
  });
});
