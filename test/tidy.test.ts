/**
 * The house rules that a machine can check: who may import whom, calls that would break determinism, sizes, doc
 * comments, leftovers. Each rule is tried on a small offender too, so that it is known to be able to fail.
 */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize, relative } from "node:path";
import { describe, it } from "@jest/globals";
import { type Finding, findings, type SourceFile } from "./tidy.ts";
import { inputFindings } from "./tidy-input.ts";

const ROOT = join(import.meta.dirname, "..");
const SOURCES = ["node", "operator", "test"].flatMap((folder) => collect(join(ROOT, folder)));

function collect(folder: string): SourceFile[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(".ts"))
    .map((entry) => {
      const path = join(entry.parentPath, entry.name);
      return { path: relative(ROOT, path), text: readFileSync(path, "utf8") };
    });
}

function resolve(from: string, specifier: string): string {
  return specifier.startsWith(".") ? normalize(join(dirname(from), specifier)) : specifier;
}

describe("the tidy rules", () => {
  it("find nothing in the tree", () => {
    const all: Finding[] = SOURCES.flatMap((file) => [...findings(file, resolve), ...inputFindings(file)]);
    assert.deepEqual(
      all.map((finding) => `${finding.path}:${finding.line} ${finding.message}`),
      [],
    );
  });

  const offenders: readonly [string, string, string, RegExp][] = [
    ["a core file that imports a service", "node/core/a.ts", 'import { b } from "../services/b.ts";', /may not import/],
    ["a core file that imports the file system", "node/core/a.ts", 'import fs from "node:fs";', /may not import/],
    [
      "a service that imports an adapter",
      "node/services/a.ts",
      'import { b } from "../adapters/b.ts";',
      /may not import/,
    ],
    [
      "a service that imports a library it has no leave for",
      "node/services/a.ts",
      'import x from "pino";',
      /may not import/,
    ],
    [
      "an adapter that imports another adapter",
      "node/adapters/tcp/a.ts",
      'import { b } from "../http/b.ts";',
      /may not import/,
    ],
    ["production code that imports a test", "node/node.ts", 'import { b } from "../test/sim/b.ts";', /may not import/],
    ["a service that reads the clock", "node/services/a.ts", "const now = Date.now();", /Date/],
    ["a core file that draws lots", "node/core/a.ts", "const x = Math.random();", /Math\.random/],
    ["a service that sets a timer", "node/services/a.ts", "setTimeout(() => {}, 1);", /setTimeout/],
    ["a core file with a promise", "node/core/a.ts", "export async function f() {}", /promise/],
    ["a swallowed rejection", "node/adapters/a.ts", `void p.catch(() => {${""}});`, /swallow/],
    ["a swallowed error", "node/adapters/a.ts", `try { f(); } catch {${""}}`, /swallow/],
    [
      "an exported function without a doc comment",
      "node/core/a.ts",
      "/** A. */\n\nexport function f() {}",
      /doc comment/,
    ],
    ["a file without a header", "node/core/a.ts", "const a = 1;", /header/],
    ["a leftover", "node/core/a.ts", `// TO${"DO"} later`, /leftover/],
    ["a default export", "node/core/a.ts", "export default 1;", /default/],
    ["a file over 400 lines", "node/core/a.ts", "/** A. */\n".repeat(401), /400 lines/],
    ["a function over 70 lines", "node/core/a.ts", `function f() {\n${"  g();\n".repeat(71)}}`, /70 lines/],
  ];
  it.each(offenders)("find %s", (_name, path, text, expected) => {
    const messages = findings({ path, text }, resolve).map((finding) => finding.message);
    assert.ok(
      messages.some((message) => expected.test(message)),
      `${expected} is not among ${JSON.stringify(messages)}`,
    );
  });

  const slow: readonly [string, RegExp][] = [
    ["const a = /^(a+)+$/;", /exponential/],
    ["const a = /^(x|x)*$/;", /begin alike/],
    ["const a = /^(?:(x|xy)z)*$/;", /begin alike/],
    ["const a = /^(x|)*$/;", /be empty/],
    ["const a = /^a*b?a*$/;", /more than linear/],
    ["const a = / +$/;", /more than linear/],
    ["const a = new RegExp(text);", /put together at run time/],
    ["const a = RegExp(text);", /put together at run time/],
  ];
  const setting: readonly [string, RegExp][] = [
    ["const a = {}; a[name] = 1;", /a is not declared here to be an array/],
    ["const a: Record<string, number> = {}; a[name] ??= 1;", /is not declared/],
    ["const a = JSON.parse(text); a[name]++;", /is not declared/],
    ["const f = (a: Record<string, number>) => { a[name] = 1; };", /is not declared/],
    ["function f(a: object) { a[name] = 1; }", /is not declared/],
    ["class A { a = {}; f() { this.a[name] = 1; } }", /is not declared/],
    ["const [a, b] = [[], {}]; b[name] = 1;", /b is not declared/],
    ["const a: number[] = []; const f = () => { const a = {}; a[name] = 1; };", /is not declared/],
    ["a[first][second] = 1;", /an expression is not declared/],
    ["Object.assign(a, JSON.parse(text));", /Object\.assign/],
  ];
  it.each([...slow, ...setting])("find what hostile input could do with %s", (code, expected) => {
    const [found, ...more] = inputFindings({ path: "node/a.ts", text: `\n${code}` });
    assert.match(found?.message ?? "nothing", expected);
    assert.equal(found?.line, 2);
    assert.ok(more.every(({ line }) => line === 2));
    assert.deepEqual(inputFindings({ path: "test/a.ts", text: code }), []);
  });

  it.each([
    "const a = /^[a-z]+$/;",
    'const a = /^(?:[^"\\\\]|\\\\.)*$/;',
    "const a: number[] = []; a[index] = 1; a[index] += 1;",
    "class A { readonly #a = new Uint8Array(3); f() { const a = this.#a; a[index] = 1; this.#a[index]++; } }",
    "const a = new Array<number>(3).fill(0); a[index] = 1;",
    "const f = (a: readonly number[], b: Buffer) => { b[index] = a[index]; };",
    'const a = { b: 1 }; a.b = 2; a["b"] = 3;',
    "const a = { b: new Int32Array(3) }; a.b[index] = 1;",
    "Object.assign(new Error(), { code: 1 });",
    "const a = { ...JSON.parse(text), [name]: 1 };",
  ])("have nothing against %s", (code) => {
    assert.deepEqual(inputFindings({ path: "node/a.ts", text: code }), []);
  });
});
