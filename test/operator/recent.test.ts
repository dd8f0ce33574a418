/** What an operator that runs for months remembers of pods, machines and clusters that came and went: nothing. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { Recent } from "../../operator/core/recent.ts";

describe("what is kept for as long as it is used", () => {
  it("is forgotten when nobody asked for it for a while, and told to whom it matters", () => {
    let nowMs = 0;
    const forgotten: string[] = [];
    const recent = new Recent<string>({ monotonicMs: () => nowMs }, 100, (value) => forgotten.push(value));
    recent.set("a", "of a");
    recent.set("b", "of b");
    for (nowMs = 60; nowMs <= 180; nowMs += 60) assert.equal(recent.get("a"), "of a");
    recent.set("c", "of c");
    assert.deepEqual([recent.get("a"), recent.get("b"), recent.get("c")], ["of a", undefined, "of c"]);
    assert.deepEqual(forgotten, ["of b"]);
    assert.equal(recent.size, 2);
  });

  it("stays small however many come and go", () => {
    let nowMs = 0;
    const recent = new Recent<number>({ monotonicMs: () => nowMs }, 1_000);
    for (let machine = 0; machine < 10_000; machine += 1) {
      nowMs += 100;
      recent.set(`machine-${machine}`, machine);
    }
    assert.ok(recent.size <= 21, `${recent.size} are kept`);
  });

  it("is replaced, and the one before is told of", () => {
    const forgotten: string[] = [];
    const recent = new Recent<string>({ monotonicMs: () => 0 }, 100, (value) => forgotten.push(value));
    recent.set("a", "first");
    recent.set("a", "second");
    assert.equal(recent.get("a"), "second");
    assert.deepEqual(forgotten, ["first"]);
  });
});
