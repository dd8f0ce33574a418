/**
 * Who reaches which port: the metrics of every pod as Prometheus comes to them, through the cluster's network, and the
 * NetworkPolicy that the operator made, held against pods that are there. The rig enforces none, so its rules are read.
 */
import assert from "node:assert/strict";
import { afterAll, beforeAll, describe, it } from "@jest/globals";
import { ADMIN_PORT } from "../../operator/core/names.ts";
import { at, type KubeObject, listAt, textAt } from "../../operator/core/objects.ts";
import { type Answered, askFrom, authoritiesOf, domainOf } from "./admin-port.ts";
import { apply, get, kubectl, list, makeNamespace } from "./kubectl.ts";
import { admits, type Source } from "./network-policy.ts";
import { createStore, idlePod, NAME, SYSTEM, tell } from "./store.ts";

const NAMESPACE = "annulus-network";
const WATCHERS = "annulus-watchers";
const store = createStore(NAMESPACE);
const PORTS = ["data", "peer", "admin"] as const;

beforeAll(async () => {
  await store.install({ storage: { size: "1Gi" }, partitions: 64 });
  await makeNamespace(WATCHERS);
  const ran = await apply(
    idlePod(WATCHERS, "prometheus", { "app.kubernetes.io/name": "prometheus" }),
    idlePod(WATCHERS, "grafana", { "app.kubernetes.io/name": "grafana" }),
  );
  assert.equal(ran.code, 0, ran.err);
  await kubectl(["-n", WATCHERS, "wait", "pod", "--all", "--for=condition=Ready", "--timeout=120s"]);
});

afterAll(async () => {
  await kubectl(["delete", "namespace", WATCHERS, "--wait=false"]);
  await store.uninstall();
});

/** What a pod of another namespace is answered by the admin port of a member, held to the name that a ServiceMonitor says. */
async function scrape(host: string): Promise<Answered> {
  const inPod = (script: string) => kubectl(["-n", WATCHERS, "exec", "prometheus", "--", "node", "-e", script]);
  const servername = domainOf(NAMESPACE, NAME);
  return askFrom(inPod, `https://${host}:${ADMIN_PORT}/metrics`, {
    ca: await authoritiesOf(NAMESPACE, NAME),
    servername,
  });
}

/** A pod as a policy sees it. */
async function sourceOf(pod: KubeObject): Promise<Source> {
  const namespace = pod.metadata.namespace ?? "";
  const { metadata } = (await get("", "namespace", namespace)) ?? assert.fail(`there is no ${namespace}`);
  return { namespace, namespaceLabels: metadata.labels ?? {}, labels: pod.metadata.labels ?? {} };
}

const one = async (namespace: string, name: string) =>
  (await get(namespace, "pod", name)) ?? assert.fail(`there is no ${name}`);

describe("the metrics of a store", () => {
  it("are read by Prometheus in another namespace, from every pod's address and by its name", async () => {
    const pods = await store.pods();
    const families = new Set<string>();
    for (const pod of pods) {
      const names = [textAt(pod, "status", "podIP") ?? "", `${pod.metadata.name}.${domainOf(NAMESPACE, NAME)}`];
      for (const name of names) {
        const { status, type, text } = await scrape(name);
        assert.equal(status, 200);
        assert.match(type, /^text\/plain; version=0\.0\.4|^application\/openmetrics-text/);
        for (const line of text.split("\n").filter((each) => each !== ""))
          assert.match(line, /^# (?:HELP|TYPE|UNIT|EOF)|^[a-zA-Z_:][\w:]*(?:\{[^}]*\})? [-+.\deNaInf]+(?: \d+)?$/);
        assert.match(text, /^annulus_transport_links(?:\{[^}]*\})? 2$/m);
        for (const [, family = ""] of text.matchAll(/^# TYPE (\S+)/gm)) families.add(family);
      }
    }
    tell(`metrics: ${families.size} families from each of ${pods.length} pods, by address and by name`);
  });
});

describe("the NetworkPolicy of a store", () => {
  it("is for its members, and for nobody else", async () => {
    const policy = await get(NAMESPACE, "networkpolicy", NAME);
    assert.deepEqual(at(policy, "spec", "policyTypes"), ["Ingress"]);
    const labels = at(policy, "spec", "podSelector", "matchLabels") as Record<string, string>;
    const selector = Object.entries(labels).map(([key, value]) => `${key}=${value}`);
    const selected = await list(NAMESPACE, "pods", "-l", selector.join(","));
    const names = (pods: readonly KubeObject[]) => pods.map(({ metadata }) => metadata.name).sort();
    assert.deepEqual(names(selected), names(await store.pods()));
  });

  it("names ports that every member has", async () => {
    for (const pod of await store.pods()) {
      const ports = listAt(pod, "spec", "containers", 0, "ports").map((port) => textAt(port, "name"));
      assert.deepEqual(ports.sort(), [...PORTS].sort());
    }
  });

  it("lets anybody to the data port, members to the peer port, and members, operator and Prometheus to the admin port", async () => {
    const [member] = await store.pods();
    assert.ok(member !== undefined);
    const [operator] = await list(SYSTEM, "pods", "-l", "app.kubernetes.io/name=annulus-operator");
    assert.ok(operator !== undefined);
    const client = await sourceOf(await one(NAMESPACE, "client"));
    const ofOperator = await sourceOf(operator);
    const ofMember = await sourceOf(member);
    const watcher = await sourceOf(await one(WATCHERS, "grafana"));
    const callers: [string, Source, readonly string[]][] = [
      ["a member", ofMember, ["data", "peer", "admin"]],
      ["the operator", ofOperator, ["data", "admin"]],
      ["Prometheus", await sourceOf(await one(WATCHERS, "prometheus")), ["data", "admin"]],
      ["a client in the same namespace", client, ["data"]],
      ["another pod of another namespace", watcher, ["data"]],
      // Labels are anybody's to set; a namespace is not.
      ["who bears the operator's labels elsewhere", { ...watcher, labels: ofOperator.labels }, ["data"]],
      ["who bears a member's labels elsewhere", { ...watcher, labels: ofMember.labels }, ["data"]],
    ];
    const policy = await get(NAMESPACE, "networkpolicy", NAME);
    for (const [who, source, wanted] of callers) {
      const reached = PORTS.filter((port) => admits(policy, source, port));
      assert.deepEqual(reached, wanted, who);
      tell(`NetworkPolicy: ${who} may reach ${reached.join(", ")}`);
    }
  });
});
