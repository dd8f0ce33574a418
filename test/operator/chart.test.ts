/** The chart and the examples, as far as they can be judged without Helm and a cluster. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "@jest/globals";
import { parse, parseAllDocuments } from "yaml";
import { BACKUP_RULES } from "../../operator/api/backup-rules.ts";
import { parseBackup } from "../../operator/api/kvbackup.ts";
import { parseCluster } from "../../operator/api/kvcluster.ts";
import { broken } from "../../operator/api/rule.ts";
import { brokenRules } from "../../operator/api/rules.ts";
import { loadOperatorConfig, OperatorSettings } from "../../operator/config.ts";
import type { KubeObject } from "../../operator/core/objects.ts";
import { plainTemplate } from "./chart-template.ts";

const ROOT = join(import.meta.dirname, "..", "..");
const text = (...path: string[]) => readFileSync(join(ROOT, ...path), "utf8");

describe("the chart's deployment", () => {
  it("gives the operator settings that it takes, all of them", () => {
    const [deployment] = plainTemplate("deployment.yaml") as [
      { spec: { template: { spec: { containers: [{ env: { name: string }[] }] } } } },
    ];
    const names = deployment.spec.template.spec.containers[0].env.map(({ name }) => name);
    const known = Object.keys(OperatorSettings.unwrap().shape).filter((name) => name !== "ANNULUS_OPERATOR_PORT");
    assert.deepEqual([...names].sort(), known.sort());
  });

  it("is refused by the operator when a name is wrong or missing", () => {
    assert.throws(() => loadOperatorConfig({}), /ANNULUS_OPERATOR_NAMESPACE/);
    const right = { ANNULUS_OPERATOR_NAMESPACE: "x", ANNULUS_OPERATOR_IDENTITY: "y", ANNULUS_OPERATOR_NODE_IMAGE: "z" };
    assert.equal(loadOperatorConfig({ ...right, ANNULUS_NODE: "n" }).ANNULUS_OPERATOR_PORT, 8080);
    assert.throws(() => loadOperatorConfig({ ...right, ANNULUS_OPERATOR_PROT: "1" }), /ANNULUS_OPERATOR_PROT/);
  });
});

describe("whether admin ports speak TLS where a KVCluster does not say", () => {
  const right = { ANNULUS_OPERATOR_NAMESPACE: "x", ANNULUS_OPERATOR_IDENTITY: "y", ANNULUS_OPERATOR_NODE_IMAGE: "z" };
  const set = (value: string) =>
    loadOperatorConfig({ ...right, ANNULUS_OPERATOR_ADMIN_TLS: value }).ANNULUS_OPERATOR_ADMIN_TLS;

  it("is a value of the chart, and yes unless it is changed, with the chart and without it", () => {
    const values = parse(text("charts", "annulus", "values.yaml")) as { clusters: { adminTls: boolean } };
    assert.equal(values.clusters.adminTls, true);
    const setting = /ANNULUS_OPERATOR_ADMIN_TLS\n\s+value: \{\{ include "annulus\.adminTls" \. \| quote \}\}\n/;
    assert.match(text("charts", "annulus", "templates", "deployment.yaml"), setting);
    const helper =
      /define "annulus\.adminTls" -\}\}\n\{\{- dig "adminTls" true \(\.Values\.clusters \| default dict\) \}\}\n/;
    assert.match(text("charts", "annulus", "templates", "_helpers.tpl"), helper);
    assert.equal(loadOperatorConfig(right).ANNULUS_OPERATOR_ADMIN_TLS, true);
  });

  it("is taken as Helm writes it, and no other word for it", () => {
    assert.deepEqual([set("true"), set("false")], [true, false]);
    for (const value of ["", "no", "0", "True"]) assert.throws(() => set(value), /ANNULUS_OPERATOR_ADMIN_TLS/);
  });
});

describe("the chart's values", () => {
  it("are all named in their schema, which lets no other in", () => {
    const values = parse(text("charts", "annulus", "values.yaml")) as object;
    const schema = JSON.parse(text("charts", "annulus", "values.schema.json")) as { properties: object };
    for (const name of Object.keys(values)) assert.ok(name in schema.properties, name);
  });
});

describe("the chart's resource definitions", () => {
  it("are all that there are, one document each", () => {
    const template = text("charts", "annulus", "templates", "crd.yaml");
    const included = [...template.matchAll(/\.Files\.Get "files\/(\w+\.yaml)"/g)].map(([, file]) => file);
    const made = readdirSync(join(ROOT, "crds")).filter((file) => file.endsWith(".yaml"));
    assert.equal(included.sort().join(), made.sort().join());
    assert.match(template, /kvclusters\.yaml" \}\}\n---\n\{\{/);
  });
});

describe("the images", () => {
  it("share their first stage word for word, so that it is built once", () => {
    const first = (path: string) =>
      /FROM node:24-bookworm-slim AS build[\s\S]*?\n\n/.exec(text(path, "Dockerfile"))?.[0];
    assert.ok(first("node"));
    assert.equal(first("node"), first("operator"));
  });

  it("are those of skaffold.yaml and of the chart", () => {
    const skaffold = parse(text("skaffold.yaml")) as {
      build: { artifacts: { image: string; docker: { dockerfile: string } }[] };
    };
    const images = skaffold.build.artifacts.map(({ image, docker }) => [image, docker.dockerfile]);
    assert.deepEqual(images, [
      ["annulus", "node/Dockerfile"],
      ["annulus-operator", "operator/Dockerfile"],
    ]);
    const values = parse(text("charts", "annulus", "values.yaml")) as {
      image: { repository: string };
      nodeImage: { repository: string };
    };
    assert.deepEqual([values.nodeImage.repository, values.image.repository], ["annulus", "annulus-operator"]);
  });
});

describe("the examples", () => {
  const files = readdirSync(join(ROOT, "docs", "examples")).filter((file) => file.endsWith(".yaml"));
  const objects = files.flatMap((file) =>
    parseAllDocuments(text("docs", "examples", file)).map((document) => [file, document.toJS() as KubeObject] as const),
  );
  const stored = ({ metadata, ...object }: KubeObject) => ({
    ...object,
    metadata: { ...metadata, namespace: "default", uid: "any" },
  });

  it.each(objects)("%s has what the API server takes", (file, object) => {
    if (object.kind === "KVCluster") {
      const parsed = parseCluster(stored(object), { adminTls: true });
      assert.ok(parsed.ok, parsed.ok ? "" : parsed.problems.join("; "));
      assert.deepEqual(brokenRules({ name: object.metadata.name, spec: parsed.cluster.spec }), []);
    } else if (object.kind === "KVBackup") {
      const parsed = parseBackup(stored(object));
      assert.ok(parsed.ok, parsed.ok ? "" : parsed.problems.join("; "));
      assert.deepEqual(broken(BACKUP_RULES, { name: object.metadata.name, spec: parsed.backup.spec }), []);
    } else
      assert.ok(["PersistentVolumeClaim", "NetworkPolicy", "Job"].includes(object.kind), `${file}: ${object.kind}`);
  });
});
