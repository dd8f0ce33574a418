/** A cluster that is founded while its operators die, its API server fails, and people change their minds about its size. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { membersName } from "../../../operator/core/names.ts";
import { at } from "../../../operator/core/objects.ts";
import { SimulatedCluster } from "../cluster.ts";
import { KUBE } from "./founded.ts";
import { KubeWorld, NAME } from "./kube-world.ts";
import { whyNotAtRest } from "./rest.ts";
import { Watchman } from "./watchman.ts";

const SEEDS = 12;
const TROUBLE_MS = 20_000;
const SETTLED_WITHIN_MS = 200_000;

/** Founds one cluster under trouble; returns how often an operator died. */
async function foundUnderTrouble(seed: number): Promise<number> {
  const cluster = new SimulatedCluster({
    seed,
    nodes: 3,
    zones: 3,
    replicationFactor: 3,
    readQuorum: 2,
    writeQuorum: 2,
    mode: "strict",
    durability: "os",
    partitions: 8,
    memberName: (index) => `${NAME}-${index}`,
  });
  const world = new KubeWorld(cluster, { ...KUBE, operators: 3, isSharedLease: seed % 2 === 0 });
  const watchman = new Watchman(world);
  const { simulator } = cluster;
  const random = cluster.random.stream("trouble while it is founded");
  const named = new Set<unknown>();
  const members = { kind: "ConfigMap", apiVersion: "v1", plural: "", isNamespaced: true };
  world.server.store.watch(members, {}, (object) => {
    const text = at(object, "data", "members.env");
    if (object.metadata.name === membersName(NAME) && String(text).startsWith("ANNULUS_MEMBERS=")) named.add(text);
  });
  let deaths = 0;
  world.server.onCall = (process, { isWrite }) => {
    if (simulator.nowMs > TROUBLE_MS || !process.alive || !random.chance(isWrite ? [1, 12] : [1, 400])) return;
    const index = world.operators.kill(process);
    deaths += 1;
    if (index !== undefined) simulator.after(random.between(50, 1_000), () => world.operators.start(index));
  };
  world.server.faults = {
    ...world.server.faults,
    latencyMs: [1, 1_500],
    refused: [1, 20],
    answersLost: [1, 20],
    watchLagMs: [1, 1_000],
  };
  world.operators.startAll();
  while (simulator.nowMs < TROUBLE_MS) {
    await simulator.runUntil(simulator.nowMs + random.between(500, 4_000));
    world.scale(random.between(3, 6));
  }
  world.server.heal();
  world.operators.startAll();
  const isPending = () => cluster.bug === undefined && whyNotAtRest(world) !== undefined;
  const settled = await simulator.runWhile(isPending, SETTLED_WITHIN_MS);
  if (cluster.bug !== undefined) throw cluster.bug;
  assert(settled, `seed ${seed}: ${whyNotAtRest(world)}; ${world.describe()}`);
  assert.equal(named.size, 1, `seed ${seed}: the first members are named once`);
  assert.equal(watchman.members.length, world.replicas);
  return deaths;
}

describe("a cluster that is founded under trouble", () => {
  it(`has one ring, of members that were named once, over seeds 1 to ${SEEDS}`, async () => {
    let deaths = 0;
    for (let seed = 1; seed <= SEEDS; seed++) deaths += await foundUnderTrouble(seed);
    assert(deaths >= SEEDS, `operators died, ${deaths} times`);
  }, 120_000);
});
