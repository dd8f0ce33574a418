/**
 * A store on a real Kubernetes, from `helm install` to its end, as a user has it. Figures are printed.
 *
 * Images are loaded before (`annulus:test`, `annulus-operator:test`, see test/README.md). The steps build on each other.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, it } from "@jest/globals";
import { parse } from "yaml";
import { at, type KubeObject, listAt, numberAt, textAt } from "../../operator/core/objects.ts";
import { apply, get, helm, kubectl, list, makeNamespace, run, until } from "./kubectl.ts";

const ROOT = join(import.meta.dirname, "..", "..");
const SYSTEM = "annulus-system";
const NAMESPACE = "annulus-store";
const NAME = "sessions";
const TAG = process.env.ANNULUS_TEST_TAG ?? "test";

function figure(what: string, seconds: number): void {
  process.stdout.write(`figure: ${what}: ${seconds.toFixed(1)} s\n`);
}

async function timed(what: string, run: () => Promise<unknown>): Promise<number> {
  const beganMs = performance.now();
  await run();
  const seconds = (performance.now() - beganMs) / 1000;
  figure(what, seconds);
  return seconds;
}

const cluster = () => get(NAMESPACE, "kvc", NAME);

function condition(object: KubeObject | undefined, type: string) {
  const found = listAt(object, "status", "conditions").find((one) => at(one, "type") === type);
  return { status: textAt(found, "status"), reason: textAt(found, "reason") };
}

async function untilSettled(what: string, seconds: number): Promise<KubeObject> {
  return until(
    what,
    seconds,
    async () => {
      const found = await cluster();
      const isCurrent = numberAt(found, "status", "observedGeneration") === found?.metadata.generation;
      const isCalm = condition(found, "Progressing").reason === "AsWanted";
      return isCurrent && isCalm && condition(found, "Available").status === "True" ? found : undefined;
    },
    async () =>
      `${await kubectl(["-n", NAMESPACE, "describe", "kvc", NAME])}\n${await kubectl(["-n", NAMESPACE, "get", "pods", "-o", "wide"])}`,
  );
}

/** Runs a script of Node.js in the client's pod: what it writes to standard output. */
async function inPod(script: string): Promise<string> {
  return kubectl(["-n", NAMESPACE, "exec", "client", "--", "node", "-e", script]);
}

async function put(key: string, value: string): Promise<void> {
  const out = await inPod(
    `fetch("http://${NAME}:7400/v1/kv/${key}", {method: "PUT", body: ${JSON.stringify(value)}}).then((r) => console.log(r.status))`,
  );
  assert.equal(out.trim(), "204");
}

async function read(key: string): Promise<string> {
  return (await inPod(`fetch("http://${NAME}:7400/v1/kv/${key}").then((r) => r.text()).then(console.log)`)).trim();
}

function clientPod(): object {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "client", namespace: NAMESPACE },
    spec: {
      terminationGracePeriodSeconds: 1,
      automountServiceAccountToken: false,
      securityContext: { runAsNonRoot: true, runAsUser: 65_532, seccompProfile: { type: "RuntimeDefault" } },
      containers: [
        {
          name: "client",
          image: `annulus:${TAG}`,
          command: ["node", "-e", "setInterval(() => {}, 1e6)"],
          securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ["ALL"] } },
        },
      ],
    },
  };
}

beforeAll(async () => {
  await makeNamespace(NAMESPACE);
  await makeNamespace(SYSTEM);
});

afterAll(async () => {
  await run("kubectl", ["-n", NAMESPACE, "delete", "kvc", "--all", "--wait=true", "--timeout=60s"]);
  await run("helm", ["-n", SYSTEM, "uninstall", "annulus"]);
  await kubectl(["delete", "namespace", NAMESPACE, SYSTEM, "--wait=false"]);
});

