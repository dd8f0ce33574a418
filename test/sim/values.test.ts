/** Values as clients of the simulator write them: each here is told from what was written, or is that. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { type Content, contentOf, idsOf } from "./values.ts";

const KEY = "key 3";
const LAST = 1_000;
const DELETION = 7;
const PAIR_BYTES_MAX = 10_240;

const writes = new Map(
  Array.from({ length: LAST }, (_, index) => index + 1).map((id) => [id, { id, key: KEY, isDelete: id === DELETION }]),
);
const contentOfId = (id: number): Content => contentOf({ id, key: KEY });
const look = (content: Content, key = KEY) => idsOf([content], key, writes);

describe("a value that a client of the simulator wrote", () => {
  it("is told by its id, whole, wherever it is found, and deletions are none", () => {
    for (const id of writes.keys()) if (id !== DELETION) assert.deepEqual(look(contentOfId(id)), [id]);
    assert.deepEqual(
      idsOf([contentOfId(31), { value: undefined, contentType: "" }, contentOfId(2)], KEY, writes),
      [31, 2],
    );
  });

  it("is mostly short, now and then large, at most the largest pair, and of several types", () => {
    const all = [...writes.keys()].map(contentOfId);
    const lengths = all.map(({ value }) => value.length).sort((a, b) => a - b);
    assert((lengths[LAST >> 1] as number) < 50, `half are shorter than 50 bytes: ${lengths[LAST >> 1]}`);
    assert(lengths.some((length) => length > 200 && length < 900));
    assert(lengths.some((length) => length > 9_000));
    assert((lengths.at(-1) as number) + KEY.length <= PAIR_BYTES_MAX);
    assert.equal(new Set(all.map(({ contentType }) => contentType)).size, 4);
  });

  it("is another where any byte of it is", () => {
    for (const id of [1, 31, 32, 33, 34, 35]) {
      const { value, contentType } = contentOfId(id);
      for (let at = `${id}:`.length; at < value.length; at += Math.max(1, value.length >> 6)) {
        const spoilt = new Uint8Array(value);
        spoilt[at] = (value[at] as number) ^ 1;
        assert.throws(() => look({ value: spoilt, contentType }), /other bytes than were written/);
      }
    }
  });

  it("is another where it is cut short, or longer", () => {
    const { value, contentType } = contentOfId(31);
    for (let length = "31:".length; length < value.length; length++)
      assert.throws(() => look({ value: value.subarray(0, length), contentType }), /other bytes than were written/);
    assert.throws(() => look({ value: Buffer.concat([value, Buffer.of(0)]), contentType }), /other bytes/);
  });

  it("is nobody's under another key, or with an id that was never given, or none, or that of a deletion", () => {
    const nobodys = /a value that nobody wrote/;
    assert.throws(() => look(contentOfId(31), "key 4"), nobodys);
    assert.throws(() => look(contentOf({ id: 31, key: "key 4" })), /other bytes than were written/);
    assert.throws(() => look(contentOfId(LAST + 1)), nobodys);
    assert.throws(() => look(contentOfId(DELETION)), nobodys);
    for (const text of ["", "31", "3", ":", "first", " 31:key 3:"])
      assert.throws(() => look({ value: Buffer.from(text), contentType: "text/plain" }), nobodys);
  });

  it("is another where its type is", () => {
    const { value } = contentOfId(31);
    assert.throws(() => look({ value, contentType: "" }), /content type that it was written with/);
  });

  it("is given away each time as a copy", () => {
    const write = { id: 31, key: KEY };
    contentOf(write).value.fill(0);
    assert.deepEqual(look(contentOf(write)), [31]);
  });
});
