/** A home that is given up where other copies are lost or few: what may be there alone is not. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { KvError } from "../../node/core/errors.ts";
import { type ChangeRequest, NO_CHANGE } from "../../node/core/ring/change.ts";
import { answered, answerOf } from "./answers.ts";
import type { SimulatedCluster } from "./cluster.ts";
import { nodeOf, part, pass, startQuietCluster } from "./quiet-cluster.ts";

const KEY = new TextEncoder().encode("key");

/** n2, n5 and n4 are homes of the one partition. n2 and n5 alone acknowledged the key; then n5's disk is lost while n2 is away. */
async function loseOneWhileOneIsAway(): Promise<SimulatedCluster> {
  const cluster = await startQuietCluster({
    ...{ seed: 5, nodes: 5, partitions: 1, readQuorum: 2, writeQuorum: 2, repairIntervalMs: 3_600_000 },
  });
  assert.deepEqual(
    cluster.ring.homes(0).map(({ name }) => name),
    ["n2", "n5", "n4"],
  );
  part(cluster, ["n4"], ["n1", "n2", "n3", "n5"]);
  await pass(cluster, 20_000);
  const put = { key: KEY, value: KEY, contentType: "text/plain", base: "sibling" } as const;
  await answered(cluster.simulator, nodeOf(cluster, "n2").coordinator.put(put, {}), 10_000);
  cluster.crash(cluster.byName("n2"), "process");
  cluster.loseDisk(cluster.byName("n5"));
  cluster.network.heal();
  cluster.start(cluster.byName("n5"));
  await pass(cluster, 30_000);
  const state = nodeOf(cluster, "n5")
    .status.cluster()
    .members.find(({ name }) => name === "n5")?.state;
  assert.equal(state, "rebuilding");
  return cluster;
}

describe("a home that is given up while another one is being rebuilt", () => {
  it("is not given up: a write may be on just those two", async () => {
    const cluster = await loseOneWhileOneIsAway();
    const asked = { ...NO_CHANGE, replace: ["n2"], force: true };
    const answer = await answerOf(cluster, nodeOf(cluster, "n4").changes.begin(asked, { dryRun: false }));
    assert(answer instanceof KvError && answer.code === "CHANGE_REFUSED", "W homes would count as destroyed");
  }, 300_000);

  it("does not take the only copy of an acknowledged write with it, nor hold the ring up for ever", async () => {
    const cluster = await loseOneWhileOneIsAway();
    const asked = { ...NO_CHANGE, replace: ["n2"] };
    await answerOf(cluster, nodeOf(cluster, "n4").changes.begin(asked, { dryRun: false }));
    await pass(cluster, 60_000);
    // Its disk was never harmed.
    cluster.start(cluster.byName("n2"));
    await pass(cluster, 600_000);
    const { transition, members } = nodeOf(cluster, "n4").status.cluster();
    const states = members.map(({ name, state }) => `${name} ${state}`).join(", ");
    const reading = answerOf(cluster, nodeOf(cluster, "n4").coordinator.get(KEY, {}));
    const read = await reading;
    const shown = read instanceof KvError ? read.message : `${read.siblings.length} values`;
    const told = `after ten minutes with all members up: ${transition?.phase ?? "no change"}; ${states}; a read: ${shown}`;
    assert.equal(transition, null, told);
    assert(!(read instanceof KvError) && read.siblings.length === 1, told);
  }, 300_000);
});

describe("a dead home around a lowering of W", () => {
  const begin = (cluster: SimulatedCluster, asked: Partial<ChangeRequest>) =>
    answerOf(cluster, nodeOf(cluster, "n3").changes.begin({ ...NO_CHANGE, ...asked }, { dryRun: false }));
  const isRefused = (answer: unknown) => answer instanceof KvError && answer.code === "CHANGE_REFUSED";
  const lower = { quorum: { writeQuorum: 1 } };
  const giveUp = { leave: ["n2"], force: true };

  /** n2, n5 and n4 are homes of the one partition, and n2 is down. */
  async function startWithoutOne(): Promise<SimulatedCluster> {
    const cluster = await startQuietCluster({
      ...{ seed: 5, nodes: 5, partitions: 1, readQuorum: 2, writeQuorum: 2, repairIntervalMs: 3_600_000 },
    });
    cluster.crash(cluster.byName("n2"), "machine");
    await pass(cluster, 20_000);
    return cluster;
  }

  async function endOfChange(cluster: SimulatedCluster): Promise<void> {
    const isOver = () => nodeOf(cluster, "n3").status.cluster().transition === null;
    assert(await cluster.simulator.runWhile(() => !isOver(), 120_000), "the change ends");
  }

  it("is replaced first, where it was given up: by the new W its disk may have been the only one", async () => {
    const cluster = await startWithoutOne();
    const begun = await begin(cluster, giveUp);
    assert(!(begun instanceof KvError), `it is given up: ${begun}`);
    await answered(cluster.simulator, nodeOf(cluster, "n3").changes.cancel(begun.after.transition?.id ?? ""), 10_000);
    assert(isRefused(await begin(cluster, lower)), "no change would be possible any more");
    const replaced = await begin(cluster, giveUp);
    assert(!(replaced instanceof KvError), `it is replaced: ${replaced}`);
    await endOfChange(cluster);
    const lowered = await begin(cluster, lower);
    assert(!(lowered instanceof KvError), `W is lowered: ${lowered}`);
    await endOfChange(cluster);
    assert.equal(nodeOf(cluster, "n3").status.ring().w, 1);
  }, 300_000);

  it("is not given up while W is being lowered", async () => {
    const cluster = await startWithoutOne();
    assert(!((await begin(cluster, lower)) instanceof KvError), "W is being lowered");
    assert(isRefused(await begin(cluster, giveUp)));
    await endOfChange(cluster);
    // It is a home as ever: with its disk, it is filled with what it missed.
    cluster.start(cluster.byName("n2"));
    await pass(cluster, 20_000);
    assert.equal(nodeOf(cluster, "n2").status.readiness().ready, true);
  }, 300_000);
});
