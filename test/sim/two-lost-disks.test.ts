/** Two of three homes lose their disks: what only they had is gone, what the third has must be served again, and the ring go on. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { KvError } from "../../node/core/errors.ts";
import { NO_CHANGE } from "../../node/core/ring/change.ts";
import { answered, answerOf } from "./answers.ts";
import { SimulatedCluster } from "./cluster.ts";
import { epochsOf, nodeOf, part, pass, startQuietCluster, startWithFirstRing } from "./quiet-cluster.ts";

const KEY = new TextEncoder().encode("key");

describe("two homes of three whose disks were lost", () => {
  it("are filled from the third in the end, or can be replaced", async () => {
    const cluster = await startQuietCluster({
      ...{ seed: 5, nodes: 5, partitions: 1, readQuorum: 2, writeQuorum: 2, repairIntervalMs: 2_000 },
    });
    const { simulator } = cluster;
    assert.deepEqual(
      cluster.ring.homes(0).map(({ name }) => name),
      ["n2", "n5", "n4"],
    );
    const through = () => nodeOf(cluster, "n4");
    const put = { key: KEY, value: KEY, contentType: "text/plain", base: "sibling" } as const;
    await answered(simulator, through().coordinator.put(put, { writeQuorum: 3 }), 10_000);
    for (const name of ["n2", "n5"]) cluster.loseDisk(cluster.byName(name));
    for (const name of ["n2", "n5"]) cluster.start(cluster.byName(name));
    await pass(cluster, 120_000);
    const told: string[] = [];
    const look = async (what: string) => {
      const read = await answerOf(cluster, through().coordinator.get(KEY, {}));
      const states = through()
        .status.cluster()
        .members.map(({ name, state }) => `${name} ${state}`);
      const phase = through().status.cluster().transition?.phase ?? "no change";
      told.push(
        `${what}: ${phase}; ${states.join(", ")}; ${read instanceof KvError ? read.message : `${read.siblings.length} values`}`,
      );
      return !(read instanceof KvError) && read.siblings.length === 1;
    };
    let isServed = await look("after two minutes");
    for (const asked of [
      { replace: ["n2"], force: true },
      { replace: ["n2", "n5"], force: true },
      { quorum: { readQuorum: 1 }, force: true },
    ]) {
      if (isServed) break;
      const begun = await answerOf(cluster, through().changes.begin({ ...NO_CHANGE, ...asked }, { dryRun: false }));
      if (begun instanceof KvError) told.push(begun.message);
      await pass(cluster, 120_000);
      isServed = await look(JSON.stringify(asked));
      const id = through().status.cluster().transition?.id;
      if (id !== undefined) await answerOf(cluster, through().changes.cancel(id));
      await pass(cluster, 30_000);
    }
    assert(isServed, `n4 has held it all the time:\n${told.join("\n")}`);
  }, 300_000);
});

describe("a majority of the disks that was lost", () => {
  /** N = 4 of five, strict at W = 4, with a write on all homes and the first ring, which lists no directories. */
  async function written() {
    const cluster = new SimulatedCluster({
      ...{ seed: 1, nodes: 5, zones: 1, partitions: 1, replicationFactor: 4, readQuorum: 2, writeQuorum: 4 },
      ...{ mode: "strict", durability: "disk", hintBytesMax: 1, repairIntervalMs: 2_000 },
    });
    // From their first moments on all know the lost directories from the new ones.
    await startWithFirstRing(cluster);
    const homes = cluster.ring.homes(0).map(({ name }) => name);
    const [through, ...lost] = homes;
    const silent = cluster.nodes.map(({ name }) => name).filter((name) => !homes.includes(name));
    assert(through !== undefined);
    // Who lists the directories waits for all of them for a while.
    part(cluster, silent, homes);
    const put = { key: KEY, value: KEY, contentType: "text/plain", base: "sibling" } as const;
    await answered(cluster.simulator, nodeOf(cluster, through).coordinator.put(put, { writeQuorum: 4 }), 5_000);
    assert.deepEqual(epochsOf(cluster), [1, 1, 1, 1, 1]);
    return { cluster, lost };
  }

  /** Takes the disks, and waits until what mends it by itself has had its time. */
  async function loseAll(cluster: SimulatedCluster, lost: readonly string[]) {
    for (const name of lost) cluster.loseDisk(cluster.byName(name));
    for (const name of lost) cluster.start(cluster.byName(name));
    await pass(cluster, 1_000);
    cluster.network.heal();
    // Whoever asks for a ring hears that none can be chosen: each must ask, and does after 15 s.
    await pass(cluster, 45_000);
  }

  async function checkServed(cluster: SimulatedCluster) {
    for (const { name, node } of cluster.nodes) {
      assert(node?.status.readiness().ready, `${name} is ready`);
      const read = await answerOf(cluster, node.coordinator.get(KEY, { readQuorum: 4 }));
      assert(!(read instanceof KvError), `through ${name}: ${read instanceof KvError ? read.message : ""}`);
      assert.equal(read.siblings.length, 1);
    }
  }

  it("before the ring listed any is filled from what is left, and serves: no ring will ever list it", async () => {
    const { cluster, lost } = await written();
    await loseAll(cluster, lost);
    assert.deepEqual(epochsOf(cluster), [1, 1, 1, 1, 1]);
    await checkServed(cluster);
  }, 300_000);

  it("of which the ring lists some, and not all, is filled and serves all the same", async () => {
    const { cluster, lost } = await written();
    const [unlisted] = lost;
    assert(unlisted !== undefined);
    const others = cluster.nodes.map(({ name }) => name).filter((name) => name !== unlisted);
    cluster.network.heal();
    part(cluster, [unlisted], others);
    const newest = () => Math.max(...epochsOf(cluster).map((epoch) => epoch ?? 0));
    await cluster.simulator.runWhile(() => newest() < 2, 120_000);
    await pass(cluster, 1_000);
    const listed = nodeOf(cluster, others[0] as string).status.ring().members;
    assert.deepEqual(
      listed.flatMap(({ name, actor }) => (actor === undefined ? [name] : [])),
      [unlisted],
    );
    await loseAll(cluster, lost);
    assert.equal(newest(), 2);
    await checkServed(cluster);
  }, 300_000);
});
