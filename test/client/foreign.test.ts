/** The client library where what answers at a URL is no node: a proxy's page, another service, a wrong port. */
import assert from "node:assert/strict";
import { afterEach, describe, it } from "@jest/globals";
import { AnnulusError, type Client } from "../../node/client/client.ts";
import { connect, type Step, scriptedNode, stopAll, takes } from "./scripted-node.ts";
import { failureOf } from "./waiting.ts";

afterEach(stopAll);

const page =
  (status: number): Step =>
  (_request, response) =>
    void response.writeHead(status, { "content-type": "text/html" }).end("<h1>Log in</h1>");
const found: Step = (_request, response) =>
  void response.writeHead(200, { "kv-node": "n1", "kv-context": "seen" }).end("v");

const get = (client: Client) => client.get("k");
const failure = (promise: Promise<unknown>) => failureOf(promise, AnnulusError);

describe("an answer that is no node's", () => {
  it("is never taken for a value, for siblings or for a key that was never written", async () => {
    for (const status of [200, 300, 302, 404]) {
      const { url } = await scriptedNode([page(status)]);
      const error = await failure(get(connect({ urls: [url], attemptsMax: 2 })));
      assert.deepEqual([error.code, error.outcome], ["UNREACHABLE", "none"]);
      assert.match(error.message, /is no node.* answers \d+ without KV-Node.*data port/);
      assert.ok(error.message.includes(url) && error.message.includes(String(status)), error.message);
    }
  });

  it("to a write says so, and that nothing was written where it is no success", async () => {
    for (const status of [302, 404]) {
      const { url } = await scriptedNode([page(status)]);
      const error = await failure(connect({ urls: [url], attemptsMax: 2 }).put("k", "v"));
      assert.deepEqual([error.code, error.outcome], ["UNREACHABLE", "none"]);
    }
  });

  it("is passed over for a node's", async () => {
    const other = await scriptedNode([page(404)]);
    const node = await scriptedNode([found, found, found, found, takes()]);
    const client = connect({ urls: [other.url, node.url] });
    for (let count = 0; count < 4; count++) assert.equal((await get(client))?.text(), "v");
    await client.put("k", "v");
    assert.ok(other.asked.length <= 2, `${other.asked.length} requests went to what is no node`);
  });
});
