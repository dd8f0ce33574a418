/** How long the API server has not been heard of, which is what an operator is started anew for. */
import assert from "node:assert/strict";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, it } from "@jest/globals";
import { KubeConfig } from "@kubernetes/client-node";
import { systemRandom } from "../../node/adapters/system.ts";
import { createKube } from "../../operator/adapters/kube.ts";
import { AUTOSCALERS, PODS } from "../../operator/core/kinds.ts";

const LONG_MS = 1_000_000;

describe("the API server", () => {
  const connections: ServerResponse[] = [];
  let refused = 0;
  const server = createServer((request, response) => {
    request.resume();
    if (request.url?.includes(AUTOSCALERS.plural) === true) {
      refused += 1;
      response.statusCode = 403;
      return response.end("{}");
    }
    if (request.url?.includes("watch=true") !== true)
      return response.end(JSON.stringify({ metadata: { resourceVersion: "1" }, items: [] }));
    response.flushHeaders();
    return connections.push(response);
  });

  beforeAll(() => new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve)));
  afterAll(() => {
    server.closeAllConnections();
    server.close();
  });

  it("has been heard of while any watch hears of it: that one kind is refused is told, and heals by no new start", async () => {
    const config = new KubeConfig();
    const { port } = server.address() as AddressInfo;
    config.loadFromClusterAndUser(
      { name: "c", server: `http://127.0.0.1:${port}`, skipTLSVerify: true },
      { name: "u" },
    );
    let nowMs = 0;
    const time = { monotonicMs: () => nowMs, wallMs: () => nowMs, after: () => ({ cancel() {} }) };
    const telemetry = { count() {}, observe() {}, gauge() {}, log() {} };
    const kube = createKube(config, { time, random: systemRandom(), telemetry });
    const until = async (done: () => boolean) => {
      while (!done()) await new Promise(setImmediate);
    };
    assert.deepEqual([kube.silentMs(), kube.unheardMs()], [0, 0]);
    const watches = [PODS, AUTOSCALERS].map((kind) => kube.watch(kind, { resyncMs: LONG_MS * 9 }, () => undefined));
    await until(() => connections.length === 1 && refused === 1);
    nowMs = LONG_MS;
    await until(() => kube.silentMs() === LONG_MS);
    const bookmark = { type: "BOOKMARK", object: { metadata: { resourceVersion: "2" } } };
    connections[0]?.write(`${JSON.stringify(bookmark)}\n`);
    await until(() => kube.unheardMs() === 0);
    assert.equal(kube.silentMs(), LONG_MS);
    nowMs += LONG_MS;
    assert.deepEqual([kube.silentMs(), kube.unheardMs()], [2 * LONG_MS, LONG_MS]);
    for (const watch of watches) watch.end();
    assert.deepEqual([kube.silentMs(), kube.unheardMs()], [0, 0]);
  });
});
