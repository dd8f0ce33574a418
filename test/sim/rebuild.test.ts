/** A member that comes back with an empty disk: it says so, is not believed, is filled by its peers, and then is. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { KvError } from "../../node/core/errors.ts";
import { hintsRange } from "../../node/core/keyspace.ts";
import { answerOf } from "./answers.ts";
import { SimulatedCluster } from "./cluster.ts";
import { rot } from "./damage.ts";

const KEYS = 30;
const bytesOf = (text: string) => new TextEncoder().encode(text);

function startCluster(repairIntervalMs: number): SimulatedCluster {
  return new SimulatedCluster({
    seed: 5,
    nodes: 3,
    zones: 3,
    replicationFactor: 3,
    readQuorum: 2,
    writeQuorum: 2,
    mode: "strict",
    durability: "disk",
    repairIntervalMs,
  });
}

function stateOf(cluster: SimulatedCluster, name: string): string | undefined {
  const members = cluster.byName(name).node?.status.cluster().members ?? [];
  return members.find((member) => member.name === name)?.state;
}

/** Writes every key, through n1. */
async function writeAll(cluster: SimulatedCluster): Promise<void> {
  const coordinator = cluster.byName("n1").node?.coordinator ?? assert.fail("n1 serves");
  for (let key = 0; key < KEYS; key++) {
    const value = bytesOf(`value ${key}`);
    const put = { key: bytesOf(`key ${key}`), value, contentType: "text/plain", base: "sibling" } as const;
    const answer = await answerOf(cluster, coordinator.put(put, {}));
    assert(!(answer instanceof KvError), String(answer));
  }
}

/** Writes every key while n3 hears nothing, so that n1 and n2 alone acknowledge; then n1 loses its disk. */
async function loseOneOfTwoCopies(cluster: SimulatedCluster): Promise<void> {
  await cluster.startAll();
  await cluster.simulator.runUntil(cluster.simulator.nowMs + 3_000);
  for (const other of ["n1", "n2"]) {
    cluster.network.cut(other, "n3");
    cluster.network.cut("n3", other);
  }
  await cluster.simulator.runUntil(cluster.simulator.nowMs + 15_000);
  await writeAll(cluster);
  cluster.loseDisk(cluster.byName("n1"));
}

/** How many keys are missed when every one is read through the node at r=2; reads that are refused miss nothing. */
async function missedThrough(cluster: SimulatedCluster, name: string): Promise<number> {
  const coordinator = cluster.byName(name).node?.coordinator ?? assert.fail(`${name} serves`);
  let missed = 0;
  for (let key = 0; key < KEYS; key++) {
    const answer = await answerOf(cluster, coordinator.get(bytesOf(`key ${key}`), {}));
    if (!(answer instanceof KvError) && answer.siblings.length === 0) missed += 1;
  }
  return missed;
}

