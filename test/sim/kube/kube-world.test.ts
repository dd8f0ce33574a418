/** The controllers of the simulated Kubernetes, and operator and nodes together in it while nothing goes wrong. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { numberAt, textAt } from "../../../operator/core/objects.ts";
import { atRest, founded } from "./founded.ts";
import { type KubeWorld, NAME } from "./kube-world.ts";

const machineOf = (world: KubeWorld, pod: string) =>
  world.machines.find(textAt(world.server.store.find("Pod", pod), "spec", "nodeName"));

describe("a cluster in a simulated Kubernetes", () => {
  it("is brought up, spread over the zones, each pod on a volume of its machine", async () => {
    const { world } = await founded();
    const zones = world.pods.map(({ metadata }) => machineOf(world, metadata.name)?.zone);
    assert.deepEqual(zones.toSorted(), ["z0", "z1", "z2"]);
    assert.equal(world.server.store.all("PersistentVolume").length, 3);
    assert(world.operators.processes.length === 2 && world.operators.starts === 2, "nobody died");
  });

  it("grows and shrinks, and gives up volumes only of who has left", async () => {
    const { world } = await founded();
    await atRest(world);
    world.scale(5);
    await atRest(world);
    assert.equal(world.pods.length, 5);
    world.scale(3);
    await atRest(world);
    assert.equal(world.pods.length, 3);
    await world.cluster.simulator.runUntil(world.cluster.simulator.nowMs + 40_000);
    assert.equal(world.server.store.all("PersistentVolumeClaim").length, 3);
  });

  it("takes who joined again for a member, though it had left before", async () => {
    const { world } = await founded({ whenScaled: "Retain" });
    for (const replicas of [4, 3, 4, 3]) {
      world.scale(replicas);
      await atRest(world);
      assert.equal(world.pods.length, replicas);
    }
  });

  it("refuses sizes below N, 1 and 0 among them", async () => {
    const { world } = await founded();
    assert.deepEqual(
      [2, 1, 0].map((replicas) => world.refuses(replicas)),
      [true, true, true],
    );
  });

  it("follows a load through the autoscaler", async () => {
    const { world } = await founded({ autoscaledMax: 5 });
    assert(world.autoscaler !== undefined, "there is one");
    world.autoscaler.settle();
    world.autoscaler.load = 5;
    await world.cluster.simulator.runUntil(world.cluster.simulator.nowMs + 5_000);
    await atRest(world);
    assert.equal(world.pods.length, 5);
    assert.equal(world.autoscaler.changes > 0, true);
  });

  it("rolls through another image, and past one that cannot be pulled", async () => {
    const { world } = await founded();
    world.edit({ image: "annulus:bad" });
    const { simulator } = world.cluster;
    await simulator.runUntil(simulator.nowMs + 60_000);
    const waiting = world.pods.filter(({ status }) => JSON.stringify(status).includes("ImagePullBackOff"));
    assert.equal(waiting.length, 1, "a bad image stops at the first pod");
    world.edit({ image: "annulus:other" });
    await atRest(world);
    assert(world.pods.every((pod) => textAt(pod, "spec", "containers", 0, "image") === "annulus:other"));
  });

  it("keeps a pod on its machine, and makes it anew elsewhere once that machine has been away for long", async () => {
    const { world } = await founded();
    await atRest(world);
    const machine = machineOf(world, "sessions-1");
    assert(machine !== undefined);
    world.powerOff(machine);
    const { simulator } = world.cluster;
    // Its peers see it down by then, and it is not ready for 8 of the 10 s after which it is made anew.
    await simulator.runUntil(simulator.nowMs + 12_000);
    world.powerOn(machine);
    await atRest(world);
    assert.equal(machineOf(world, "sessions-1"), machine, "its volume is there");
    world.powerOff(machine);
    await simulator.runUntil(simulator.nowMs + 20_000);
    await atRest(world);
    assert.notEqual(machineOf(world, "sessions-1"), machine);
  });

  it("keeps the volume of a machine that comes back while the operator waits for its silent node", async () => {
    const { world } = await founded();
    await atRest(world);
    const claim = () => {
      const { uid, deletionTimestamp } =
        world.server.store.find("PersistentVolumeClaim", "data-sessions-1")?.metadata ?? {};
      return { uid, deletionTimestamp };
    };
    const before = claim();
    const machine = machineOf(world, "sessions-1");
    assert(machine !== undefined);
    world.powerOff(machine);
    const { simulator, counters } = world.cluster;
    await simulator.runUntil(simulator.nowMs + 5_000);
    for (const process of world.operators.processes) world.operators.kill(process);
    await simulator.runUntil(simulator.nowMs + 14_000);
    let machinesSeen = 0;
    world.server.onCall = (_process, { verb, kind }, when) => {
      if (verb !== "read" || kind !== "Node" || when !== "after") return;
      machinesSeen += 1;
      // Each of the three pods' machines, this one among them, is read at once.
      if (machinesSeen === 3) world.powerOn(machine);
    };
    const failed = () => counters.get("annulus.operator.runs_failed") ?? 0;
    const failedBefore = failed();
    world.operators.startAll();
    await simulator.runUntil(simulator.nowMs + 20_000);
    await atRest(world);
    assert.deepEqual(claim(), before);
    assert(machinesSeen >= 3 && failed() > failedBefore, "it was about to be given up");
  });

  it("makes a StatefulSet that was deleted again with room for all, though it reaches no node and the spec wants fewer", async () => {
    const { world } = await founded();
    world.scale(5);
    await atRest(world);
    for (const { metadata } of world.pods) world.admin.unreachable.add(metadata.name);
    const set = world.server.store.find("StatefulSet", NAME);
    assert(set !== undefined);
    world.server.store.drop(set);
    world.scale(3);
    const { simulator } = world.cluster;
    await simulator.runUntil(simulator.nowMs + 20_000);
    assert.equal(numberAt(world.server.store.find("StatefulSet", NAME), "spec", "replicas"), 5);
    world.admin.heal();
    await atRest(world);
  });

  it("gives up nothing while two members are away", async () => {
    const { world } = await founded();
    await atRest(world);
    const claims = () => world.server.store.all("PersistentVolumeClaim").map(({ metadata }) => metadata.uid);
    const before = claims();
    const machines = ["sessions-0", "sessions-1"].map((pod) => machineOf(world, pod));
    for (const machine of machines) if (machine !== undefined) world.powerOff(machine);
    const { simulator } = world.cluster;
    await simulator.runUntil(simulator.nowMs + 30_000);
    assert.deepEqual(claims(), before);
    for (const machine of machines) if (machine !== undefined) world.powerOn(machine);
    await atRest(world);
    assert.deepEqual(claims(), before);
  });

  it("makes a member anew that is lost while the ring changes, for the change may wait for it", async () => {
    const { world } = await founded();
    world.scale(5);
    await atRest(world);
    world.scale(3);
    const { simulator, nodes } = world.cluster;
    const isChanging = () => nodes.some(({ node }) => node?.status.ring().transition !== undefined);
    assert(await simulator.runWhile(() => !isChanging(), 30_000), "a change begins");
    const machine = machineOf(world, "sessions-1");
    assert(machine !== undefined);
    world.powerOff(machine);
    world.lose(machine);
    await atRest(world);
    assert.equal(world.pods.length, 3);
  });

  it("comes up again after all machines lost power at once", async () => {
    const { world } = await founded();
    await atRest(world);
    for (const machine of world.machines.all) world.powerOff(machine);
    const { simulator } = world.cluster;
    await simulator.runUntil(simulator.nowMs + 3_000);
    for (const machine of world.machines.all) world.powerOn(machine);
    await atRest(world);
  });
});
