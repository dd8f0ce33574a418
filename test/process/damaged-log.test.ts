/** A node whose log was damaged while it was down, under the same boot of its machine: some of what it acknowledged is gone. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { it } from "@jest/globals";
import { LocalCluster } from "../bench/cluster.ts";
import { damageLog, damageLogHead } from "../contract/damaged-store.ts";
import { ask } from "./http.ts";

const WRITES = 300;

it("a node that lost a part of its log goes on under a new incarnation, and says what it lost", async () => {
  const settings = { ANNULUS_N: "1", ANNULUS_R: "1", ANNULUS_W: "1", ANNULUS_PARTITIONS: "64" };
  const cluster = await LocalCluster.start({ places: [{ host: "127.0.0.1", zone: "a" }], settings });
  try {
    const [node] = cluster.nodes;
    assert(node?.server !== undefined, "there is one node, and it runs");
    assert.match(node.server.output, /"incarnation":1,.*"identity\.opened"/);
    for (let count = 0; count < WRITES; count++) {
      assert.equal((await ask(node, "PUT", `k${count}`, { body: "v".repeat(1_000) })).status, 204);
    }
    await cluster.killNode(node);
    await cluster.startNode(node);
    assert.match(node.server.output, /"incarnation":1,.*"identity\.opened"/, "a kill alone loses nothing");
    await cluster.stopProcesses();

    await cluster.startNode(node);
    for (let count = 0; count < WRITES; count++) {
      assert.equal((await ask(node, "PUT", `k${count}`, { body: "w".repeat(1_000) })).status, 204);
    }
    await cluster.killNode(node);
    await damageLog(join(node.dataDirectory, "store"));
    await cluster.startNode(node);
    assert.match(node.server.output, /dropping \d+ bytes; Corruption.*"store\.log_damaged"/);
    assert.match(node.server.output, /"incarnation":1048577,.*"afterLoss":true.*"identity\.opened"/);
    await cluster.stopProcesses();

    await cluster.startNode(node);
    assert.match(node.server.output, /"incarnation":1048577,.*"identity\.opened"/, "one loss is made good once");
    assert.equal((await ask(node, "PUT", "k", { body: "x" })).status, 204);
    await cluster.killNode(node);
    // What this start wrote of its identity goes as well: what is left says that the stop was clean.
    await damageLogHead(join(node.dataDirectory, "store"));
    await cluster.startNode(node);
    assert.match(node.server.output, /"incarnation":2097153,.*"afterLoss":true.*"identity\.opened"/);
  } finally {
    await cluster.stop();
  }
});
