import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "@jest/globals";
import { BACKUP_RULES } from "../../operator/api/backup-rules.ts";
import { backupDefinition, clusterDefinition, type Json } from "../../operator/api/crd.ts";
import { generatedFiles } from "../../operator/api/generate.ts";
import { parseBackup } from "../../operator/api/kvbackup.ts";
import { parseCluster } from "../../operator/api/kvcluster.ts";
import { readQuantity } from "../../operator/api/quantity.ts";
import { broken } from "../../operator/api/rule.ts";
import { brokenRules, OWNED_SETTINGS, RULES } from "../../operator/api/rules.ts";
import { listAt, textAt } from "../../operator/core/objects.ts";
import { podTemplate } from "../../operator/core/resources/pod-template.ts";
import { BACKUP_ALLOWED, BACKUP_BREACHES, backupManifest, ONTO_VOLUME } from "./backup-manifests.ts";
import { ALLOWED, BREACHES, manifest, PRESETS } from "./manifests.ts";

const ROOT = join(import.meta.dirname, "..", "..");

const PLAIN = { peers: false, data: false };

function subject(spec: Record<string, unknown>, name = "sessions") {
  const plain = manifest(spec, name);
  const parsed = parseCluster({ ...plain, metadata: { ...plain.metadata, uid: "u" } }, PRESETS);
  assert.ok(parsed.ok, `the schema alone refuses it: ${parsed.ok ? "" : parsed.problems.join("; ")}`);
  return { name, spec: parsed.cluster.spec };
}

function backupSubject(spec: Record<string, unknown>, name = "nightly") {
  const plain = backupManifest(spec, name);
  const parsed = parseBackup({ ...plain, metadata: { ...plain.metadata, uid: "u" } });
  assert.ok(parsed.ok, `the schema alone refuses it: ${parsed.ok ? "" : parsed.problems.join("; ")}`);
  return { name, spec: parsed.backup.spec };
}

describe("the KVBackup's schema", () => {
  it("fills every default in", () => {
    const { spec } = backupSubject({});
    const { cluster, destination, ...filled } = spec;
    assert.deepEqual({ cluster, destination }, ONTO_VOLUME);
    const limits = { timeoutSeconds: 86_400, retries: 6, startingDeadlineSeconds: 3_600 };
    assert.deepEqual(filled, { suspend: false, ...limits, resources: {} });
  });

  it("wants a cluster and a destination", () => {
    const bare = { ...backupManifest({}), spec: {} };
    const parsed = parseBackup({ ...bare, metadata: { ...bare.metadata, uid: "u" } });
    const missing = ["spec.cluster: ", "spec.destination: "];
    assert.ok(!parsed.ok && missing.every((path) => parsed.problems.some((problem) => problem.startsWith(path))));
  });

  it.each(BACKUP_BREACHES.map((breach) => [breach.what, breach] as const))("has a rule against %s", (_what, breach) => {
    const before = breach.before === undefined ? undefined : backupSubject(breach.before);
    const told = broken(BACKUP_RULES, backupSubject(breach.spec, breach.name), before);
    assert.equal(told.length, 1, `broken: ${told.join("; ")}`);
    assert.ok(told[0]?.includes(breach.message), told[0]);
  });

  it.each(BACKUP_ALLOWED.map((change) => [change.what, change] as const))("allows %s", (_what, change) => {
    assert.deepEqual(broken(BACKUP_RULES, backupSubject(change.before)), []);
    assert.deepEqual(broken(BACKUP_RULES, backupSubject(change.spec), backupSubject(change.before)), []);
  });

  it("has a breach in the table for each rule", () => {
    for (const rule of BACKUP_RULES)
      assert.ok(
        BACKUP_BREACHES.some(({ message }) => rule.message.includes(message)),
        rule.message,
      );
  });
});

