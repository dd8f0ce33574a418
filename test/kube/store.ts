/** A store in a namespace of its own, and a client beside it: what the tests of whole stores share. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import { INSTANCE_LABEL } from "../../operator/core/names.ts";
import { at, type KubeObject, listAt, numberAt, textAt } from "../../operator/core/objects.ts";
import { apply, get, helm, kubectl, list, makeNamespace, run, until } from "./kubectl.ts";

const ROOT = join(import.meta.dirname, "..", "..");
export const SYSTEM = "annulus-system";
export const NAME = "sessions";
export const TAG = process.env.ANNULUS_TEST_TAG ?? "test";

/** What no operator's log may have: a run that a bug ended, and a right that the chart does not give. */
const UNSOUND = /operator\.bug|cannot \w+ resource/;

/** Prints what a test has found. */
export function tell(what: string): void {
  process.stdout.write(`figure: ${what}\n`);
}

/** Prints how long something took. */
export function figure(what: string, seconds: number): void {
  tell(`${what}: ${seconds.toFixed(1)} s`);
}

/** Runs it, prints how long it took, and resolves with that, in seconds. */
export async function timed(what: string, run: () => Promise<unknown>): Promise<number> {
  const beganMs = performance.now();
  await run();
  const seconds = (performance.now() - beganMs) / 1000;
  figure(what, seconds);
  return seconds;
}

/** Status and reason of a condition. */
export function condition(object: KubeObject | undefined, type: string) {
  const found = listAt(object, "status", "conditions").find((one) => at(one, "type") === type);
  return { status: textAt(found, "status"), reason: textAt(found, "reason"), message: textAt(found, "message") };
}

/** The members' pods of a store. */
export function membersPods(namespace: string, name: string): Promise<KubeObject[]> {
  return list(namespace, "pods", "-l", `${INSTANCE_LABEL}=${name}`);
}

/** Waits until all that a store's spec asks for is done, every member is whole, and the status says so. */
export function settled(namespace: string, name: string, what: string, seconds: number): Promise<KubeObject> {
  return until(
    what,
    seconds,
    async () => {
      const found = await get(namespace, "kvc", name);
      const isCurrent = numberAt(found, "status", "observedGeneration") === found?.metadata.generation;
      const isCalm = condition(found, "Progressing").reason === "AsWanted";
      const isWhole = condition(found, "Degraded").status === "False";
      return isCurrent && isCalm && isWhole && condition(found, "Available").status === "True" ? found : undefined;
    },
    async () => {
      const told = await kubectl(["-n", namespace, "describe", "kvc", name]);
      return `${told}\n${await kubectl(["-n", namespace, "get", "pods,pvc", "-o", "wide"])}`;
    },
  );
}

export type Store = {
  readonly namespace: string;
  /** Namespaces, operator, KVCluster and client; resolves when the store is settled. */
  install(spec: Record<string, unknown>): Promise<void>;
  uninstall(): Promise<void>;
  cluster(): Promise<KubeObject | undefined>;
  /** The members' pods. */
  pods(): Promise<KubeObject[]>;
  untilSettled(what: string, seconds: number): Promise<KubeObject>;
  /**
   * Has the operator look, and the kubelets bring changed Secrets to the members, now and not within a minute or two: both do
   * so when what they look after changes.
   */
  hurry(): Promise<void>;
  /** Runs a script of Node.js in the client's pod: what it writes to standard output. */
  inPod(script: string): Promise<string>;
  put(key: string, value: string): Promise<void>;
  read(key: string): Promise<string>;
};

/** Makes the handle; nothing is there before `install`. */
export function createStore(namespace: string): Store {
  const cluster = () => get(namespace, "kvc", NAME);
  const pods = () => membersPods(namespace, NAME);
  const untilSettled = (what: string, seconds: number) => settled(namespace, NAME, what, seconds);
  const inPod = (script: string) => kubectl(["-n", namespace, "exec", "client", "--", "node", "-e", script]);

  return {
    namespace,
    cluster,
    pods,
    untilSettled,
    inPod,
    async install(spec) {
      await makeNamespace(namespace);
      await makeNamespace(SYSTEM);
      await timed("helm install to Available", async () => {
        const chart = join(ROOT, "charts", "annulus");
        const values = ["image.tag", "nodeImage.tag"].flatMap((name) => ["--set", `${name}=${TAG}`]);
        await helm("-n", SYSTEM, "install", "annulus", chart, ...values, "--take-ownership", "--wait", "--timeout=90s");
        const manifest = parse(readFileSync(join(ROOT, "docs", "examples", "smallest.yaml"), "utf8")) as KubeObject;
        const ran = await apply(
          { ...manifest, metadata: { name: NAME, namespace }, spec },
          idlePod(namespace, "client"),
        );
        assert.equal(ran.code, 0, ran.err);
        await untilSettled("available", 120);
      });
      await kubectl(["-n", namespace, "wait", "pod/client", "--for=condition=Ready", "--timeout=60s"]);
    },
    async uninstall() {
      const log = await run("kubectl", ["-n", SYSTEM, "logs", "deployment/annulus", "--tail=-1"]);
      await run("kubectl", ["-n", namespace, "delete", "kvc", "--all", "--wait=true", "--timeout=60s"]);
      await run("helm", ["-n", SYSTEM, "uninstall", "annulus"]);
      await kubectl(["delete", "namespace", namespace, SYSTEM, "--wait=false"]);
      assert.deepEqual(
        log.out.split("\n").filter((line) => UNSOUND.test(line)),
        [],
        "the operator met a bug, or was refused a right",
      );
    },
    async hurry() {
      const mark = `test/hurried=${Date.now()}`;
      await kubectl(["-n", namespace, "annotate", "kvc", NAME, mark, "--overwrite"]);
      await kubectl(["-n", namespace, "annotate", "pods", "-l", `${INSTANCE_LABEL}=${NAME}`, mark, "--overwrite"]);
    },
    async put(key, value) {
      const request = `fetch("http://${NAME}:7400/v1/kv/${key}", {method: "PUT", body: ${JSON.stringify(value)}})`;
      assert.equal((await inPod(`${request}.then((r) => console.log(r.status))`)).trim(), "204");
    },
    async read(key) {
      const request = `fetch("http://${NAME}:7400/v1/kv/${key}")`;
      return (await inPod(`${request}.then((r) => r.text()).then(console.log)`)).trim();
    },
  };
}

/** A pod with Node.js that waits to be given scripts, and is called by its name. */
export function idlePod(namespace: string, name: string, labels: Readonly<Record<string, string>> = {}): object {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace, labels },
    spec: {
      terminationGracePeriodSeconds: 1,
      automountServiceAccountToken: false,
      securityContext: { runAsNonRoot: true, runAsUser: 65_532, seccompProfile: { type: "RuntimeDefault" } },
      containers: [
        {
          name,
          image: `annulus:${TAG}`,
          command: ["node", "-e", "setInterval(() => {}, 1e6)"],
          securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ["ALL"] } },
        },
      ],
    },
  };
}
