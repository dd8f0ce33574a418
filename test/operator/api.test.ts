import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "@jest/globals";
import { customResourceDefinition, type Json } from "../../operator/api/crd.ts";
import { generatedFiles } from "../../operator/api/generate.ts";
import { parseCluster } from "../../operator/api/kvcluster.ts";
import { readQuantity } from "../../operator/api/quantity.ts";
import { brokenRules, OWNED_SETTINGS, RULES } from "../../operator/api/rules.ts";
import { ALLOWED, BREACHES, manifest } from "./manifests.ts";

const ROOT = join(import.meta.dirname, "..", "..");

function subject(spec: Record<string, unknown>, name = "sessions") {
  const plain = manifest(spec, name);
  const parsed = parseCluster({ ...plain, metadata: { ...plain.metadata, uid: "u" } });
  assert.ok(parsed.ok, `the schema alone refuses it: ${parsed.ok ? "" : parsed.problems.join("; ")}`);
  return { name, spec: parsed.cluster.spec };
}

describe("the KVCluster's schema", () => {
  it("fills every default in", () => {
    const { spec } = subject({});
    assert.equal(spec.replicas, 3);
    assert.deepEqual(spec.quorum, { n: 3, r: 2, w: 2, mode: "sloppy" });
    assert.deepEqual(spec.zones, { topologyKey: "topology.kubernetes.io/zone", minimum: 1 });
    assert.equal(spec.storage.size, "10Gi");
    assert.equal(spec.autoscaling, undefined);
  });

  it("says where an object does not fit it", () => {
    const parsed = parseCluster(manifest({ replicas: "three" }));
    assert.ok(!parsed.ok && parsed.problems.some((problem) => problem.startsWith("spec.replicas: ")));
  });

  it.each(BREACHES.map((breach) => [breach.what, breach] as const))("has a rule against %s", (_what, breach) => {
    const before = breach.before === undefined ? undefined : subject(breach.before);
    const broken = brokenRules(subject(breach.spec, breach.name), before);
    assert.equal(broken.length, 1, `broken: ${broken.join("; ")}`);
    assert.ok(broken[0]?.includes(breach.message), broken[0]);
  });

  it.each(ALLOWED.map((change) => [change.what, change] as const))("allows %s", (_what, change) => {
    assert.deepEqual(brokenRules(subject(change.before)), []);
    assert.deepEqual(brokenRules(subject(change.spec), subject(change.before)), []);
  });

  it("has a breach in this file's table for each rule", () => {
    const told = BREACHES.map(({ message }) => message);
    for (const rule of RULES)
      assert.ok(
        told.some((part) => rule.message.includes(part)),
        rule.message,
      );
  });

  it("knows all settings that the operator sets itself as settings of a node", async () => {
    const { Settings } = await import("../../node/config.ts");
    const { OTHER_NAMES } = await import("../../node/config-values.ts");
    for (const name of OWNED_SETTINGS) assert.ok(OTHER_NAMES.includes(name) || name in Settings.shape, name);
  });
});

describe("the resource definition", () => {
  it.each([...generatedFiles()])("%s is what the types give (npm run gen)", (path, text) => {
    assert.equal(readFileSync(join(ROOT, path), "utf8"), text);
  });

  it("is structural: nothing in it that the API server does not know", () => {
    const known = new Set(["type", "format", "description", "default", "properties", "additionalProperties", "items"]);
    for (const word of [
      "required",
      "enum",
      "minimum",
      "maximum",
      "minLength",
      "maxLength",
      "minItems",
      "maxItems",
      "pattern",
      "anyOf",
    ])
      known.add(word);
    known.add("maxProperties");
    const visit = (schema: Record<string, Json>, path: string) => {
      for (const key of Object.keys(schema))
        assert.ok(known.has(key) || key.startsWith("x-kubernetes-"), `${path}: ${key}`);
      const isEither = "x-kubernetes-int-or-string" in schema;
      assert.ok(isEither ? !("type" in schema) : typeof schema.type === "string", `${path} has not just one type`);
      const children = { ...(schema.properties as Record<string, Json>) };
      if (schema.items !== undefined) children["[]"] = schema.items;
      if (schema.additionalProperties !== undefined) children["{}"] = schema.additionalProperties;
      for (const [name, child] of Object.entries(children)) visit(child as Record<string, Json>, `${path}.${name}`);
    };
    const definition = customResourceDefinition() as unknown as {
      spec: { versions: [{ schema: { openAPIV3Schema: Record<string, Json> } }] };
    };
    visit(definition.spec.versions[0].schema.openAPIV3Schema, "");
  });

  it("describes every field of the spec", () => {
    const definition = customResourceDefinition() as never as {
      spec: { versions: [{ schema: { openAPIV3Schema: { properties: { spec: Described } } } }] };
    };
    type Described = { description?: string; properties?: Record<string, Described> };
    const visit = (schema: Described, path: string) => {
      assert.ok(schema.description, `${path} has no description`);
      for (const [name, child] of Object.entries(schema.properties ?? {})) visit(child, `${path}.${name}`);
    };
    visit(definition.spec.versions[0].schema.openAPIV3Schema.properties.spec, "spec");
  });
});

describe("readQuantity", () => {
  it.each([
    ["10Gi", 10 * 2 ** 30],
    ["500m", 0.5],
    ["1.5G", 1.5e9],
    ["7", 7],
    [3, 3],
  ])("reads %s", (text, expected) => assert.equal(readQuantity(text), expected));
  it.each(["", "Gi", "1Gb", "-1", undefined])("is undefined for %s", (text) =>
    assert.equal(readQuantity(text), undefined),
  );
});
