/**
 * What an API server makes of what is applied: quantities in their canonical form, nothing of what is empty, and besides it
 * what admission webhooks and people add. None of it is a difference that is never settled.
 */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { readQuantity } from "../../operator/api/quantity.ts";
import { at, isApplied, type KubeObject, numberAt, textAt } from "../../operator/core/objects.ts";
import { FakeCluster, NAME, settled } from "./fake-cluster.ts";

type Fields = Record<string, unknown>;
type Change = (object: KubeObject) => KubeObject;

const CANONICAL: Readonly<Record<string, string>> = {
  "1000m": "1",
  "0.5": "500m",
  "0.7": "700m",
  "1024Mi": "1Gi",
  "1.5Gi": "1536Mi",
  "1000M": "1G",
  "2e9": "2G",
};

/** As Go writes a typed object: what is empty is left out, and quantities are written in one way. */
function asGoWrites(value: unknown, key = ""): unknown {
  if (Array.isArray(value)) return value.map((item) => asGoWrites(item));
  if (typeof value !== "object" || value === null) return value;
  const isQuantities = key === "requests" || key === "limits";
  const parts = Object.entries(value).map(([name, part]) => [
    name,
    isQuantities ? (CANONICAL[String(part)] ?? part) : asGoWrites(part, name),
  ]);
  const isEmpty = (part: unknown) => part === "" || (typeof part === "object" && JSON.stringify(part) === "{}");
  return Object.fromEntries(parts.filter(([name, part]) => !isEmpty(part) || name === "namespaceSelector"));
}

/** Whatever StatefulSet is stored passes through `change`, each time that one is applied. */
function meddle(cluster: FakeCluster, change: Change): void {
  const apply = cluster.kube.apply.bind(cluster.kube);
  cluster.kube.apply = async (resource, object, options) => {
    const before = cluster.kube.find(object.kind, object.metadata.name);
    await apply(resource, object, options);
    const found = cluster.kube.find(object.kind, object.metadata.name);
    if (object.kind !== "StatefulSet" || found === undefined) return;
    const changed = change(found);
    const isNew = JSON.stringify(changed.spec) !== JSON.stringify(before?.spec);
    cluster.kube.set(changed, { newGeneration: isNew });
  };
}

const generationOf = (cluster: FakeCluster) =>
  numberAt(cluster.kube.find("StatefulSet", NAME), "metadata", "generation");

async function restsWith(spec: Fields, change: Change): Promise<FakeCluster> {
  const cluster = new FakeCluster(spec);
  meddle(cluster, change);
  await cluster.until("settled", () => cluster.isSettled());
  const before = generationOf(cluster);
  for (let run = 0; run < 3; run += 1) await cluster.reconcile();
  assert.equal(generationOf(cluster), before);
  assert.equal(cluster.condition("Progressing").reason, "AsWanted");
  return cluster;
}

describe("a cluster on an API server that writes objects its own way", () => {
  it.each([
    ["requests in other words", { requests: { cpu: "1000m", memory: "1024Mi" } }],
    ["requests with fractions", { requests: { cpu: "0.5", memory: "1.5Gi" }, limits: { cpu: "0.7", memory: "2e9" } }],
    ["limits and no requests", { limits: { cpu: "2", memory: "2Gi" } }],
    ["limits that name nothing", { limits: {} }],
  ])("comes to rest with %s", async (_what, resources) => {
    await restsWith({ resources }, (set) => asGoWrites(set) as KubeObject);
  });

  it("comes to rest with a setting that is empty", async () => {
    await restsWith({ config: { OTEL_RESOURCE_ATTRIBUTES: "" } }, (set) => asGoWrites(set) as KubeObject);
  });
});

const withContainers = (set: KubeObject, change: (containers: Fields[]) => Fields[]): KubeObject => {
  const template = at(set, "spec", "template") as { spec: { containers: Fields[] } };
  const spec = { ...template.spec, containers: change(template.spec.containers) };
  return { ...set, spec: { ...(set.spec as Fields), template: { ...template, spec } } };
};

describe("a StatefulSet to which others add", () => {
  it("is as wanted beside a variable and a container that a person or a webhook put there", async () => {
    await restsWith({}, (set) =>
      withContainers(set, ([node, ...others]) => {
        const env = [{ name: "HTTP_PROXY", value: "x" }, ...((node?.env ?? []) as Fields[])];
        return [
          { name: "agent", image: "agent" },
          { ...node, env: [...new Map(env.map((one) => [one.name, one])).values()] },
          ...others.filter(({ name }) => name !== "node" && name !== "agent"),
        ];
      }),
    );
  });

  it("is applied again where a variable of ours was changed or taken away", async () => {
    const cluster = await settled();
    const set = cluster.kube.find("StatefulSet", NAME) as KubeObject;
    const wanted = set;
    const env = (change: (env: Fields[]) => Fields[]) =>
      withContainers(set, ([node]) => [{ ...node, env: change(node?.env as Fields[]) }]);
    assert.ok(
      isApplied(
        wanted,
        env((list) => [{ name: "A" }, ...list]),
      ),
    );
    assert.ok(
      !isApplied(
        wanted,
        env((list) => list.slice(1)),
      ),
    );
    assert.ok(
      !isApplied(
        wanted,
        env(([first, ...list]) => [{ ...first, value: "other", valueFrom: undefined }, ...list]),
      ),
    );
  });

  it("that is changed back each time is told as such, and nothing waits for it", async () => {
    const mirror: Change = (set) =>
      withContainers(set, ([node, ...others]) => [{ ...node, image: "mirror/annulus:good" }, ...others]);
    const cluster = new FakeCluster();
    meddle(cluster, mirror);
    await cluster.until("told", () => cluster.condition("Progressing").reason === "Overruled");
    assert.match(cluster.condition("Degraded").message, /StatefulSet sessions/);
    cluster.edit({ replicas: 4 });
    await cluster.until("grown", () => cluster.members.length === 4 && cluster.nodes.running === undefined);
    await cluster.until("told again", () => cluster.condition("Progressing").reason === "Overruled");
    assert.equal(cluster.condition("Progressing").status, "False");
    assert.equal(textAt(cluster.kube.find("Pod", "sessions-3"), "spec", "image"), "mirror/annulus:good");
  });
});

describe("quantities", () => {
  it.each(Object.entries(CANONICAL))("%s is %s", (text, canonical) => {
    assert.ok(Math.abs((readQuantity(text) as number) / (readQuantity(canonical) as number) - 1) < 1e-9);
  });
});
