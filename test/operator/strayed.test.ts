/** Members that are in another zone than the ring has them in: it is told, and mended once all are whole and have room. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { type FakeCluster, settled } from "./fake-cluster.ts";
import { pass } from "./pass.ts";
import { relabel } from "./relabel.ts";

const POD = "sessions-1";

const listed = (cluster: FakeCluster) => cluster.nodes.ring?.members.find(({ name }) => name === POD)?.zone;

describe("a member in another zone than the ring has it in", () => {
  it("is listed where it is, by one change that restarts nothing", async () => {
    const cluster = await settled();
    relabel(cluster, POD, "d");
    await cluster.until("listed", () => cluster.isSettled() && listed(cluster) === "d");
    assert.equal(cluster.nodes.changes, 1);
    assert.deepEqual(cluster.story, []);
    assert.equal(cluster.condition("ZonesBalanced").status, "True");
  });

  it("stays where it is listed while its machine has no label of a zone", async () => {
    const cluster = await settled();
    relabel(cluster, POD, undefined);
    await pass(cluster, 60);
    assert.equal(cluster.nodes.changes, 0);
    assert.equal(cluster.condition("ZonesBalanced").reason, "ZoneChanged");
  });

  it("stays so while another member is missing", async () => {
    const cluster = await settled();
    cluster.crash("sessions-2", true);
    await pass(cluster, 2);
    relabel(cluster, POD, "d");
    await pass(cluster, 60);
    assert.equal(cluster.nodes.changes, 0);
    cluster.crash("sessions-2", false);
    await cluster.until("listed", () => cluster.isSettled() && listed(cluster) === "d");
  });

  it("stays so where a disk would be too full for what it got then, and what the spec wants goes on", async () => {
    const cluster = await settled({ replicas: 6 });
    for (const pod of cluster.members) cluster.nodes.disks.set(pod, { usedBytes: 60, freeBytes: 40 });
    relabel(cluster, POD, "a");
    await pass(cluster, 60);
    assert.equal(cluster.nodes.changes, 0);
    assert.equal(cluster.condition("ZonesBalanced").reason, "ZoneChanged");
    cluster.edit({ quorum: { n: 3, r: 1, w: 3, mode: "strict" } });
    await cluster.until("changed", () => cluster.isSettled() && cluster.nodes.ring?.w === 3);
    assert.equal(listed(cluster), "b");
  });
});