describe("the KVCluster's schema", () => {
  it("leaves open whether the admin port speaks TLS: the operator's setting says it where the manifest does not", () => {
    const admin = (spec: Record<string, unknown>, adminTls: boolean) => {
      const plain = manifest(spec);
      const parsed = parseCluster({ ...plain, metadata: { ...plain.metadata, uid: "u" } }, { adminTls });
      assert.ok(parsed.ok);
      return parsed.cluster.spec.tls;
    };
    for (const adminTls of [true, false]) {
      for (const spec of [{}, { tls: {} }]) assert.deepEqual(admin(spec, adminTls), { ...PLAIN, admin: adminTls });
      assert.deepEqual(admin({ tls: { peers: true } }, adminTls), { ...PLAIN, peers: true, admin: adminTls });
      for (const said of [true, false])
        assert.deepEqual(admin({ tls: { admin: said } }, adminTls), { ...PLAIN, admin: said });
    }
    // A default in the definition would be written into every manifest that is applied, and outlast the setting.
    const [version] = DEFINITIONS[0]?.spec.versions ?? [];
    assert.ok(version);
    assert.ok(!/"admin":(true|false|\{"default")/.test(JSON.stringify(version)), "the definition has a default for it");
  });

  it("fills every default in", () => {
    const { spec } = subject({});
    assert.equal(spec.replicas, 3);
    assert.deepEqual(spec.quorum, { n: 3, r: 2, w: 2, mode: "sloppy" });
    assert.deepEqual(spec.zones, { topologyKey: "topology.kubernetes.io/zone" });
    assert.equal(spec.storage.size, "10Gi");
    assert.equal(spec.autoscaling, undefined);
  });

  it("says where an object does not fit it", () => {
    const parsed = parseCluster(manifest({ replicas: "three" }), PRESETS);
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

  it("lets config have no setting that the operator gives pods of whatever spec: it reads back how a pod was started", () => {
    const spec = { tls: { peers: true, admin: true, data: true }, access: { anonymous: { data: "read" } } };
    const parsed = parseCluster({ ...manifest(spec), metadata: { ...manifest().metadata, uid: "u" } }, PRESETS);
    assert.ok(parsed.ok);
    const policy = { nodeImage: "annulus:good", operatorNamespace: "annulus-system", ...PRESETS };
    const template = podTemplate(parsed.cluster, policy, { peerTls: "require", asksForToken: true });
    const names = listAt(template, "spec", "containers", 0, "env").map((one) => textAt(one, "name") ?? "");
    assert.ok(names.includes("ANNULUS_PEER_TLS") && names.includes("ANNULUS_ADMIN_TLS_CERTIFICATE_FILE"));
    assert.deepEqual(
      names.filter((name) => !OWNED_SETTINGS.includes(name)),
      [],
    );
  });

  it("knows all settings that the operator sets itself as settings of a node", async () => {
    const { Settings } = await import("../../node/config.ts");
    const { OTHER_NAMES } = await import("../../node/config-values.ts");
    for (const name of OWNED_SETTINGS) assert.ok(OTHER_NAMES.includes(name) || name in Settings.shape, name);
  });
});

type Definition = { spec: { versions: [{ schema: { openAPIV3Schema: Record<string, Json> } }] } };
const DEFINITIONS = [clusterDefinition(), backupDefinition()] as unknown as Definition[];

describe("the resource definitions", () => {
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
    for (const definition of DEFINITIONS) visit(definition.spec.versions[0].schema.openAPIV3Schema, "");
  });

  it("describes every field of the spec", () => {
    type Described = { description?: string; properties?: Record<string, Described> };
    const visit = (schema: Described, path: string) => {
      assert.ok(schema.description, `${path} has no description`);
      for (const [name, child] of Object.entries(schema.properties ?? {})) visit(child, `${path}.${name}`);
    };
    for (const definition of DEFINITIONS) {
      const { spec } = definition.spec.versions[0].schema.openAPIV3Schema.properties as unknown as { spec: Described };
      visit(spec, "spec");
    }
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
