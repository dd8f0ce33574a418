/** A change of the ring is asked for only where there is room for it: on each disk, and in zones enough. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { type FakeCluster, settled } from "./fake-cluster.ts";
import { relabel } from "./relabel.ts";

/** Disks of 100 bytes. */
function fill(cluster: FakeCluster, usedBytes: number, ...names: string[]): void {
  for (const name of names.length > 0 ? names : cluster.members)
    cluster.nodes.disks.set(name, { usedBytes, freeBytes: 100 - usedBytes });
}

/** The members are in these zones, by ordinal, and the ring has them there. */
function place(cluster: FakeCluster, ...zones: string[]): void {
  for (const [index, member] of (cluster.nodes.ring?.members ?? []).entries()) {
    member.zone = zones[index] ?? member.zone;
    relabel(cluster, member.name, member.zone);
  }
}

async function isHeld(cluster: FakeCluster, reason: string, why: RegExp): Promise<void> {
  const { changes } = cluster.nodes;
  for (let second = 0; second < 90; second += 1) {
    await cluster.reconcile();
    cluster.tick();
  }
  assert.equal(cluster.nodes.changes, changes, "nothing is asked for");
  assert.equal(cluster.condition("Progressing").reason, reason);
  assert.match(cluster.condition("Progressing").message, why);
  assert.equal(cluster.condition("Progressing").status, "False");
}

const weighing = (name: string, weight: number) => ({ weights: { byNode: { [name]: weight } } });

describe("a scale-in", () => {
  it("is held where the one member left of a zone would be home to all, though all disks together have room", async () => {
    const cluster = await settled({ replicas: 6 });
    fill(cluster, 55);
    cluster.edit({ replicas: 5 });
    await isHeld(cluster, "ScaleInHeld", /^The disk of sessions-2 would be 110 % full, more than 70 %/);
    fill(cluster, 35);
    await cluster.until("settled", () => cluster.isSettled());
  });

  it("counts with the weights that are wanted with it", async () => {
    const cluster = await settled({ replicas: 9 });
    fill(cluster, 40);
    cluster.edit({ replicas: 8, ...weighing("sessions-2", 900) });
    await isHeld(cluster, "ScaleInHeld", /^The disk of sessions-2 would be 108 % full/);
    cluster.edit({ weights: {} });
    await cluster.until("settled", () => cluster.isSettled());
  });

  it("is allowed as much of a disk as the spec says", async () => {
    const autoscaling = { mode: "recommend", diskUsedPercentMax: 90 };
    const cluster = await settled({ replicas: 6, autoscaling });
    fill(cluster, 45);
    cluster.edit({ replicas: 5 });
    await cluster.until("settled", () => cluster.isSettled());
  });

  it("takes no zone from a partition, unless the spec is content with fewer", async () => {
    const cluster = await settled({ replicas: 4 });
    place(cluster, "a", "b", "b", "c");
    cluster.edit({ replicas: 3 });
    await isHeld(cluster, "ScaleInHeld", /^The rest would be in 2 zones, not 3: say zones\.minimum/);
    cluster.edit({ zones: { minimum: 1 } });
    await cluster.until("settled", () => cluster.isSettled());
  });

  it("may take the last member of a zone in which nobody holds data, and of one more than N", async () => {
    const cluster = await settled({ replicas: 5, ...weighing("sessions-4", 0) });
    place(cluster, "a", "b", "c", "d", "e");
    cluster.edit({ replicas: 3 });
    await cluster.until("settled", () => cluster.isSettled());
  });
});

describe("a weight", () => {
  it("is held where it would bring more onto a disk than that can take, and holds back no quorums", async () => {
    const cluster = await settled({ replicas: 6 });
    fill(cluster, 50);
    cluster.edit({ ...weighing("sessions-0", 1000), quorum: { n: 3, r: 1, w: 3, mode: "strict" } });
    await cluster.until("the quorums are changed", () => cluster.nodes.ring?.w === 3 && !cluster.nodes.running);
    await isHeld(cluster, "WeightsHeld", /^The disk of sessions-0 would be 91 % full, more than 70 %/);
    cluster.edit({ weights: {} });
    await cluster.until("settled", () => cluster.isSettled());
  });

  it("that takes data off the fullest disk is the way out, and is not held", async () => {
    const cluster = await settled({ replicas: 6 });
    fill(cluster, 60);
    fill(cluster, 95, "sessions-0");
    cluster.edit(weighing("sessions-0", 50));
    await cluster.until("settled", () => cluster.isSettled());
  });

  it("waits for a member that would get something by it and is away", async () => {
    const cluster = await settled({ replicas: 6 });
    cluster.crash("sessions-1", true);
    cluster.edit(weighing("sessions-1", 200));
    await isHeld(cluster, "WeightsHeld", /how full the disk of sessions-1 is cannot be told/i);
    cluster.crash("sessions-1", false);
    await cluster.until("settled", () => cluster.isSettled());
  });
});

describe("a scale-out", () => {
  it("is held where one in a zone of its own would be home to all, and goes on with two", async () => {
    const cluster = await settled({ replicas: 4 });
    place(cluster, "x", "y", "x", "y");
    fill(cluster, 60);
    cluster.edit({ replicas: 5 });
    await isHeld(cluster, "ScaleOutHeld", /^The disk of sessions-4 would be 80 % full, more than 70 %/);
    cluster.edit({ replicas: 6 });
    await cluster.until("settled", () => cluster.isSettled());
  });

  it("is not held by disks that are full already: it is what relieves them", async () => {
    const cluster = await settled({ replicas: 6 });
    fill(cluster, 97);
    cluster.edit({ replicas: 7 });
    await cluster.until("settled", () => cluster.isSettled());
  });
});
