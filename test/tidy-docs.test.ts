/** Documents hold together: the index lists each of them, and no link leads nowhere. */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, it } from "@jest/globals";
import { referencePage } from "./reference/page.ts";

const ROOT = join(import.meta.dirname, "..");
const DOCUMENTS = [...readdirSync(join(ROOT, "docs"))].filter((name) => name.endsWith(".md"));
const LINK = /\]\((?!https?:|#)([^)#\s]+)(?:#[^)]*)?\)/g;

function linksOf(path: string): string[] {
  return [...readFileSync(join(ROOT, path), "utf8").matchAll(LINK)].map(([, link = ""]) => link);
}

describe("the documents", () => {
  it("have the reference as the nodes serve it; npm run gen writes it anew", () => {
    assert.equal(readFileSync(join(ROOT, "docs/reference.md"), "utf8"), referencePage());
  });

  it("are all in the index", () => {
    const listed = new Set(linksOf("docs/README.md"));
    assert.deepEqual(
      DOCUMENTS.filter((name) => name !== "README.md" && !listed.has(name)),
      [],
    );
  });

  it("link to what there is", () => {
    const paths = [
      "README.md",
      "CONTRIBUTING.md",
      "node/README.md",
      "test/README.md",
      ...DOCUMENTS.map((name) => `docs/${name}`),
    ];
    const broken = paths.flatMap((path) =>
      linksOf(path)
        .filter((link) => !existsSync(join(ROOT, dirname(path), link)))
        .map((link) => `${path}: ${link}`),
    );
    assert.deepEqual(broken, []);
  });
});
