/** A value that every home knew to be gone, and that is on a home's disk again: wrong, but where that home lost what told it so. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { dataKey } from "../../node/core/keyspace.ts";
import { answered } from "./answers.ts";
import { Buried } from "./buried.ts";
import { SimulatedCluster, type SimulatedNode } from "./cluster.ts";
import { rot } from "./damage.ts";
import { nodeOf, pass } from "./quiet-cluster.ts";
import { Tally } from "./tally.ts";

const KEY = new TextEncoder().encode("key 0");

/** A value that was replaced at all three homes, and what its record was. */
async function replaced() {
  const cluster = new SimulatedCluster({
    ...{ seed: 5, nodes: 3, zones: 3, replicationFactor: 3, readQuorum: 2, writeQuorum: 3, partitions: 8 },
    ...{ mode: "strict", durability: "disk" },
  });
  await cluster.startAll();
  await pass(cluster, 5_000);
  const buried = new Buried(cluster, ["key 0"], new Tally());
  const at = dataKey(cluster.ring.partitionOf(KEY), KEY);
  const home = cluster.byName("n2");
  const put = async (value: string) => {
    const command = {
      key: KEY,
      value: new TextEncoder().encode(value),
      contentType: "text/plain",
      base: "overwrite",
    } as const;
    await answered(cluster.simulator, nodeOf(cluster, "n1").coordinator.put(command, {}), 10_000);
    await pass(cluster, 2_000);
  };
  await put("first");
  const first = home.disk.peek(at)?.slice() ?? assert.fail("it is on the disk");
  await put("second");
  buried.check();
  /** As a message or a hint does that was late. */
  const bringBack = async ({ engine }: SimulatedNode) => {
    assert(engine !== undefined, "it runs");
    await answered(cluster.simulator, engine.batch([{ kind: "put", key: at, value: first }], { sync: true }), 10_000);
  };
  return { cluster, buried, home, bringBack };
}

describe("a value that every home knew to be gone", () => {
  it("is missed at once when a home holds it again", async () => {
    const { buried, home, bringBack } = await replaced();
    await bringBack(home);
    assert.throws(() => buried.check(), /never comes back: n2 holds/);
  });

  it("may come back to a home whose record rotted", async () => {
    const { cluster, buried, home, bringBack } = await replaced();
    assert(rot(cluster, home, KEY));
    await bringBack(home);
    buried.check();
  });
});
