/** A blind deletion with an Idempotency-Key, sent again after the key was written anew; its first home missed both. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { KvError } from "../../node/core/errors.ts";
import { answerOf } from "./answers.ts";
import { SimulatedCluster } from "./cluster.ts";

const pass = ({ simulator }: SimulatedCluster, ms: number) => simulator.runUntil(simulator.nowMs + ms);
const bytesOf = (text: string) => new TextEncoder().encode(text);
const NAME = bytesOf("job 17");
const KEYS = 12;

/** What is there in the end, of each key. */
async function story(mode: "sloppy" | "strict", what: "creation" | "deletion" | "overwrite") {
  const cluster = new SimulatedCluster({
    ...{ seed: 8, nodes: 4, zones: 1, replicationFactor: 3, readQuorum: 2, writeQuorum: 2 },
    // After a long outage hints wait behind others: here they are not kept at all, and repair comes later.
    ...{ mode, durability: "disk", partitions: 16, hintBytesMax: 1, repairIntervalMs: 3_600_000 },
  });
  await cluster.startAll();
  await pass(cluster, 3_000);
  const lagging = cluster.byName("n1");
  const outside = cluster.byName("n4");
  const keys = Array.from({ length: 1_000 }, (_, i) => bytesOf(`key ${i}`))
    .filter((key) => {
      const homes = cluster.ring.homes(cluster.ring.partitionOf(key)).map(({ name }) => name);
      return homes[0] === lagging.name && !homes.includes(outside.name);
    })
    .slice(0, KEYS);
  assert.equal(keys.length, KEYS);
  const told = async <T>(asking: Promise<T>): Promise<T> => {
    const answer = await answerOf(cluster, asking);
    if (answer instanceof KvError) assert.fail(answer.message);
    return answer;
  };
  const coordinator = outside.node?.coordinator ?? assert.fail("it serves");
  const put = (key: Uint8Array, text: string) =>
    told(coordinator.put({ key, value: bytesOf(text), contentType: "", base: "overwrite" }, {}));
  const ask = (key: Uint8Array) =>
    what === "deletion"
      ? told(coordinator.delete({ key, idempotencyKey: NAME }, {}))
      : told(
          coordinator.put(
            what === "creation"
              ? {
                  key,
                  value: bytesOf("made"),
                  contentType: "",
                  base: "sibling",
                  onlyIfAbsent: true,
                  idempotencyKey: NAME,
                }
              : { key, value: bytesOf("made"), contentType: "", base: "overwrite", idempotencyKey: NAME },
            {},
          ),
        );
  if (what !== "creation") for (const key of keys) await put(key, "old");
  await pass(cluster, 1_000);
  cluster.crash(lagging, "process");
  await pass(cluster, 15_000);
  for (const key of keys) {
    await ask(key);
    await put(key, "new");
  }
  cluster.start(lagging);
  await pass(cluster, 10_000);
  // The answers to the first tries were lost on their way to the client, which repeats them under their name.
  const shown: string[] = [];
  for (const key of keys) {
    await ask(key);
    await pass(cluster, 1_000);
    const { siblings } = await told(coordinator.get(key, { readQuorum: 3 }));
    shown.push(
      siblings.map(({ value }) => (value === undefined ? "deleted" : new TextDecoder().decode(value))).join("+"),
    );
  }
  return shown;
}

const ALL_NEW = Array.from({ length: KEYS }, () => "new");

describe("a write that is repeated under its name when its first home had missed it", () => {
  it("replaces nothing that came after it: a creation (control)", async () => {
    assert.deepEqual(await story("sloppy", "creation"), ALL_NEW);
  });
  it("replaces nothing that came after it: a blind overwrite (control)", async () => {
    assert.deepEqual(await story("strict", "overwrite"), ALL_NEW);
  });
  it("replaces nothing that came after it: a blind deletion, sloppy", async () => {
    assert.deepEqual(await story("sloppy", "deletion"), ALL_NEW);
  });
  it("replaces nothing that came after it: a blind deletion, strict", async () => {
    assert.deepEqual(await story("strict", "deletion"), ALL_NEW);
  });
});
