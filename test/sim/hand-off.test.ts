/** What sloppy quorums and hints are for, told as stories: a node that is away, and a zone that is cut off. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { KvError } from "../../node/core/errors.ts";
import { hintsRange, partitionRange } from "../../node/core/keyspace.ts";
import type { Coordinator, ReadAnswer } from "../../node/services/coordinator.ts";
import { answerOf } from "./answers.ts";
import { type ClusterOptions, SimulatedCluster } from "./cluster.ts";

const NEVER_MS = 31_536_000_000;
const bytesOf = (text: string) => new TextEncoder().encode(text);
const textsOf = ({ siblings }: ReadAnswer) =>
  siblings.flatMap(({ value }) => (value === undefined ? [] : [new TextDecoder().decode(value)])).sort();

/** A cluster without anti-entropy: what arrives came by a write, a hint or a read. */
async function startCluster(options: Partial<ClusterOptions>): Promise<SimulatedCluster> {
  const cluster = new SimulatedCluster({
    seed: 1,
    nodes: 5,
    zones: 3,
    replicationFactor: 3,
    readQuorum: 2,
    writeQuorum: 2,
    mode: "sloppy",
    durability: "os",
    repairIntervalMs: NEVER_MS,
    ...options,
  });
  await cluster.startAll();
  // A node whose ring is still on its way knows of no member that could be down.
  await cluster.simulator.runUntil(cluster.simulator.nowMs + 2_000);
  return cluster;
}

function coordinatorOf(cluster: SimulatedCluster, name: string): Coordinator {
  return cluster.byName(name).node?.coordinator ?? assert.fail(`${name} serves`);
}

async function won<T>(cluster: SimulatedCluster, asking: Promise<T>): Promise<T> {
  const answer = await answerOf(cluster, asking);
  if (answer instanceof KvError) throw answer;
  return answer;
}

const putOf = (key: string, value: string) =>
  ({ key: bytesOf(key), value: bytesOf(value), contentType: "text/plain", base: "sibling" }) as const;

function hintsWaiting({ nodes }: SimulatedCluster): number {
  return nodes.reduce((sum, { disk }) => sum + disk.entries({ ...hintsRange(), limit: 10_000 }).length, 0);
}

/** Keys that some home replica holds otherwise than another. */
function differing(cluster: SimulatedCluster): number {
  let count = 0;
  for (let partition = 0; partition < cluster.ring.partitions; partition++) {
    const copies = cluster.ring.homes(partition).map(({ name }) => {
      const entries = cluster.byName(name).disk.entries({ ...partitionRange(partition), limit: 10_000 });
      return new Map(entries.map(({ key, value }) => [Buffer.from(key).toString("hex"), Buffer.from(value)]));
    });
    for (const key of new Set(copies.flatMap((copy) => [...copy.keys()]))) {
      const [first, ...others] = copies.map((copy) => copy.get(key)?.toString("hex"));
      if (others.some((other) => other !== first)) count += 1;
    }
  }
  return count;
}

/** Cuts the zones into two sides, each of which goes on alone. */
function cutZones(cluster: SimulatedCluster, smaller: string): { readonly small: string[]; readonly large: string[] } {
  const isSmall = (name: string) => cluster.ring.member(name)?.zone === smaller;
  const names = cluster.nodes.map(({ name }) => name);
  const sides = { small: names.filter(isSmall), large: names.filter((name) => !isSmall(name)) };
  for (const a of sides.small) {
    for (const b of sides.large) {
      cluster.network.cut(a, b);
      cluster.network.cut(b, a);
    }
  }
  return sides;
}

describe("a node that is away for ten minutes under write load, without anti-entropy", () => {
  it.each(["sloppy", "strict"] as const)(
    "is given all that it missed by hints, and then holds what the others hold (%s)",
    async (mode) => {
      const cluster = await startCluster({ mode });
      const { simulator } = cluster;
      const away = cluster.byName("n2");
      cluster.crash(away, "process");
      const untilMs = simulator.nowMs + 600_000;
      let writes = 0;
      while (simulator.nowMs < untilMs) {
        const through = ["n1", "n3", "n4", "n5"][writes % 4] as string;
        const command = { ...putOf(`key ${writes % 400}`, `value ${writes}`), base: "overwrite" } as const;
        await won(cluster, coordinatorOf(cluster, through).put(command, {}));
        writes += 1;
        await simulator.runUntil(simulator.nowMs + 250);
      }
      const waiting = hintsWaiting(cluster);
      assert(writes > 2_000 && waiting > 100 && differing(cluster) > 100, "the node missed much");
      const backMs = simulator.nowMs;
      cluster.start(away);
      const delivered = await simulator.runWhile(() => hintsWaiting(cluster) > 0, 30_000);
      const tookMs = simulator.nowMs - backMs;
      assert(delivered, `all hints are delivered; ${hintsWaiting(cluster)} of ${waiting} wait after ${tookMs} ms`);
      await simulator.runUntil(simulator.nowMs + 1_000);
      assert.equal(differing(cluster), 0, "all home replicas hold equal bytes");
      simulator.tell(`${writes} writes, ${waiting} hints delivered within ${tookMs} ms`);
      assert(tookMs < 10_000, `within 10 s of its return: ${tookMs} ms`);
      assert.equal(cluster.bug, undefined);
    },
    120_000,
  );
});

