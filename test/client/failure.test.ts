/** What an error of the client library says: its code, whether the write may surface, and what to do. */
import assert from "node:assert/strict";
import { afterEach, describe, it } from "@jest/globals";
import { AnnulusError, Client } from "../../node/client/client.ts";
import { FakeCluster } from "./fake-cluster.ts";
import { breaks, connect, type Step, says, scriptedNode, stopAll } from "./scripted-node.ts";
import { failureOf } from "./waiting.ts";

afterEach(stopAll);

const failure = (promise: Promise<unknown>) => failureOf(promise, AnnulusError);

const NOTHING_SENT = "Cannot write: 2 home replicas are needed, 1 is up. Nothing was sent.";
const short: Step = (_request, response) => {
  response.writeHead(503, { "content-type": "application/problem+json", "kv-node": "n1", "kv-outcome": "none" });
  response.end(JSON.stringify({ type: "annulus:QUORUM_UNAVAILABLE", detail: NOTHING_SENT, required: 2 }));
};

describe("the error of a write", () => {
  it("does not say that nothing was sent where another attempt may have written, whichever came last", async () => {
    for (const steps of [
      [breaks, short],
      [short, breaks],
    ]) {
      const { url, asked } = await scriptedNode(steps);
      const error = await failure(connect({ urls: [url], attemptsMax: 2 }).put("k", "v"));
      assert.deepEqual([error.code, error.outcome, error.required], ["QUORUM_UNAVAILABLE", "unknown", 2]);
      assert.match(
        error.message,
        /^One of 2 attempts may have written it all the same; another was told: Cannot write/,
      );
      assert.equal(error.idempotencyKey, asked[0]?.headers["idempotency-key"]);
      assert.match(error.message, /idempotencyKey of this error/);
    }
    const { url } = await scriptedNode([short]);
    const error = await failure(connect({ urls: [url], attemptsMax: 2 }).put("k", "v"));
    assert.deepEqual([error.outcome, error.message], ["none", NOTHING_SENT]);
  });

  it("has the name under which it stays one write when it is sent again, also where nobody answered", async () => {
    const { url, asked } = await scriptedNode([breaks]);
    const client = connect({ urls: [url], attemptsMax: 1 });
    const error = await failure(client.delete("k"));
    assert.deepEqual([error.code, error.outcome], ["UNREACHABLE", "unknown"]);
    assert.match(error.message, /may surface all the same; .*idempotencyKey of this error/);
    await failure(client.delete("k", { idempotencyKey: error.idempotencyKey }));
    const [first, again] = asked.map(({ headers }) => headers["idempotency-key"]);
    assert.deepEqual([again, error.idempotencyKey], [first, first]);
    assert.equal((await failure(client.get("k"))).idempotencyKey, undefined);
  });
});

describe("the error of an option", () => {
  it("names it as the caller spelt it", async () => {
    const cluster = await FakeCluster.start();
    const client = new Client({ urls: cluster.urls });
    try {
      const ttl = await failure(client.put("k", "v", { ttlSeconds: 0.5 }));
      assert.match(ttl.message, /the option "ttlSeconds": expected a whole number from 1 .*found "0\.5"/);
      const time = await failure(client.get("k", { nodeTimeoutMs: 0 }));
      assert.match(time.message, /the option "nodeTimeoutMs": expected a whole number from 1 /);
    } finally {
      client.close();
      await cluster.stop();
    }
  });
});

describe("the code of an error", () => {
  const codeOf = async (step: Step) => {
    const { url } = await scriptedNode([step]);
    return (await failure(connect({ urls: [url], attemptsMax: 1 }).put("k", "v"))).code;
  };
  const plain =
    (status: number): Step =>
    (_request, response) =>
      void response.writeHead(status).end();

  it("is one of those that the type lists, also where a node says one that is not known yet", async () => {
    assert.equal(await codeOf(says(431, "HEADERS_TOO_LARGE")), "HEADERS_TOO_LARGE");
    assert.equal(await codeOf(says(500, "BUG")), "BUG");
    assert.equal(await codeOf(says(409, "NEWER_THAN_THIS")), "INVALID_REQUEST");
    assert.equal(await codeOf(says(503, "NEWER_THAN_THIS")), "QUORUM_UNAVAILABLE");
  });

  it("puts nothing that a proxy says down to a node", async () => {
    assert.equal(await codeOf(plain(502)), "UNREACHABLE");
    assert.equal(await codeOf(plain(503)), "UNREACHABLE");
    assert.equal(await codeOf(plain(504)), "TIMED_OUT");
    assert.equal(await codeOf(plain(413)), "TOO_LARGE");
    assert.equal(await codeOf(plain(401)), "UNAUTHENTICATED");
  });
});
