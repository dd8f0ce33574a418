/**
 * A machine that nobody reaches but the peers of the node on it: that node goes on while its member is made anew elsewhere,
 * for a person says so. By itself the operator gives up nobody whom a peer sees up.
 */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { KvError } from "../../../node/core/errors.ts";
import { REPLACE_ANNOTATION } from "../../../operator/api/kvcluster.ts";
import { textAt } from "../../../operator/core/objects.ts";
import { answerOf } from "../answers.ts";
import type { SimulatedNode } from "../cluster.ts";
import { atRest, founded } from "./founded.ts";
import type { KubeWorld } from "./kube-world.ts";

const bytesOf = (text: string) => new TextEncoder().encode(text);
const MEMBER = "sessions-1";
const KEYS = Array.from({ length: 40 }, (_, index) => bytesOf(`key ${index}`));

function put(world: KubeWorld, { node }: SimulatedNode, key: Uint8Array, text: string) {
  assert(node !== undefined);
  const idempotencyKey = bytesOf(`${text} of ${new TextDecoder().decode(key)}`.padEnd(16));
  const value = { key, value: bytesOf(text), contentType: "text/plain", base: "overwrite" as const, idempotencyKey };
  return answerOf(world.cluster, node.coordinator.put(value, {}));
}

/** Writes through a node; returns the keys that it acknowledged. */
async function putAll(world: KubeWorld, machine: SimulatedNode, keys: readonly Uint8Array[], text: string) {
  const acknowledged: Uint8Array[] = [];
  for (const key of keys) {
    if (machine.node === undefined) break;
    if (!((await put(world, machine, key, text)) instanceof KvError)) acknowledged.push(key);
  }
  return acknowledged;
}

/** What others than the ghost show is at least what was acknowledged. */
async function assertShown(world: KubeWorld, keys: readonly Uint8Array[], text: string): Promise<void> {
  for (const key of keys) {
    for (const { node, name } of world.cluster.living) {
      if (node === undefined || !node.status.readiness().ready) continue;
      const answer = await answerOf(world.cluster, node.coordinator.get(key, { readQuorum: 2 }));
      if (answer instanceof KvError) continue;
      const shown = answer.siblings.map(({ value }) => new TextDecoder().decode(value));
      assert(shown.includes(text), `${name} shows [${shown}] of ${new TextDecoder().decode(key)}, not "${text}"`);
    }
  }
}

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
  const pod = world.server.store.find("Pod", MEMBER);
  assert(pod !== undefined);
  const annotations = { ...pod.metadata.annotations, [REPLACE_ANNOTATION]: "true" };
  world.server.store.set({ ...pod, metadata: { ...pod.metadata, annotations } });
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
