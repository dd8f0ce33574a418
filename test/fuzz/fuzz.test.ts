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

/** What parsers say of inputs that are wrong far inside: behind a checksum, a head, or fields that were right. */
const FAR_INSIDE: Readonly<Record<string, readonly string[]>> = {
  hints: ["unknown flags", "its values are not in order", "an event that it has not seen"],
  records: ["its values are not in order", "an event that it has not seen"],
  tokens: ["a dot names no actor of it", "a counter is 0", "its actors are not in order"],
  contexts: ["a dot names no actor of it", "its actors are not in order"],
  hellos: ["protocol version", "expected a role", "an actor id", "an instance"],
  requests: ["found it repeated", "Content-Range", "a write that sends KV-Context is not blind", "If-Match"],
  restores: ["expected keys of 1 to 1024 bytes", "entries.0.record"],
  differences: ["whole briefs", "below 2^bits", "bits"],
  "backup-files": ["sha256", "layers"],
};

describe("the fuzzer", () => {
  it.each(Object.entries(FAR_INSIDE))("reaches what %s may be wrong in far inside", (name, words) => {
    const target = TARGETS.find((one) => one.name === name) ?? assert.fail(`there is no target ${name}`);
    const told = new Set<string>();
    const run = (input: Uint8Array) => {
      try {
        target.run(input);
      } catch (error) {
        told.add(String(error));
        throw error;
      }
    };
    fuzz({ ...target, run }, { inputs: FRESH_INPUTS, seed: 1, pool: readCorpus(name) });
    assert.deepEqual(
      words.filter((word) => ![...told].some((text) => text.includes(word))),
      [],
    );
  });

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
