/** Values whose time has come are forgotten as deleted ones are, whatever was forgotten before them. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { KvError } from "../../node/core/errors.ts";
import { partitionRange } from "../../node/core/keyspace.ts";
import { answerOf } from "./answers.ts";
import { SimulatedCluster } from "./cluster.ts";

const FLOOR_MS = 5_000;
/** Long enough for a deletion beside it to be collected while it is alive. */
const TTL_S = 40;

const pass = ({ simulator }: SimulatedCluster, ms: number) => simulator.runUntil(simulator.nowMs + ms);
const records = ({ nodes }: SimulatedCluster) =>
  nodes.map(({ disk }) => disk.entries({ ...partitionRange(0), limit: 10 }).length);

async function startCluster(): Promise<SimulatedCluster> {
  const cluster = new SimulatedCluster({
    ...{ seed: 8, nodes: 3, zones: 3, replicationFactor: 3, readQuorum: 2, writeQuorum: 2 },
    ...{ mode: "strict", durability: "disk", partitions: 1, tombstoneAgeMs: FLOOR_MS },
  });
  await cluster.startAll();
  await pass(cluster, 3_000);
  return cluster;
}

const coordinatorOf = (cluster: SimulatedCluster) => cluster.byName("n1").node?.coordinator ?? assert.fail("it serves");

async function put(cluster: SimulatedCluster, text: string, ttlS?: number): Promise<Uint8Array> {
  const key = new TextEncoder().encode(text);
  const write = { key, value: key, contentType: "text/plain", base: "overwrite", ttlS } as const;
  const answer = await answerOf(cluster, coordinatorOf(cluster).put(write, {}));
  assert(!(answer instanceof KvError), String(answer));
  return key;
}

describe("a value whose time has come", () => {
  it("is forgotten where nothing was before", async () => {
    const cluster = await startCluster();
    await put(cluster, "expires", TTL_S);
    await put(cluster, "stays");
    await pass(cluster, 3 * TTL_S * 1_000);
    assert.deepEqual(records(cluster), [1, 1, 1]);
  });

  it("is forgotten although the horizon of an earlier deletion covered it alive", async () => {
    const cluster = await startCluster();
    await put(cluster, "expires", TTL_S);
    const key = await put(cluster, "deleted");
    const deleted = await answerOf(cluster, coordinatorOf(cluster).delete({ key }, {}));
    assert(!(deleted instanceof KvError), String(deleted));
    await pass(cluster, 30_000);
    assert.deepEqual(records(cluster), [1, 1, 1], "the horizon is in force, and the value alive");
    await pass(cluster, 2 * TTL_S * 1_000);
    assert.deepEqual(records(cluster), [0, 0, 0]);
  });
});
