/** What comes between an operator's look and its request, for no precondition spans the API server and the ring. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { nodeAdminOver } from "../../../operator/adapters/node-admin.ts";
import { numberAt, textAt } from "../../../operator/core/objects.ts";
import { atRest, founded } from "./founded.ts";
import { type KubeWorld, NAME } from "./kube-world.ts";

const LAST = `${NAME}-3`;

const stateOf = (world: KubeWorld, name: string) =>
  world.cluster
    .byName(`${NAME}-0`)
    .node?.status.ring()
    .members.find((member) => member.name === name)?.state;
const podsOf = (world: KubeWorld) => numberAt(world.server.store.find("StatefulSet", NAME), "spec", "replicas");

/** Five members of which the spec wants three; two have left, their pods are still there, and so is no operator. */
async function withLeftMembers() {
  const { world, watchman } = await founded();
  world.scale(5);
  await atRest(world);
  world.scale(3);
  const { simulator } = world.cluster;
  assert(await simulator.runWhile(() => stateOf(world, LAST) !== "left", 60_000), "they leave");
  for (const process of world.operators.processes) world.operators.kill(process);
  await simulator.runUntil(simulator.nowMs + 10_000);
  assert.equal(podsOf(world), 5);
  return { world, watchman };
}

const toldWhenAwaited = (): void => undefined;

/** Begins that; how it ended is told when it is waited for, and not before. */
function beginToJoinAgain(world: KubeWorld): Promise<void> {
  const joined = joinAgain(world);
  joined.catch(toldWhenAwaited);
  return joined;
}

/** Asks for the member to join again, as another operator does that saw another spec. */
async function joinAgain(world: KubeWorld): Promise<void> {
  const { simulator } = world.cluster;
  const process = simulator.createProcess("another operator");
  const ip = textAt(world.server.store.find("Pod", `${NAME}-0`), "status", "podIP") ?? "";
  const admin = nodeAdminOver(world.admin.of(process), simulator.timeOf(process));
  const address = `${LAST}.${NAME}-peers.default.svc:7402`;
  const answer = await admin.change(
    { pod: `${NAME}-0`, ip },
    { join: [{ name: LAST, address, zone: "z0", weight: 100 }] },
  );
  assert.equal(answer.kind, "accepted");
}

describe("a member that joins while its pod is being taken away", () => {
  it("keeps its pod where the operator sees it by its last look, however long the first one took", async () => {
    const { world } = await withLeftMembers();
    const { simulator } = world.cluster;
    // The look waits for this one, and every request takes its time.
    world.admin.unreachable.add(`${NAME}-4`);
    world.server.faults = { ...world.server.faults, latencyMs: [499, 500] };
    let joined: Promise<void> | undefined;
    world.server.onCall = (_process, { verb, kind }, when) => {
      if (joined !== undefined || verb !== "read" || kind !== "PersistentVolume" || when !== "after") return;
      joined = Promise.resolve();
      simulator.after(600, () => {
        joined = beginToJoinAgain(world);
      });
    };
    world.operators.startAll();
    const isJoined = () => stateOf(world, LAST) === "active";
    assert(await simulator.runWhile(() => !isJoined() && world.cluster.bug === undefined, 60_000), "it joins");
    await joined;
    const failed = () => world.cluster.counters.get("annulus.operator.runs_failed") ?? 0;
    const before = failed();
    assert(await simulator.runWhile(() => failed() === before && world.cluster.bug === undefined, 10_000), "it looks");
    assert.equal(podsOf(world), 5);
    world.server.heal();
    world.admin.heal();
    await atRest(world);
    assert.equal(podsOf(world), 3);
  });

  it("gets its pod back where it joined after that look, and leaves before that goes again", async () => {
    const { world, watchman } = await withLeftMembers();
    const { simulator } = world.cluster;
    const roomless: string[] = [];
    watchman.onRoomless = (name) => roomless.push(name);
    world.server.faults = { ...world.server.faults, latencyMs: [499, 500] };
    let asked = 0;
    let joined: Promise<void> | undefined;
    // The second question is the last look; what follows from it is half a second on its way to the API server.
    world.admin.onRequest = (_process, { pod, path }, when) => {
      if (when !== "after" || pod !== `${NAME}-2` || path !== "/v1/cluster") return;
      asked += 1;
      if (asked === 2)
        simulator.after(20, () => {
          joined = beginToJoinAgain(world);
        });
    };
    world.operators.startAll();
    assert(
      await simulator.runWhile(() => roomless.length === 0 && world.cluster.bug === undefined, 60_000),
      "it races",
    );
    await joined;
    world.server.heal();
    const isBack = () => (podsOf(world) ?? 0) > 3;
    assert(await simulator.runWhile(() => !isBack() && world.cluster.bug === undefined, 60_000), "its pod comes back");
    await atRest(world);
    assert.deepEqual(roomless, [LAST]);
    assert.equal(podsOf(world), 3);
  });
});