describe("a member whose disk was lost", () => {
  it("does not count towards R until it is full, so that no acknowledged write is missed", async () => {
    const cluster = startCluster(2_000);
    await loseOneOfTwoCopies(cluster);
    const n2 = cluster.byName("n2");
    // The one copy that is left is away: what answers is empty, or was cut off when the writes came.
    cluster.crash(n2, "process");
    cluster.network.heal();
    cluster.start(cluster.byName("n1"));
    await cluster.simulator.runUntil(cluster.simulator.nowMs + 8_000);
    assert.equal(stateOf(cluster, "n1"), "rebuilding");
    for (const name of ["n1", "n3"]) assert.equal(await missedThrough(cluster, name), 0, `missed through ${name}`);
    cluster.start(n2);
    const full = await cluster.simulator.runWhile(() => stateOf(cluster, "n1") !== "active", 30_000);
    assert(full, "it is full soon after the last copy is back");
    for (const name of ["n1", "n2", "n3"])
      assert.equal(await missedThrough(cluster, name), 0, `missed through ${name}`);
    const answer = await answerOf(
      cluster,
      (cluster.byName("n1").node ?? assert.fail("n1 serves")).coordinator.get(bytesOf("key 0"), { readQuorum: 3 }),
    );
    assert(!(answer instanceof KvError) && answer.siblings.length === 1, "all three homes answer");
    assert.equal(cluster.counters.get("annulus.rebuild.completed"), 1);
  });

  it("goes on being rebuilt after it was killed half-way", async () => {
    const cluster = startCluster(2_000);
    await loseOneOfTwoCopies(cluster);
    cluster.crash(cluster.byName("n2"), "process");
    cluster.network.heal();
    const n1 = cluster.byName("n1");
    cluster.start(n1);
    await cluster.simulator.runUntil(cluster.simulator.nowMs + 6_000);
    cluster.crash(n1, "process");
    cluster.start(n1);
    await cluster.simulator.runUntil(cluster.simulator.nowMs + 6_000);
    assert.equal(stateOf(cluster, "n1"), "rebuilding");
    assert.equal(await missedThrough(cluster, "n1"), 0);
  });

  it("is nothing special to members that start for the first time, however late", async () => {
    const cluster = startCluster(2_000);
    const [first, second, third] = cluster.nodes;
    for (const node of [first, second]) if (node !== undefined) cluster.start(node);
    await cluster.simulator.runUntil(10_000);
    if (third !== undefined) cluster.start(third);
    await cluster.simulator.runUntil(12_000);
    assert.deepEqual(
      ["n1", "n2", "n3"].map((name) => stateOf(cluster, name)),
      ["active", "active", "active"],
    );
    assert.equal(third?.disk.entries({ ...hintsRange(), limit: 1 }).length, 0);
  });

  it("is not filled by another one that is being rebuilt itself", async () => {
    const cluster = new SimulatedCluster({
      seed: 6,
      nodes: 4,
      zones: 4,
      replicationFactor: 4,
      readQuorum: 2,
      writeQuorum: 3,
      mode: "strict",
      durability: "disk",
    });
    await cluster.startAll();
    await cluster.simulator.runUntil(cluster.simulator.nowMs + 3_000);
    for (const other of ["n1", "n2", "n3"]) {
      cluster.network.cut(other, "n4");
      cluster.network.cut("n4", other);
    }
    await cluster.simulator.runUntil(cluster.simulator.nowMs + 15_000);
    await writeAll(cluster);
    // Two of the three disks that acknowledged are lost, and the third is away; n4 never heard of the writes.
    for (const name of ["n1", "n2"]) cluster.loseDisk(cluster.byName(name));
    cluster.crash(cluster.byName("n3"), "process");
    cluster.network.heal();
    for (const name of ["n1", "n2"]) cluster.start(cluster.byName(name));
    await cluster.simulator.runUntil(cluster.simulator.nowMs + 12_000);
    for (const name of ["n1", "n2"]) assert.equal(stateOf(cluster, name), "rebuilding");
    for (const name of ["n1", "n2", "n4"])
      assert.equal(await missedThrough(cluster, name), 0, `missed through ${name}`);
  });

  it("is not filled by a home that finds a record of its own damaged while it fills it", async () => {
    // W = 3 acknowledged each write, and one key is lost twice: with n1's disk, and in n2's. n3 alone holds it, and is cut off.
    const cluster = new SimulatedCluster({
      seed: 7,
      nodes: 3,
      zones: 3,
      replicationFactor: 3,
      readQuorum: 1,
      writeQuorum: 3,
      mode: "strict",
      durability: "disk",
      repairIntervalMs: 2_000,
    });
    await cluster.startAll();
    await cluster.simulator.runUntil(cluster.simulator.nowMs + 3_000);
    await writeAll(cluster);
    for (const other of ["n1", "n2"]) {
      cluster.network.cut(other, "n3");
      cluster.network.cut("n3", other);
    }
    const n1 = cluster.byName("n1");
    cluster.loseDisk(n1);
    assert(rot(cluster, cluster.byName("n2"), bytesOf("key 7")), "n2 holds the record");
    cluster.start(n1);
    await cluster.simulator.runUntil(cluster.simulator.nowMs + 15_000);
    for (const name of ["n1", "n2"]) assert.equal(await missedThrough(cluster, name), 0, `missed through ${name}`);
    assert.equal(stateOf(cluster, "n1"), "rebuilding", "nobody whom it heard holds all");
    cluster.network.heal();
    const full = await cluster.simulator.runWhile(() => stateOf(cluster, "n1") !== "active", 30_000);
    assert(full, "it is full soon after the last copy is back");
    for (const name of ["n1", "n2", "n3"])
      assert.equal(await missedThrough(cluster, name), 0, `missed through ${name}`);
  });
});
