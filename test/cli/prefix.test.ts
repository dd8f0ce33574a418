/** What an import remembers of the records that it has done, however many come after one that is not. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { InputPrefix, KEPT_MAX } from "../../node/cli/import/prefix.ts";
import type { SourceRecord } from "../../node/cli/import/records.ts";

async function* records(count: number): AsyncGenerator<SourceRecord> {
  for (let ordinal = 0; ordinal < count; ordinal++) yield { ordinal, line: `{"key":"${ordinal}"}` };
}
async function through(prefix: InputPrefix, count: number): Promise<void> {
  for await (const _ of prefix.follow(records(count)));
}

describe("the beginning of an input", () => {
  it("is known by so much as is done, and by a little less where far more was read since", async () => {
    const prefix = new InputPrefix({ acknowledged: 0 }, "state");
    await through(prefix, KEPT_MAX * 3);
    const early = prefix.passedAt(5);
    const late = prefix.passedAt(KEPT_MAX * 2);
    assert.equal(early?.acknowledged, 5);
    assert.ok(late !== undefined && late.acknowledged < KEPT_MAX * 2 && late.acknowledged >= 5);
    for (const passed of [early, late]) await through(new InputPrefix(passed, "state"), KEPT_MAX * 2);
    await assert.rejects(through(new InputPrefix({ ...early, digest: "another" }, "state"), 10), /of another input/);
    await assert.rejects(through(new InputPrefix(early, "state"), 4), /of another input/);
  });
});
