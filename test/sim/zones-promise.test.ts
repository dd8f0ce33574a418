/**
 * Zones of an acknowledgement of which a copy is a stand-in's: when the home is back the hint moves to the home's zone. A write
 * with zones=2 outlives a zone also then.
 */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { KvError } from "../../node/core/errors.ts";
import { answerOf } from "./answers.ts";
import { SimulatedCluster } from "./cluster.ts";

const pass = ({ simulator }: SimulatedCluster, ms: number) => simulator.runUntil(simulator.nowMs + ms);

describe("a write acknowledged with zones=2", () => {
  it("outlives one zone", async () => {
    const cluster = new SimulatedCluster({
      ...{ seed: 3, nodes: 4, zones: 2, replicationFactor: 3, readQuorum: 2, writeQuorum: 2 },
      ...{ mode: "sloppy", durability: "disk" },
    });
    await cluster.startAll();
    await pass(cluster, 3_000);
    // Homes: two in one zone, the first of them listed before the only one of the other zone.
    const fits = (key: Uint8Array) => {
      const [a, b, c] = cluster.ring.homes(cluster.ring.partitionOf(key)).map(({ zone }) => zone);
      return a === c && a !== b;
    };
    const key = Array.from({ length: 1_000 }, (_, i) => new TextEncoder().encode(`key ${i}`)).find(fits);
    assert(key !== undefined, "there is such a partition");
    const homes = cluster.ring.homes(cluster.ring.partitionOf(key)).map(({ name }) => cluster.byName(name));
    const [back, away, stays] = homes as [(typeof homes)[0], (typeof homes)[0], (typeof homes)[0]];
    for (const machine of [back, away]) cluster.crash(machine, "process");
    await pass(cluster, 15_000);
    const coordinator = stays.node?.coordinator ?? assert.fail("it serves");
    const put = { key, value: key, contentType: "text/plain", base: "overwrite" } as const;
    const written = await answerOf(cluster, coordinator.put(put, { zones: 2, writeQuorum: 2, mode: "sloppy" }));
    assert(!(written instanceof KvError), String(written));
    assert.deepEqual([written.receipt.acks, written.receipt.zones], [2, 2]);
    cluster.start(back);
    await pass(cluster, 20_000);
    // The zone burns; the other one is whole.
    cluster.loseDisk(back);
    cluster.loseDisk(stays);
    await cluster.startAll();
    await pass(cluster, 60_000);
    const reader = away.node?.coordinator ?? assert.fail("it serves");
    const read = await answerOf(cluster, reader.get(key, { readQuorum: 1 }));
    assert(!(read instanceof KvError), String(read));
    assert.equal(read.siblings.length, 1, `lost; zones of the acknowledgement: ${written.receipt.zones}`);
  });

  it("is refused with nothing sent where only stand-ins of other zones than their homes' are left", async () => {
    const cluster = new SimulatedCluster({
      ...{ seed: 3, nodes: 3, zones: 3, replicationFactor: 2, readQuorum: 1, writeQuorum: 2 },
      ...{ mode: "sloppy", durability: "disk" },
    });
    await cluster.startAll();
    await pass(cluster, 3_000);
    const key = new TextEncoder().encode("key");
    const [stays, away] = cluster.ring.homes(cluster.ring.partitionOf(key)).map(({ name }) => cluster.byName(name));
    assert(stays !== undefined && away !== undefined, "it has two homes");
    cluster.crash(away, "process");
    await pass(cluster, 15_000);
    const coordinator = stays.node?.coordinator ?? assert.fail("it serves");
    const put = { key, value: key, contentType: "text/plain", base: "overwrite" } as const;
    const refused = await answerOf(cluster, coordinator.put(put, { zones: 2 }));
    assert(refused instanceof KvError, "the home that is away is the only one of its zone");
    assert.deepEqual([refused.code, refused.outcome], ["QUORUM_UNAVAILABLE", "none"]);
    const written = await answerOf(cluster, coordinator.put(put, {}));
    assert(!(written instanceof KvError), "two copies in one zone and a third zone can still be had");
  });
});
