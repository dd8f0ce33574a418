/** What a caller gives to the client library by mistake, or leaves open in a way of its own. */
import assert from "node:assert/strict";
import { afterEach, describe, it } from "@jest/globals";
import { AnnulusError, Client, type Content, json } from "../../node/client/client.ts";
import { settledOf } from "../../node/client/options.ts";
import { connect, says, scriptedNode, stopAll, takes } from "./scripted-node.ts";
import { failureOf } from "./waiting.ts";

afterEach(stopAll);

const URLS = ["http://127.0.0.1:1"];

describe("content and keys that can be none", () => {
  it("are refused, and nothing empty or alike is stored in their place", async () => {
    const { url, asked } = await scriptedNode([takes()]);
    const client = connect({ urls: [url] });
    for (const nothing of [undefined, () => 1, Symbol("s")]) assert.throws(() => json(nothing), TypeError);
    const contents = [
      undefined,
      null,
      5,
      { a: 1 },
      { bytes: undefined, contentType: "a/b" },
      { bytes: "b" },
      { bytes: [1], contentType: "a/b" },
      new ArrayBuffer(2),
    ];
    for (const content of contents) {
      const error = await failureOf(client.put("k", content as unknown as Content), TypeError);
      assert.match(
        error.message,
        /^Cannot write the content: expected text, bytes or \{ bytes, contentType \}, found /,
      );
    }
    for (const key of ["a\ud800", "\udc00b", 7, undefined, null]) {
      const error = await failureOf(client.get(key as unknown as string), TypeError);
      assert.match(error.message, /^Cannot use the key: expected /);
    }
    assert.equal(asked.length, 0);
    await client.put("\u{1f600}", { bytes: "", contentType: "a/b" });
    await client.put(new Uint8Array([0xd8, 0]), new Uint8Array(0));
    assert.deepEqual(
      asked.map(({ url, headers }) => [url, headers["content-length"]]),
      [
        ["/v1/kv/%F0%9F%98%80", "0"],
        ["/v1/kv/%D8%00", "0"],
      ],
    );
  });
});

describe("an option of a client", () => {
  it("that is undefined is as if it had been left out: calls end, and repetitions keep to their share", async () => {
    const open = { timeoutMs: undefined, attemptTimeoutMs: undefined, attemptsMax: undefined, retryRatio: undefined };
    const all = { urls: URLS, ...open, hedgeRatio: undefined, connectionsMax: undefined };
    assert.deepEqual(settledOf(all), settledOf({ urls: URLS }));
    const { url } = await scriptedNode([says(503, "QUORUM_UNAVAILABLE", { "kv-outcome": "none" })]);
    const client = connect({ urls: [url], ...open, attemptsMax: 2 });
    const error = await failureOf(client.put("k", "v"), AnnulusError);
    assert.deepEqual([error.code, error.attempts], ["QUORUM_UNAVAILABLE", 2]);
  });

  it("that can be none is refused by its name", () => {
    const wrong = [
      { timeoutMs: Number.NaN },
      { timeoutMs: 0 },
      { attemptTimeoutMs: -1 },
      { attemptsMax: 0 },
      { retryRatio: Number.NaN },
      { hedgeRatio: -0.1 },
      { connectionsMax: 1.5 },
      { connectionsMax: "64" as unknown as number },
    ];
    for (const option of wrong) {
      const [name = ""] = Object.keys(option);
      assert.throws(
        () => new Client({ urls: URLS, ...option }),
        (error: unknown) => error instanceof TypeError && error.message.startsWith(`Cannot use the option ${name}: `),
        name,
      );
    }
  });

  it("that is no number is refused for a call, too, and one without end is as long as a timer can wait", async () => {
    const { url } = await scriptedNode([takes()]);
    const client = connect({ urls: [url], timeoutMs: Number.POSITIVE_INFINITY, attemptTimeoutMs: 1e12 });
    await failureOf(client.put("k", "v", { timeoutMs: Number.NaN }), TypeError);
    await failureOf(client.put("k", "v", { timeoutMs: "50" as unknown as number }), TypeError);
    await client.put("k", "v");
    assert.ok(settledOf({ urls: URLS, timeoutMs: 1e12 }).timeoutMs < 2 ** 31);
  });
});
