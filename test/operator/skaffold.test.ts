/** skaffold.yaml by the schema of its version: Skaffold itself refuses a field that it does not know. */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "@jest/globals";
import { parse } from "yaml";
import { type JsonSchema, problemsOf } from "./json-schema.ts";

const ROOT = join(import.meta.dirname, "..", "..");
const schemaFile = join(import.meta.dirname, "skaffold-v4beta13.schema.json");
const schema = JSON.parse(readFileSync(schemaFile, "utf8")) as JsonSchema;

type Skaffold = {
  apiVersion: string;
  kind: string;
  build: { artifacts: { image: string; docker: { dockerfile: unknown } }[] };
  deploy: { helm: { releases: { chartPath: string; setValueTemplates: Record<string, string> }[] } };
};
const read = () => parse(readFileSync(join(ROOT, "skaffold.yaml"), "utf8")) as Skaffold;

describe("skaffold.yaml", () => {
  it("is what its version of the schema allows", () => {
    assert.equal(read().apiVersion, "skaffold/v4beta13");
    assert.deepEqual(problemsOf(schema, read()), []);
  });

  it("names Dockerfiles and a chart that are there, and only values that the chart has", () => {
    const { build, deploy } = read();
    for (const { docker } of build.artifacts) assert.ok(existsSync(join(ROOT, String(docker.dockerfile))));
    for (const { chartPath, setValueTemplates } of deploy.helm.releases) {
      assert.ok(existsSync(join(ROOT, chartPath, "Chart.yaml")));
      const values = parse(readFileSync(join(ROOT, chartPath, "values.yaml"), "utf8")) as object;
      for (const name of Object.keys(setValueTemplates)) {
        const found = name
          .split(".")
          .reduce<unknown>((value, part) => (value as Record<string, unknown> | undefined)?.[part], values);
        assert.notEqual(found, undefined, name);
      }
    }
  });
});

describe("the check against the schema", () => {
  const spoilt = (change: (skaffold: Skaffold & Record<string, unknown>) => void) => {
    const skaffold = read() as Skaffold & Record<string, unknown>;
    change(skaffold);
    return problemsOf(schema, skaffold).join("; ");
  };

  it("notices a wrong name at the top and deep down, a wrong type, and what is missing", () => {
    assert.match(
      spoilt((one) => Object.assign(one, { bild: {} })),
      /there is no bild/,
    );
    assert.match(
      spoilt((one) => Object.assign(one.deploy.helm.releases[0] ?? {}, { chartPth: "x" })),
      /chartPth/,
    );
    assert.match(
      spoilt((one) => Object.assign(one.build.artifacts[0]?.docker ?? {}, { dockerfile: 3 })),
      /artifacts\/0/,
    );
    assert.match(
      spoilt((one) => Reflect.deleteProperty(one, "kind")),
      /kind is missing/,
    );
  });
});
