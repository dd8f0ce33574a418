/** Changes of R and W, told as stories: what was acknowledged by the numbers of before is seen by those of after. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { dataKey } from "../../node/core/keyspace.ts";
import { NO_CHANGE } from "../../node/core/ring/change.ts";
import { answered } from "./answers.ts";
import type { SimulatedCluster } from "./cluster.ts";
import { nodeOf, part, pass, startQuietCluster } from "./quiet-cluster.ts";

type Numbers = readonly [readQuorum: number, writeQuorum: number];

const KEY = new TextEncoder().encode("key");
const HOMES = ["n1", "n2", "n3"];

/** Three homes of everything. */
function startCluster([readQuorum, writeQuorum]: Numbers): Promise<SimulatedCluster> {
  return startQuietCluster({
    ...{ seed: 5, nodes: 3, partitions: 8, repairIntervalMs: 3_600_000 },
    readQuorum,
    writeQuorum,
  });
}

/** Has one home alone take a write, by the ring's own W. */
async function writeAt(cluster: SimulatedCluster, home: string): Promise<void> {
  part(
    cluster,
    [home],
    HOMES.filter((name) => name !== home),
  );
  await pass(cluster, 20_000);
  const put = { key: KEY, value: KEY, contentType: "text/plain", base: "sibling" } as const;
  await answered(cluster.simulator, nodeOf(cluster, home).coordinator.put(put, {}), 10_000);
  // What it still had to send dies with its process.
  cluster.crash(cluster.byName(home), "process");
  cluster.network.heal();
  cluster.start(cluster.byName(home));
  await pass(cluster, 20_000);
  assert.deepEqual(holders(cluster), [home], "nobody else has it");
}

function holders({ nodes, ring }: SimulatedCluster): readonly string[] {
  const at = dataKey(ring.partitionOf(KEY), KEY);
  return nodes.filter(({ disk }) => disk.peek(at) !== undefined).map(({ name }) => name);
}

/** While `home` cannot read its disk, to compare it with others' among other things; it keeps what it is told all the same. */
async function changeWhileBlind(cluster: SimulatedCluster, home: string, numbers: Numbers): Promise<void> {
  const { disk } = cluster.byName(home);
  cluster.crash(cluster.byName(home), "process");
  cluster.start(cluster.byName(home));
  await pass(cluster, 2_000);
  disk.setFaults({ readErrors: [1, 1] });
  const changing = change(cluster, numbers);
  await pass(cluster, 20_000);
  disk.setFaults({ readErrors: [0, 1] });
  await changing;
}

async function change(cluster: SimulatedCluster, [readQuorum, writeQuorum]: Numbers): Promise<void> {
  const asked = { ...NO_CHANGE, quorum: { readQuorum, writeQuorum } };
  await answered(cluster.simulator, nodeOf(cluster, "n2").changes.begin(asked, { dryRun: false }), 10_000);
  const isDone = () =>
    HOMES.every((name) => {
      const { r, w, transition } = nodeOf(cluster, name).status.ring();
      return transition === undefined && r === readQuorum && w === writeQuorum;
    });
  assert(
    await cluster.simulator.runWhile(() => !isDone(), 120_000),
    `R=${readQuorum} and W=${writeQuorum} come into force`,
  );
}

/** How many values a read by the ring's own R shows, through each node. */
async function shownBy(cluster: SimulatedCluster): Promise<readonly number[]> {
  const counts: number[] = [];
  for (const name of HOMES) {
    const reading = nodeOf(cluster, name).coordinator.get(KEY, {});
    counts.push((await answered(cluster.simulator, reading, 10_000)).siblings.length);
  }
  return counts;
}

describe("what one home acknowledged while W was 1", () => {
  it.each([
    [[[1, 3]]],
    [[[2, 2]]],
    [
      [
        [3, 3],
        [1, 3],
      ],
    ],
    [
      [
        [2, 3],
        [1, 3],
      ],
    ],
    [
      [
        [2, 2],
        [2, 3],
        [1, 3],
      ],
    ],
    [
      [
        [3, 2],
        [2, 2],
      ],
    ],
  ] as readonly [readonly Numbers[]][])("is shown after R and W became %j", async (steps) => {
    for (const home of HOMES) {
      const cluster = await startCluster([3, 1]);
      await writeAt(cluster, home);
      for (const step of steps) await changeWhileBlind(cluster, home, step);
      assert.deepEqual(await shownBy(cluster), [1, 1, 1], `written at ${home}`);
    }
  });
});
