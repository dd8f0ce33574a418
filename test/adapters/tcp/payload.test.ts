import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import fc from "fast-check";
import { MESSAGE_FIELDS_MAX, packMessage, unpackMessage } from "../../../node/adapters/tcp/payload.ts";

const unpack = (...bytes: readonly number[]) => unpackMessage(Uint8Array.from(bytes), 0, bytes.length);

function packed(message: readonly unknown[]): Uint8Array {
  const whole = packMessage(message);
  return new Uint8Array(whole.subarray(whole.start, whole.end));
}

/** Bytes that look like MessagePack: many heads of arrays, maps, strings, extensions. */
const tokens = fc.oneof(
  fc.integer({ min: 0x80, max: 0xdf }),
  fc.integer({ min: 0, max: 3 }),
  fc.integer({ max: 255, min: 0 }),
);

describe("a packed message", () => {
  it("of scalars comes out as it went in, whatever the sizes of its numbers", () => {
    const edges = [0, 127, 128, 255, 256, 65_535, 65_536, 2 ** 31, 2 ** 32 - 1, 2 ** 32, Number.MAX_SAFE_INTEGER];
    for (const edge of edges) {
      for (const number of [edge, -edge - 1, edge + 0.5]) {
        if (Number.isInteger(number) && !Number.isSafeInteger(number)) continue;
        assert.deepEqual(unpackMessage(packed([number]), 0, packed([number]).length), [number]);
      }
    }
  });

  it("of many MiB gives its memory back, and those after it come out as they went in", () => {
    const large = packMessage([new Uint8Array(20 << 20).fill(7)]);
    assert.equal(large.end - large.start, (20 << 20) + 6);
    const small = packMessage(["small", 1]);
    assert(small.length < 1 << 20, `${small.length} bytes are kept`);
    assert.deepEqual(unpackMessage(small, small.start, small.end), ["small", 1]);
    for (const bytes of [5, 3_000, 100_000]) {
      const next = packed([new Uint8Array(bytes).fill(9), "end"]);
      assert.equal(unpackMessage(next, 0, next.length)?.[1], "end");
    }
  });

  it("of strings and byte strings of every length class comes out as it went in", () => {
    for (const length of [0, 1, 31, 32, 255, 256, 65_535, 65_536]) {
      for (const character of ["a", "ä", "🙂"]) {
        const bytes = packed([character.repeat(length)]);
        assert.deepEqual(unpackMessage(bytes, 0, bytes.length), [character.repeat(length)]);
      }
      const bytes = packed([new Uint8Array(length).fill(7), "end"]);
      const [found, end] = unpackMessage(bytes, 0, bytes.length) ?? [];
      assert(found instanceof Uint8Array && found.length === length && found.every((byte) => byte === 7));
      assert.equal(end, "end");
    }
  });

  it("has at most 15 fields: more is an error of this program, not of a peer", () => {
    const full = Array.from({ length: MESSAGE_FIELDS_MAX }, (_, index) => index);
    assert.deepEqual(unpackMessage(packed(full), 0, packed(full).length), full);
    assert.throws(() => packMessage([...full, 15]), { name: "AssertionError" });
  });

  it("is nothing when it holds what a message may not: maps, arrays, extensions, 64-bit integers, long arrays", () => {
    assert.deepEqual(unpack(0x91, 0xc0), [null]);
    for (const token of [
      0x80, 0x81, 0x90, 0x91, 0xc1, 0xc7, 0xc8, 0xc9, 0xca, 0xcf, 0xd3, 0xd4, 0xd8, 0xdc, 0xdd, 0xde, 0xdf,
    ]) {
      assert.equal(unpack(0x91, token, ...Array(20).fill(0)), undefined);
      assert.equal(unpack(0x91, token), undefined);
    }
    for (const head of [0x00, 0x80, 0xa0, 0xc0, 0xdc, 0xff]) assert.equal(unpack(head), undefined);
    assert.equal(unpack(), undefined);
  });

  it("is nothing when it ends anywhere but where the bytes end", () => {
    const whole = packed([1, "text", new Uint8Array(300), 1.5, null, 70_000]);
    for (let length = 0; length < whole.length; length++) assert.equal(unpackMessage(whole, 0, length), undefined);
    assert.equal(unpackMessage(Uint8Array.of(...whole, 0), 0, whole.length + 1), undefined);
  });

  it("of any bytes is nothing or flat, and is read at once, whatever lengths it claims", () => {
    fc.assert(
      fc.property(fc.array(tokens, { maxLength: 60 }), fc.integer({ min: 0x90, max: 0x9f }), (bytes, head) => {
        const message = unpack(head, ...bytes);
        if (message === undefined) return;
        assert.equal(message.length, head - 0x90);
        for (const field of message) {
          assert(
            field === null || field instanceof Uint8Array || ["number", "string", "boolean"].includes(typeof field),
          );
        }
      }),
      { numRuns: 5_000 },
    );
  });

  it("is not disturbed by what was read or packed before", () => {
    unpack(0x91, 0xd4, 0x72, 0x40); // What would define a record for the readings that follow.
    unpack(0x92, 0xa5, 0x61);
    packMessage(["a", new Uint8Array(70_000)]);
    assert.deepEqual(unpackMessage(packed([0x40, "x"]), 0, packed([0x40, "x"]).length), [0x40, "x"]);
  });
});
