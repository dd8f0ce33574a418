/**
 * A machine that nobody reaches but the peers of the node on it: that node goes on while its member is made anew elsewhere,
 * for a person says so. By itself the operator gives up nobody whom a peer sees up.
 */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { textAt } from "../../../operator/core/objects.ts";
import { atRest, founded } from "./founded.ts";
import type { KubeWorld } from "./kube-world.ts";
import { assertShown, KEYS, putAll } from "./pairs.ts";

const MEMBER = "sessions-1";

/** A member's machine is cut off; `isUntil` says what is waited for. */
async function cutOff(isUntil: (world: KubeWorld) => boolean) {
  const { world } = await founded({}, "strict");
  await atRest(world);
  const { simulator } = world.cluster;
  const machine = world.machines.find(textAt(world.server.store.find("Pod", MEMBER), "spec", "nodeName"));
  assert(machine !== undefined);
  machine.muteUntilMs = simulator.nowMs + 120_000;
  machine.cutOffUntilMs = machine.muteUntilMs;
  const isPending = () => !isUntil(world) && world.cluster.bug === undefined;
  await simulator.runWhile(() => world.machines.isReady(machine), 10_000);
  world.askReplacement(MEMBER);
  assert(await simulator.runWhile(isPending, 60_000), world.describe());
  const [ghost] = world.cluster.ghosts;
  assert(ghost?.node !== undefined, "it runs on");
  const heal = () => {
    machine.muteUntilMs = 0;
    machine.cutOffUntilMs = 0;
  };
  return { world, ghost, heal };
}

const isGhostly = ({ cluster }: KubeWorld) => cluster.ghosts.length > 0;

function isRenewed(world: KubeWorld): boolean {
  const renewed = world.cluster.byName(MEMBER).node;
  return isGhostly(world) && renewed?.status.readiness().ready === true;
}

describe("a node that runs on when its member has been made anew elsewhere", () => {
  it("acknowledges nothing that is gone with it", async () => {
    const { world, ghost, heal } = await cutOff(isRenewed);
    const { simulator } = world.cluster;
    await simulator.runUntil(simulator.nowMs + 10_000);
    const acknowledged = await putAll(world, ghost, KEYS, "late");
    await assertShown(world, acknowledged, "late");
    heal();
    await simulator.runWhile(() => isGhostly(world), 10_000);
    await assertShown(world, acknowledged, "late");
    await atRest(world);
  });

  it("acknowledges nothing that others miss, while its successor is being filled and listed", async () => {
    const { world, ghost, heal } = await cutOff(isGhostly);
    const { simulator } = world.cluster;
    for (let round = 0; round < 60; round += 1) {
      const keys = KEYS.slice(0, 4);
      const acknowledged = await putAll(world, ghost, keys, `round ${round}`);
      await assertShown(world, acknowledged, `round ${round}`);
      await simulator.runUntil(simulator.nowMs + 250);
    }
    assert(isRenewed(world), "its successor is ready by now");
    heal();
    await atRest(world);
  });
});