describe("stand-ins whose budget of hints is used up", () => {
  it("refuse what W needs, so that the write fails, and what W does not need is dropped and counted", async () => {
    const cluster = await startCluster({ hintBytesMax: 1 });
    const { simulator, counters } = cluster;
    const key = "key";
    const homes = cluster.ring.homes(cluster.ring.partitionOf(bytesOf(key))).map(({ name }) => name);
    const through = () => coordinatorOf(cluster, homes[0] as string);
    cluster.crash(cluster.byName(homes[2] as string), "process");
    await simulator.runUntil(simulator.nowMs + 15_000);
    const { receipt } = await won(cluster, through().put(putOf(key, "two homes have it"), {}));
    assert.deepEqual([receipt.acks, receipt.hinted], [2, 0]);
    await simulator.runUntil(simulator.nowMs + 2_000);
    assert.equal(hintsWaiting(cluster), 0);
    const dropped = counters.get("annulus.hints.dropped") ?? 0;
    assert(dropped > 0, "counted as dropped");
    cluster.crash(cluster.byName(homes[1] as string), "process");
    await simulator.runUntil(simulator.nowMs + 15_000);
    const refused = await answerOf(cluster, through().put(putOf(key, "one home has it"), {}));
    assert(refused instanceof KvError && refused.code === "QUORUM_LOST", `refused: ${refused}`);
    assert.equal(refused.outcome, "unknown", "for the one home has it");
    assert((counters.get("annulus.hints.refused") ?? 0) > 0);
    assert.equal(hintsWaiting(cluster), 0);
    assert.equal(cluster.bug, undefined);
  });
});

describe("three zones of which one is cut off", () => {
  const KEYS = Array.from({ length: 12 }, (_, index) => `key ${index}`);

  it("go on with reads and writes at quorum on the larger side", async () => {
    const cluster = await startCluster({ nodes: 6 });
    const { large } = cutZones(cluster, "z0");
    await cluster.simulator.runUntil(cluster.simulator.nowMs + 3_000);
    for (const [index, key] of KEYS.entries()) {
      const through = coordinatorOf(cluster, large[index % large.length] as string);
      await won(cluster, through.put(putOf(key, "written"), { writeQuorum: 2 }));
      assert.deepEqual(textsOf(await won(cluster, through.get(bytesOf(key), { readQuorum: 2 }))), ["written"]);
    }
  });

  it("answer on both sides at r=1 w=1, and afterwards show as siblings what both sides wrote", async () => {
    const cluster = await startCluster({ nodes: 6 });
    const { small, large } = cutZones(cluster, "z0");
    await cluster.simulator.runUntil(cluster.simulator.nowMs + 3_000);
    for (const [index, key] of KEYS.entries()) {
      for (const [side, names] of [
        ["small", small],
        ["large", large],
      ] as const) {
        const through = coordinatorOf(cluster, names[index % names.length] as string);
        await won(cluster, through.put(putOf(key, side), { writeQuorum: 1 }));
        // One home has it; at r=1 another may be asked, and R + W ≤ N promises no more than that it comes to know.
        await cluster.simulator.runUntil(cluster.simulator.nowMs + 100);
        assert.deepEqual(textsOf(await won(cluster, through.get(bytesOf(key), { readQuorum: 1 }))), [side]);
      }
    }
    cluster.network.heal();
    await cluster.simulator.runUntil(cluster.simulator.nowMs + 15_000);
    assert.equal(hintsWaiting(cluster), 0, "no hint waits");
    for (const key of KEYS) {
      const shown = textsOf(await won(cluster, coordinatorOf(cluster, "n1").get(bytesOf(key), { readQuorum: 3 })));
      assert.deepEqual(shown, ["large", "small"]);
    }
    // A home that was asked to stamp, and did so when the cut healed, holds a second stamp that only a read has found.
    await cluster.simulator.runUntil(cluster.simulator.nowMs + 2_000);
    assert.equal(differing(cluster), 0, "all home replicas hold equal bytes");
  });

  it("refuse strict writes at quorum on the smaller side, with nothing sent, and take them on the larger", async () => {
    const cluster = await startCluster({ nodes: 6, mode: "strict" });
    const { small, large } = cutZones(cluster, "z0");
    // The smaller side's links end once they have been silent for long enough.
    await cluster.simulator.runUntil(cluster.simulator.nowMs + 20_000);
    for (const [index, key] of KEYS.entries()) {
      const refused = await answerOf(
        cluster,
        coordinatorOf(cluster, small[index % small.length] as string).put(putOf(key, "small"), { writeQuorum: 2 }),
      );
      assert(refused instanceof KvError && refused.code === "QUORUM_UNAVAILABLE", `refused: ${refused}`);
      assert.equal(refused.outcome, "none");
      const through = coordinatorOf(cluster, large[index % large.length] as string);
      const { receipt } = await won(cluster, through.put(putOf(key, "large"), { writeQuorum: 2 }));
      assert.equal(receipt.hinted, 0);
    }
    cluster.network.heal();
    await cluster.simulator.runUntil(cluster.simulator.nowMs + 15_000);
    for (const key of KEYS) {
      const shown = textsOf(await won(cluster, coordinatorOf(cluster, small[0] as string).get(bytesOf(key), {})));
      assert.deepEqual(shown, ["large"], "what was refused is nowhere");
    }
  });
});
