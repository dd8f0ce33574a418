/** A blind overwrite with an Idempotency-Key, acknowledged, and sent again later when its first home had missed it. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { KvError } from "../../node/core/errors.ts";
import { answerOf } from "./answers.ts";
import { SimulatedCluster } from "./cluster.ts";

const pass = ({ simulator }: SimulatedCluster, ms: number) => simulator.runUntil(simulator.nowMs + ms);
const bytesOf = (text: string) => new TextEncoder().encode(text);

async function story(ttlS: number | undefined, seed = 8) {
  const cluster = new SimulatedCluster({
    ...{ seed, nodes: 4, zones: 1, replicationFactor: 3, readQuorum: 2, writeQuorum: 2 },
    // After a long outage hints wait behind others: here they are not kept at all, and repair comes later.
    ...{ mode: "strict", durability: "disk", partitions: 16, hintBytesMax: 1, repairIntervalMs: 3_600_000 },
  });
  await cluster.startAll();
  await pass(cluster, 3_000);
  const lagging = cluster.byName("n1");
  const key =
    Array.from({ length: 1_000 }, (_, i) => bytesOf(`key ${i}`)).find((one) => {
      const homes = cluster.ring.homes(cluster.ring.partitionOf(one)).map(({ name }) => name);
      return homes[0] === lagging.name && !homes.includes("n4");
    }) ?? assert.fail("a key");
  const told = async <T>(asking: Promise<T>): Promise<T> => {
    const answer = await answerOf(cluster, asking);
    if (answer instanceof KvError) assert.fail(answer.message);
    return answer;
  };
  const through = (name: string) => cluster.byName(name).node?.coordinator ?? assert.fail(`${name} serves`);
  const named = () =>
    told(
      through("n4").put(
        { key, value: bytesOf("first"), contentType: "", base: "overwrite", idempotencyKey: bytesOf("job 17"), ttlS },
        {},
      ),
    );
  const shown = async () => {
    const { siblings } = await told(through("n4").get(key, { readQuorum: 3 }));
    return siblings.flatMap(({ value }) => (value === undefined ? [] : [new TextDecoder().decode(value)])).sort();
  };
  cluster.crash(lagging, "process");
  await pass(cluster, 15_000);
  await named();
  cluster.start(lagging);
  await pass(cluster, 10_000);
  return { cluster, through, told, key, named, shown };
}

describe("a blind overwrite that was acknowledged, and is sent again under its name", () => {
  it("replaces nothing that was acknowledged after it", async () => {
    const { through, told, key, named, shown } = await story(undefined);
    const { receipt } = await told(
      through("n1").put({ key, value: bytesOf("second"), contentType: "", base: "sibling" }, { writeQuorum: 3 }),
    );
    assert.equal(receipt.acks, 3, "all homes acknowledged it");
    await named();
    assert.deepEqual(await shown(), ["first", "second"]);
  });

  it("does not bring its value back once its life has ended", async () => {
    // Which of two stamps is shown goes by the order of their stampers' ids.
    const back: number[] = [];
    for (let seed = 1; seed <= 4; seed++) {
      const { cluster, named, shown } = await story(20, seed);
      await pass(cluster, 60_000);
      await named();
      if ((await shown()).length > 0) back.push(seed);
    }
    assert.deepEqual(back, []);
  });
});
