/** Whoever waits for one of the connections to a node, and how long. */
import assert from "node:assert/strict";
import { afterEach, describe, it } from "@jest/globals";
import { Connections } from "../../node/client/connections.ts";
import { NoAnswerError } from "../../node/client/no-answer-error.ts";
import { atEnd, type Step, scriptedNode, stopAll } from "./scripted-node.ts";
import { failureOf } from "./waiting.ts";

afterEach(stopAll);

const GET = { method: "GET", path: "/v1/kv/k" } as const;

describe("a request that cannot be sent", () => {
  it("leaves nothing behind that would come due later", async () => {
    const to = new Connections("http://127.0.0.1:1", {
      connectionsMax: 1,
      connectTimeoutMs: 30_000,
      tls: undefined,
      headers: {},
    });
    atEnd(() => to.close());
    const bugs: unknown[] = [];
    const onBug = (error: unknown) => bugs.push(error);
    process.on("uncaughtException", onBug);
    atEnd(() => process.removeListener("uncaughtException", onBug));
    await assert.rejects(to.exchange({ ...GET, headers: { "kv-context": "a\n" } }, { timeoutMs: 20 }), {
      name: "TypeError",
    });
    await new Promise((resolve) => setTimeout(resolve, 60));
    assert.deepEqual(bugs, []);
  });
});

describe("a request that had to wait for its turn", () => {
  it("has as much time as any other then, but none beyond the end of all", async () => {
    const slowly: Step = (_request, response) => void setTimeout(() => response.end(), 150);
    const { url } = await scriptedNode([slowly]);
    const to = new Connections(url, { connectionsMax: 1, connectTimeoutMs: 30_000, tls: undefined, headers: {} });
    atEnd(() => to.close());
    const first = to.exchange(GET, { timeoutMs: 250 });
    assert.equal((await to.exchange(GET, { timeoutMs: 250 })).status, 200);
    await first;
    const untilMs = performance.now() + 200;
    const before = to.exchange(GET, { timeoutMs: 30_000 });
    const late = await failureOf(to.exchange(GET, { timeoutMs: 30_000, untilMs }), NoAnswerError);
    assert.deepEqual([late.why, late.isUnasked, late.isUnsent], ["ETIMEDOUT", false, false]);
    await before;
  });
});
