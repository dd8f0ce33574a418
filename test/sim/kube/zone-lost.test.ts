/** A zone that is lost for good, with more than one member: it is made anew where a person says so, and nothing is lost. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { textAt } from "../../../operator/core/objects.ts";
import { atRest, founded } from "./founded.ts";
import { type KubeWorld, NAME } from "./kube-world.ts";
import { assertShown, KEYS, putAll } from "./pairs.ts";

const claimsOf = (world: KubeWorld) =>
  world.server.store.all("PersistentVolumeClaim").map(({ metadata }) => metadata.uid);

/** Six members that hold data, of which those of the zone z1 are lost with their machines and disks. */
async function withoutZone(prepare: (world: KubeWorld) => Promise<void> = async () => {}) {
  const { world } = await founded({ machinesPerZone: 3 });
  world.scale(6);
  await atRest(world);
  const [writer] = world.cluster.nodes;
  assert(writer !== undefined);
  const acknowledged = await putAll(world, writer, KEYS, "before");
  assert.equal(acknowledged.length, KEYS.length);
  await prepare(world);
  const lost = world.machines.all.filter(({ zone }) => zone === "z1");
  const members = lost.flatMap((machine) => world.volumesOn(machine));
  assert.equal(members.length, 2);
  for (const machine of lost) {
    world.powerOff(machine);
    world.lose(machine);
  }
  return { world, members };
}

const pass = ({ cluster: { simulator } }: KubeWorld, ms: number) => simulator.runUntil(simulator.nowMs + ms);

describe("a zone that is lost with two of six members", () => {
  it("is not given up by itself, and served without, until a person says so of its members: then it is made anew", async () => {
    const { world, members } = await withoutZone();
    const before = claimsOf(world);
    await pass(world, 60_000);
    assert.deepEqual(claimsOf(world), before);
    assert.equal(world.condition("Degraded").reason, "ReplacementHeld");
    await assertShown(world, KEYS, "before");
    for (let i = 0; i < 3; i += 1) world.machines.add("z1");
    for (const name of members) world.askReplacement(name, "lost");
    await atRest(world, 240_000);
    assert.equal(claimsOf(world).filter((uid) => before.includes(uid)).length, 4);
    for (const name of members) {
      const pod = world.server.store.find("Pod", name);
      assert.equal(world.machines.find(textAt(pod, "spec", "nodeName"))?.zone, "z1", `${name} of ${NAME}`);
    }
    await assertShown(world, KEYS, "before");
  });

  it("is made anew also in other zones, and though a change of the ring was running", async () => {
    const { world, members } = await withoutZone(async (whole) => {
      whole.scale(7);
      const { simulator } = whole.cluster;
      const isChanging = () => whole.cluster.byName("sessions-0").node?.status.ring().transition !== undefined;
      assert(await simulator.runWhile(() => !isChanging(), 30_000), "a change begins");
    });
    await pass(world, 30_000);
    for (const name of members) world.askReplacement(name, "lost");
    await atRest(world, 240_000);
    assert.equal(world.pods.length, 7);
    await assertShown(world, KEYS, "before");
  });
});
