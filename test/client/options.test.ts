/** What a caller gives to the client library by mistake, or leaves open in a way of its own. */
import assert from "node:assert/strict";
import { afterEach, describe, it } from "@jest/globals";
import { AnnulusError, Client } from "../../node/client/client.ts";
import { settledOf } from "../../node/client/options.ts";
import { connect, says, scriptedNode, stopAll, takes } from "./scripted-node.ts";
import { failureOf } from "./waiting.ts";

afterEach(stopAll);

const URLS = ["http://127.0.0.1:1"];

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
