/** The check of dependencies: it finds what it is for, and a registry that does not answer is no finding. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";

type Lock = { readonly packages: Readonly<Record<string, object>> };
type Bom = {
  readonly metadata: object;
  readonly components: readonly object[];
  readonly dependencies: readonly object[];
};
type SupplyChain = {
  badLicences(lock: Lock, licenceOf: (path: string) => string | undefined): string[];
  readAudit(
    text: string,
    isShipped: (path: string) => boolean,
  ): { unanswered?: string; grave?: string[]; light?: string[] };
  without(bom: Bom, isLeftOut: (name: string) => boolean): Bom;
};

const SCRIPT: string = "../.ci/supply-chain.js";
const { badLicences, readAudit, without } = (await import(SCRIPT)) as SupplyChain;

describe("the check of dependencies", () => {
  it("refuses licences that are not permissive, and none", () => {
    const packages = {
      "": { license: "Apache-2.0" },
      "node_modules/good": { license: "(MIT OR GPL-3.0)" },
      "node_modules/both": { license: "Apache-2.0 AND MIT" },
      "node_modules/data": { license: "CC-BY-4.0", dev: true },
      "node_modules/elsewhere": { optional: true },
      "node_modules/shipped-data": { license: "CC-BY-4.0" },
      "node_modules/copyleft": { license: "MIT AND GPL-3.0" },
      "node_modules/silent": {},
      "node_modules/told": {},
    };
    assert.deepEqual(
      badLicences({ packages }, (path) => (path.endsWith("told") ? "ISC" : undefined)),
      [
        "node_modules/shipped-data: CC-BY-4.0",
        "node_modules/copyleft: MIT AND GPL-3.0",
        "node_modules/silent: no licence",
      ],
    );
  });

  it("tells findings of the audit from a registry that gives no answer", () => {
    const via = [{ title: "Prototype pollution", url: "https://example.org/1" }, "other"];
    const found = (name: string, severity: string) => ({
      name,
      severity,
      range: "<2",
      via,
      nodes: [`node_modules/${name}`],
    });
    const vulnerabilities = { bad: found("bad", "high"), tool: found("tool", "critical"), mild: found("mild", "low") };
    const read = (text: string) => readAudit(text, (path) => path !== "node_modules/tool");
    const told = (what: string) => `${what}: Prototype pollution https://example.org/1; other`;
    assert.deepEqual(read(JSON.stringify({ auditReportVersion: 2, vulnerabilities })), {
      grave: [told("bad <2: high")],
      light: [told("tool <2: critical"), told("mild <2: low")],
    });
    assert.deepEqual(read(JSON.stringify({ auditReportVersion: 2, vulnerabilities: {} })), { grave: [], light: [] });
    assert.deepEqual(read(JSON.stringify({ message: "405" })), { unanswered: "405" });
    assert.deepEqual(read(""), { unanswered: "it is no JSON" });
  });

  it("leaves out of an image's bill what the image leaves out, and what only that needs", () => {
    const component = (name: string) => ({ "bom-ref": name, name });
    const bom: Bom = {
      metadata: { component: component("app") },
      components: ["kube", "only-kube", "shared"].map(component),
      dependencies: [
        { ref: "app", dependsOn: ["kube", "shared"] },
        { ref: "kube", dependsOn: ["only-kube", "shared"] },
        { ref: "only-kube" },
        { ref: "shared" },
      ],
    };
    const { components, dependencies } = without(bom, (name) => name === "kube");
    assert.deepEqual(components, [component("shared")]);
    assert.deepEqual(dependencies, [
      { ref: "app", dependsOn: ["shared"] },
      { ref: "shared", dependsOn: [] },
    ]);
  });
});
