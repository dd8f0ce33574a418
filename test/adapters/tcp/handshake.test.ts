/** Which releases link with each other: those that have a form of the messages in common. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { decodeHello, encodeHello, type Hello, isRefusal } from "../../../node/adapters/tcp/handshake.ts";
import { PROTOCOL } from "../../../node/messages.ts";

const HELLO: Hello = {
  clusterId: "sessions",
  role: "member",
  name: "n1",
  actor: "0123456789abcdef0123456789abcdef",
  incarnation: 3,
  expects: "n2",
  instance: "fedcba9876543210",
  sequence: 7,
};

/** As a release says it that speaks `oldest` to `newest`. */
function helloOf(newest: unknown, oldest: unknown, more: readonly unknown[] = []): unknown[] {
  const [magic, , ...fields] = encodeHello(HELLO);
  return [magic, newest, ...fields.slice(0, -1), oldest, ...more];
}

describe("a hello", () => {
  it("is read as it was said", () => {
    assert.deepEqual(decodeHello(encodeHello(HELLO)), HELLO);
    const { expects: _, ...open } = HELLO;
    assert.deepEqual(decodeHello(encodeHello({ ...open, expects: undefined })), { ...open, expects: undefined });
  });

  it("says when a write counts as durable at its sender, or nothing that this release knows", () => {
    assert.deepEqual(decodeHello(encodeHello({ ...HELLO, durability: "disk" })), { ...HELLO, durability: "disk" });
    assert.deepEqual(decodeHello([...encodeHello(HELLO), "battery"]), HELLO);
  });

  it("says how large a frame its sender takes, whether or not it says the rest, or nothing that can be meant", () => {
    for (const hello of [HELLO, { ...HELLO, durability: "os" as const }]) {
      const said = { ...hello, frameBytesMax: 20 << 20 };
      assert.deepEqual(decodeHello(encodeHello(said)), said);
      for (const bytes of [0, 5, -1, 1.5, "20"])
        assert.deepEqual(decodeHello([...encodeHello(said).slice(0, -1), bytes]), hello);
    }
  });

  it("of a newer release that still speaks this one's form is taken, whatever it says besides", () => {
    const { newest } = PROTOCOL;
    assert.deepEqual(decodeHello(helloOf(newest + 1, newest, ["what this release does not know", 5])), HELLO);
    assert.deepEqual(decodeHello(helloOf(newest + 5, PROTOCOL.oldest)), HELLO);
  });

  it("of a release that has no form in common is refused, with what either speaks", () => {
    const { newest } = PROTOCOL;
    for (const [theirs, oldest] of [
      [newest + 1, newest + 1],
      [newest + 3, newest + 2],
      [PROTOCOL.oldest - 1, PROTOCOL.oldest - 1],
    ] as const) {
      const refusal = decodeHello(helloOf(theirs, oldest));
      assert(isRefusal(refusal) && refusal.reason === "version");
      const found = theirs === oldest ? `${theirs}` : `${oldest} to ${theirs}`;
      assert.match(refusal.detail, new RegExp(`expected protocol version .*, found ${found}: upgrade by one release`));
    }
  });

  it("that does not say what it speaks is malformed", () => {
    for (const message of [helloOf("1", 1), helloOf(1, undefined), helloOf(-1, 1), helloOf(1, 1.5)]) {
      const refusal = decodeHello(message);
      assert(isRefusal(refusal) && refusal.reason === "malformed");
    }
  });
});
