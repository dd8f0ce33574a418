/** What a release has written is read for ever as it was meant, and the same is written as the same bytes. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { FORMATS } from "./formats.ts";
import { fromJson, golden, toJson } from "./golden.ts";
import { MESSAGES } from "./messages.ts";

const hexOf = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");

describe.each([...FORMATS, ...MESSAGES])("the format of a $name", ({ name, write, read, examples }) => {
  const present = Object.entries(examples).map(([what, value]) => ({
    what,
    bytes: hexOf(write(value)),
    means: toJson(value),
  }));
  const known = golden(name, present);

  it.each(known)("is read as ever: $what", ({ bytes, means }) => {
    assert.deepEqual(toJson(read(new Uint8Array(Buffer.from(bytes, "hex")))), means);
  });

  it.each(known)("is written as ever: $what", ({ bytes, means }) => {
    assert.equal(hexOf(write(fromJson(means))), bytes);
  });

  it("has an example of everything", () => {
    const kinds = (list: readonly { readonly what: string }[]) => list.map(({ what }) => what).toSorted();
    assert.deepEqual(kinds(known), kinds(present), "ANNULUS_GOLDEN=add writes those that are missing");
  });
});
