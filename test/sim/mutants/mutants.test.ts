/** That every mutant still breaks something: its text is there, once, and what comes instead is TypeScript. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "@jest/globals";
import { compile } from "./hunt.ts";
import { applyMutant, parseMutant, readMutants, withRun } from "./mutant.ts";

const ROOT = join(import.meta.dirname, "../../..");
const readSource = (path: string) => readFileSync(join(ROOT, path), "utf8");
const MUTANTS = readMutants(ROOT);

const EXAMPLE = `Forgets to add.

breaks: arithmetic
seed: 3

--- sum.ts
a + b
+++
a - b
===
`;

describe("the mutants", () => {
  it("are at least twenty-five, each of the shipped code and remembered with the seed that caught it", () => {
    assert(MUTANTS.length >= 25, `${MUTANTS.length} mutants`);
    for (const { path, edits, caughtBy } of MUTANTS) {
      assert(caughtBy !== undefined, `${path} was caught: run npm run sim:mutants -- --record`);
      for (const edit of edits)
        assert.match(edit.path, /^(node|operator)\/(core|services|adapters\/tcp)\/|^node\/node\.ts$/, path);
    }
  });

  it("are caught by seeds of each kind: none whose checkers nobody has seen fail", () => {
    const seeds = MUTANTS.flatMap(({ caughtBy }) => (caughtBy !== undefined && "seed" in caughtBy ? [caughtBy] : []));
    const [changing, operated] = [seeds.filter(({ churn }) => churn), seeds.filter(({ operator }) => operator)];
    assert(seeds.length >= 40 && changing.length >= 3 && operated.length >= 3, `${seeds.length} are caught by seeds`);
  });

  it.each(MUTANTS.map((mutant) => ({ name: mutant.name, mutant })))("$name still breaks something", ({ mutant }) => {
    for (const [path, source] of applyMutant(mutant, readSource)) {
      assert.notEqual(compile(path, source), compile(path, readSource(path)), `${mutant.path} changes ${path}`);
    }
  });
});

describe("a mutant's file", () => {
  const mutant = parseMutant("a/forgetful.mutant", EXAMPLE);

  it("says what is broken, where, and how", () => {
    assert.deepEqual(mutant.edits, [{ path: "sum.ts", find: "a + b", put: "a - b" }]);
    assert.deepEqual(
      [mutant.name, mutant.description, mutant.breaks, mutant.caughtBy],
      ["forgetful", "Forgets to add.", "arithmetic", { seed: 3, size: "short", churn: false }],
    );
    assert.deepEqual([...applyMutant(mutant, () => "return a + b;")], [["sum.ts", "return a - b;"]]);
  });

  it("remembers another run", () => {
    const small = { seed: 17, size: "short", churn: false } as const;
    const large = { seed: 18, size: "counted", churn: false } as const;
    const unknown = parseMutant("a.mutant", EXAMPLE.replace("seed: 3\n", ""));
    const story = { story: "test/sim/rebuild.test.ts" };
    for (const run of [small, large, story]) {
      for (const before of [mutant, unknown])
        assert.deepEqual(parseMutant("a.mutant", withRun(before, run)).caughtBy, run);
    }
  });

  it("says whether the ring changes in its runs", () => {
    const churning = parseMutant("a.mutant", EXAMPLE.replace("seed: 3", "seed: 3, counted\nchurn: yes"));
    assert.deepEqual(churning.caughtBy, { seed: 3, size: "counted", churn: true });
    const next = parseMutant("a.mutant", withRun(churning, { seed: 4, size: "short", churn: true }));
    assert.deepEqual([next.churn, next.caughtBy], [true, { seed: 4, size: "short", churn: true }]);
  });

  it.each(["return a;", "return a + b, a + b;"])("is refused when its text is not there once: %s", (source) => {
    assert.throws(() => applyMutant(mutant, () => source), /stale/);
  });

  it.each([
    ["no rule", EXAMPLE.replace("breaks: arithmetic\n", ""), /which rule/],
    ["no word on what it breaks", EXAMPLE.replace("Forgets to add.", ""), /what it breaks/],
    ["a seed that is none", EXAMPLE.replace("seed: 3", "seed: three"), /no seed/],
    ["a word on churn that is none", EXAMPLE.replace("seed: 3", "churn: often"), /churn/],
    ["no change", EXAMPLE.slice(0, EXAMPLE.indexOf("---")), /changes nothing/],
    ["the same text twice", EXAMPLE.replace("a - b", "a + b"), /none/],
  ])("is refused with %s", (_why, text, expected) => {
    assert.throws(() => parseMutant("a.mutant", text), expected);
  });
});