describe("a store on Kubernetes", () => {
  it("is available within 120 s of helm install, in a namespace that enforces the restricted standard", async () => {
    const seconds = await timed("helm install to Available", async () => {
      const chart = join(ROOT, "charts", "annulus");
      const values = ["image.tag", "nodeImage.tag"].flatMap((name) => ["--set", `${name}=${TAG}`]);
      await helm("-n", SYSTEM, "install", "annulus", chart, ...values, "--take-ownership", "--wait", "--timeout=90s");
      const manifest = parse(readFileSync(join(ROOT, "docs", "examples", "smallest.yaml"), "utf8")) as KubeObject;
      const spec = { storage: { size: "1Gi" }, partitions: 64 };
      const metadata = { ...manifest.metadata, name: NAME, namespace: NAMESPACE };
      const ran = await apply({ ...manifest, metadata, spec }, clientPod());
      assert.equal(ran.code, 0, ran.err);
      await untilSettled("available", 120);
    });
    assert.ok(seconds < 120, `${seconds} s`);
    const found = await cluster();
    assert.equal(condition(found, "ZonesBalanced").status, "True");
    assert.equal(listAt(found, "status", "members").length, 3);
    await kubectl(["-n", NAMESPACE, "wait", "pod/client", "--for=condition=Ready", "--timeout=60s"]);
  });

  it("stores and reads through its Service", async () => {
    await put("greeting", "hello");
    assert.equal(await read("greeting"), "hello");
  });

  it("is told in one line by kubectl get kvc", async () => {
    const line = (await kubectl(["-n", NAMESPACE, "get", "kvc", NAME, "--no-headers"])).trim().split(/\s{2,}/);
    assert.deepEqual(line.slice(0, 5), [NAME, "3", "3", "1", "Available"]);
  });

  it("is left in peace when nothing changes: no object is written again", async () => {
    const versions = async () => {
      const kinds = "statefulset,service,configmap,pdb,networkpolicy,serviceaccount,kvc";
      return (await list(NAMESPACE, kinds)).map(
        ({ kind, metadata }) => `${kind}/${metadata.name} ${metadata.resourceVersion}`,
      );
    };
    const before = await versions();
    await new Promise((resolve) => setTimeout(resolve, 35_000));
    assert.deepEqual(await versions(), before);
  });

  it("goes on without the operator, which takes up its work again when it is back", async () => {
    await kubectl([
      "-n",
      SYSTEM,
      "delete",
      "pod",
      "-l",
      "app.kubernetes.io/name=annulus-operator",
      "--grace-period=0",
      "--force",
    ]);
    await put("while-away", "written");
    assert.equal(await read("while-away"), "written");
    await kubectl(["-n", SYSTEM, "rollout", "status", "deployment/annulus", "--timeout=60s"]);
    await kubectl(["-n", NAMESPACE, "label", "kvc", NAME, "touched=yes"]);
    await kubectl(["-n", NAMESPACE, "delete", "pdb", NAME]);
    await timed("a deleted budget made again after the operator was killed", () =>
      until("the budget is there", 60, async () => get(NAMESPACE, "pdb", NAME)),
    );
  });

  it("has a deleted pod back, with its data", async () => {
    await kubectl(["-n", NAMESPACE, "delete", "pod", `${NAME}-1`]);
    await timed("pod deleted to settled", () => untilSettled("the pod is back", 120));
    assert.equal(await read("greeting"), "hello");
  });

  it("rolls a new setting out pod by pod, serving all the while", async () => {
    const uids = async () =>
      (await list(NAMESPACE, "pods"))
        .filter(({ metadata }) => metadata.name !== "client")
        .map(({ metadata }) => metadata.uid);
    const before = new Set(await uids());
    await kubectl([
      "-n",
      NAMESPACE,
      "patch",
      "kvc",
      NAME,
      "--type=merge",
      "-p",
      JSON.stringify({ spec: { config: { ANNULUS_TIMEOUT_MS: "900" } } }),
    ]);
    let reads = 0;
    await timed("rolling change of three pods", () =>
      until("rolled", 400, async () => {
        assert.equal(await read("greeting"), "hello");
        reads += 1;
        const renewed = (await uids()).filter((uid) => !before.has(uid)).length;
        return renewed === 3 && condition(await cluster(), "Progressing").reason === "AsWanted";
      }),
    );
    assert.ok(reads > 3);
  });

  it("stops a bad image at the first pod, says so, and is healed by putting the spec back", async () => {
    await kubectl([
      "-n",
      NAMESPACE,
      "patch",
      "kvc",
      NAME,
      "--type=merge",
      "-p",
      '{"spec": {"image": "annulus:none-such"}}',
    ]);
    await until("told as degraded", 180, async () => condition(await cluster(), "Degraded").reason === "RollingStuck");
    assert.equal(await read("greeting"), "hello");
    assert.equal(condition(await cluster(), "Available").status, "True");
    await kubectl([
      "-n",
      NAMESPACE,
      "patch",
      "kvc",
      NAME,
      "--type=json",
      "-p",
      '[{"op": "remove", "path": "/spec/image"}]',
    ]);
    await timed("bad image undone to settled", () => untilSettled("healed", 180));
  });

  it("shows no warning of a refused right: the chart's role is enough", async () => {
    const log = await kubectl(["-n", SYSTEM, "logs", "deployment/annulus", "--tail=-1"]);
    assert.ok(
      !/forbidden/i.test(log),
      log
        .split("\n")
        .filter((line) => /forbidden/i.test(line))
        .join("\n"),
    );
  });

  it("takes all that it owns with it, and keeps the volumes", async () => {
    await kubectl(["-n", NAMESPACE, "delete", "kvc", NAME]);
    await timed("deleted to gone", () =>
      until("nothing is left", 120, async () => {
        const left = await list(NAMESPACE, "statefulset,service,pdb,networkpolicy,pods");
        return left.every(({ metadata }) => metadata.name === "client");
      }),
    );
    assert.equal((await list(NAMESPACE, "pvc")).length, 3);
  });
});
