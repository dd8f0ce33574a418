/** Every parser of what comes from outside, over the kept corpus and some thousand fresh inputs, always the same ones. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { readCorpus } from "./corpus.ts";
import { fuzz, tryInput } from "./fuzzer.ts";
import { TARGETS, type Target } from "./targets.ts";

const FRESH_INPUTS = 2_000;

describe.each(TARGETS)("the parser of $name", (target) => {
  it("takes its seeds", () => {
    assert.ok(target.seeds.length > 0);
    for (const seed of target.seeds) {
      const outcome = tryInput(target, seed);
      assert.equal(outcome, "accepted", Buffer.from(seed).toString());
    }
  });

  it("takes or refuses all of its corpus and of fresh inputs, in time", () => {
    const { findings, inputs } = fuzz(target, { inputs: FRESH_INPUTS, seed: 1, pool: readCorpus(target.name) });
    assert.deepEqual(
      findings.map(({ kind, input, why }) => `${kind} ${Buffer.from(input).toString("base64")} ${why}`),
      [],
    );
    assert.equal(inputs, FRESH_INPUTS);
  });
});

describe("the fuzzer", () => {
  it("has a corpus to start from", () => {
    const kept = TARGETS.map(({ name }) => readCorpus(name).length);
    assert.ok(kept.filter((count) => count > 0).length > TARGETS.length / 2, "npm run fuzz -- --record");
  });

  it("finds a crash that is a few bytes away, and says which input it was", () => {
    const fragile: Target = {
      name: "fragile",
      seeds: [Buffer.from("abcd")],
      run(input) {
        if (input[0] === 0x61 && input[1] === 0xff) throw new RangeError("broken");
      },
      mayThrow: () => false,
    };
    const { findings } = fuzz(fragile, { inputs: FRESH_INPUTS, seed: 1, pool: [] });
    assert.ok(findings.length > 0);
    for (const { kind, input } of findings) assert.deepEqual([kind, input[0], input[1]], ["crash", 0x61, 0xff]);
  });
});
