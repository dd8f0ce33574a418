/** The rules of a change of the ring, each in the ambush that it is for: seeds meet these too seldom. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { KvError } from "../../node/core/errors.ts";
import { type ChangeRequest, NO_CHANGE } from "../../node/core/ring/change.ts";
import { answered, answerOf } from "./answers.ts";
import { addressOf, type SimulatedCluster } from "./cluster.ts";
import { nodeOf, part, pass, startQuietCluster } from "./quiet-cluster.ts";

const KEYS = 30;
const MEMBERS = ["n1", "n2", "n3"];
const bytesOf = (text: string) => new TextEncoder().encode(text);

function startCluster(nodes: number, { readQuorum = 2, writeQuorum = 2 } = {}): Promise<SimulatedCluster> {
  return startQuietCluster({ seed: 11, nodes, partitions: 16, readQuorum, writeQuorum, repairIntervalMs: 600_000 });
}

const epochOf = (cluster: SimulatedCluster, name: string) => cluster.byName(name).node?.status.cluster().ringEpoch ?? 0;
const phaseOf = (cluster: SimulatedCluster, name: string) =>
  cluster.byName(name).node?.status.cluster().transition?.phase;

function begin(cluster: SimulatedCluster, through: string, asked: Partial<ChangeRequest>) {
  return nodeOf(cluster, through).changes.begin({ ...NO_CHANGE, ...asked }, { dryRun: false });
}

/** Writes every key through a node; gives those that were acknowledged. */
async function writeAll(cluster: SimulatedCluster, through: string, writeQuorum?: number): Promise<readonly number[]> {
  const { coordinator } = nodeOf(cluster, through);
  const acknowledged: number[] = [];
  const options = writeQuorum === undefined ? {} : { writeQuorum };
  for (let key = 0; key < KEYS; key++) {
    const put = { key: bytesOf(`key ${key}`), value: bytesOf("value"), contentType: "text/plain" };
    const answer = await answerOf(cluster, coordinator.put({ ...put, base: "sibling" }, options));
    if (!(answer instanceof KvError)) acknowledged.push(key);
  }
  return acknowledged;
}

/** Every read that is answered shows what was acknowledged. */
async function checkShown(
  cluster: SimulatedCluster,
  through: string,
  { keys, readQuorum = 2 }: { readonly keys: readonly number[]; readonly readQuorum?: number },
): Promise<number> {
  let answers = 0;
  for (const key of keys) {
    const answer = await answerOf(
      cluster,
      nodeOf(cluster, through).coordinator.get(bytesOf(`key ${key}`), { readQuorum }),
    );
    if (answer instanceof KvError) continue;
    answers += 1;
    assert.equal(answer.siblings.length, 1, `a read of key ${key} through ${through} missed its acknowledged write`);
  }
  return answers;
}

async function until(cluster: SimulatedCluster, what: string, holds: () => boolean): Promise<void> {
  const came = await cluster.simulator.runWhile(() => cluster.bug === undefined && !holds(), 120_000);
  if (cluster.bug !== undefined) throw cluster.bug;
  assert(came, what);
}

describe("a change of the ring", () => {
  it.each(["prepare", "switch"])(
    "shows what is written to whoever reads by the ring of before, parted at %s",
    async (phase) => {
      const cluster = await startCluster(5);
      await answered(cluster.simulator, begin(cluster, "n1", { weights: { n3: 0 } }), 10_000);
      await until(cluster, "it is at that phase", () => phaseOf(cluster, "n1") === phase);
      part(cluster, ["n2", "n3"], ["n1", "n4", "n5"]);
      await until(cluster, "n1 goes on or sees them down", () => {
        const down = nodeOf(cluster, "n1")
          .status.cluster()
          .members.filter(({ health }) => health === "down");
        return down.length === 2;
      });
      await pass(cluster, 5_000);
      const keys = await writeAll(cluster, "n1");
      assert(keys.length > 0, "some keys are those of n1, n4 and n5");
      for (const name of ["n2", "n3"]) await checkShown(cluster, name, { keys });
      cluster.network.heal();
      await until(
        cluster,
        "it ends",
        () => phaseOf(cluster, "n1") === undefined && phaseOf(cluster, "n3") === undefined,
      );
    },
    300_000,
  );

  it("is not forgotten by who adopted it and lost power", async () => {
    const cluster = await startCluster(5);
    await answered(cluster.simulator, begin(cluster, "n1", { weights: { n3: 0 } }), 10_000);
    const left = ["n2", "n3"];
    await until(cluster, "all know that it switched", () => {
      return ["n1", ...left].every((name) => phaseOf(cluster, name) === "switch");
    });
    const ballots = () => cluster.counters.get("annulus.agreement.ballots") ?? 0;
    const before = ballots();
    // They have said that they know of it, and are asked for no vote any more.
    await until(cluster, "it is about to finish", () => ballots() > before);
    part(cluster, left, ["n1", "n4", "n5"]);
    for (const name of left) {
      cluster.crash(cluster.byName(name), "machine");
      cluster.start(cluster.byName(name));
    }
    await until(cluster, "it finishes", () => phaseOf(cluster, "n1") === undefined);
    await pass(cluster, 20_000);
    const keys = await writeAll(cluster, "n1");
    assert(keys.length > 0, "some keys are those of n1, n4 and n5");
    for (const name of left) await checkShown(cluster, name, { keys });
  }, 300_000);

  it("goes by what all that hold a partition had, not by what one of them had", async () => {
    const cluster = await startCluster(3);
    const joining = cluster.addMachine("z0");
    await pass(cluster, 5_000);
    part(cluster, ["n1"], ["n2", "n3", joining.name]);
    await pass(cluster, 15_000);
    const keys = await writeAll(cluster, "n2");
    assert.equal(keys.length, KEYS);
    await pass(cluster, 5_000);
    cluster.network.heal();
    await until(cluster, "all are up", () =>
      ["n1", "n2", "n3"].every((name) =>
        nodeOf(cluster, name)
          .status.cluster()
          .members.every(({ health }) => health === "up"),
      ),
    );
    // Links come back a little later than word of each other.
    await pass(cluster, 5_000);
    // Of those that hold the partitions it can reach the one that missed the writes.
    part(cluster, [joining.name], ["n2", "n3"]);
    const join = [{ name: joining.name, address: addressOf(joining.name), zone: "z0", weight: 100 }];
    await answered(cluster.simulator, begin(cluster, "n1", { join, leave: ["n3"] }), 10_000);
    await pass(cluster, 40_000);
    cluster.crash(cluster.byName("n2"), "process");
    cluster.network.heal();
    for (const name of ["n1", joining.name]) await checkShown(cluster, name, { keys });
    cluster.start(cluster.byName("n2"));
    await until(cluster, "it ends", () => phaseOf(cluster, "n1") === undefined);
  }, 300_000);

  it.each([
    ["after its process was killed", "process"],
    ["after its machine lost power", "machine"],
    ["with an empty disk", "disk"],
  ] as const)(
    "is the only one of its epoch, though who voted for it starts again: %s",
    async (_how, lost) => {
      const cluster = await startCluster(3);
      const epoch = epochOf(cluster, "n1") + 1;
      part(cluster, ["n3"], ["n1", "n2"]);
      const votes = () => cluster.counters.get("annulus.agreement.votes") ?? 0;
      const before = votes();
      const asked = begin(cluster, "n1", { weights: { n1: 50 } });
      const chosen = answerOf(cluster, asked);
      // Two promises and two votes: the answer of n2 is on its way, and the news of n1 is not.
      await until(cluster, "both have voted", () => votes() >= before + 4);
      cluster.network.cut("n1", "n2");
      await chosen;
      await until(cluster, "n1 knows what was chosen", () => epochOf(cluster, "n1") >= epoch);
      assert(epochOf(cluster, "n2") < epoch, "n2 does not");
      cluster.network.cut("n2", "n1");
      const n2 = cluster.byName("n2");
      if (lost === "disk") cluster.loseDisk(n2);
      else cluster.crash(n2, lost);
      cluster.network.heal("n2", "n3");
      cluster.network.heal("n3", "n2");
      cluster.start(n2);
      for (let attempt = 0; attempt < 10 && cluster.bug === undefined; attempt++) {
        await pass(cluster, 3_000);
        await answerOf(cluster, begin(cluster, "n3", { weights: { n2: 50 } }));
      }
      cluster.network.heal();
      await until(cluster, "all have one ring", () =>
        ["n2", "n3"].every(
          (name) => epochOf(cluster, name) === epochOf(cluster, "n1") && epochOf(cluster, name) >= epoch,
        ),
      );
    },
    300_000,
  );

  it("takes no partition from a member without what it alone holds, however late it comes", async () => {
    const { cluster, keys } = await loseHomesOfLast();
    cluster.start(cluster.byName("n4"));
    await until(cluster, "n4 has nothing left", () => cluster.byName("n4").node?.progress().isEmptied === true);
    assert.equal(await checkShown(cluster, "n1", { keys, readQuorum: 3 }), keys.length);
  }, 300_000);

  it("waits with giving up for members that are away", async () => {
    const { cluster, keys } = await loseHomesOfLast();
    const n4 = cluster.byName("n4");
    cluster.start(n4);
    await until(cluster, "n4 knows the ring", () => epochOf(cluster, "n4") === epochOf(cluster, "n1"));
    part(cluster, ["n4"], ["n1", "n2", "n3"]);
    await pass(cluster, 60_000);
    cluster.network.heal();
    await until(cluster, "n4 has nothing left", () => cluster.byName("n4").node?.progress().isEmptied === true);
    assert.equal(await checkShown(cluster, "n1", { keys, readQuorum: 3 }), keys.length);
  }, 300_000);

  it.each([
    ["R is lowered as W is raised", { readQuorum: 1, writeQuorum: 3 }],
    ["R is lowered to what meets the new W only", { readQuorum: 2, writeQuorum: 2 }],
  ])(
    "goes on answering while all homes are made complete, and ends: %s",
    async (_how, quorum) => {
      const cluster = await startCluster(3, { readQuorum: 3, writeQuorum: 1 });
      const keys = (await writeAll(cluster, "n1")).slice(0, 1);
      await answered(cluster.simulator, begin(cluster, "n2", { quorum }), 10_000);
      await until(cluster, "all prepare", () => MEMBERS.every((name) => phaseOf(cluster, name) !== undefined));
      assert.equal(await checkShown(cluster, "n1", { keys, readQuorum: 3 }), 1, "it goes on answering");
      await until(cluster, "it ends", () => MEMBERS.every((name) => phaseOf(cluster, name) === undefined));
    },
    300_000,
  );

  it.each([
    ["as W is raised", [{ readQuorum: 1, writeQuorum: 3 }]],
    ["after W was raised", [{ writeQuorum: 3 }, { readQuorum: 1 }]],
  ])(
    "lets one home answer only once all hold what one acknowledged: R is lowered %s",
    async (_how, [first, second]) => {
      const cluster = await startCluster(3, { readQuorum: 3, writeQuorum: 1 });
      part(cluster, ["n3"], ["n1", "n2"]);
      await answered(cluster.simulator, begin(cluster, "n1", { quorum: first ?? {}, force: true }), 10_000);
      // The others have compared by then what they hold, and n3 does not know of the change.
      await pass(cluster, 15_000);
      const keys = await writeAll(cluster, "n3");
      assert.equal(keys.length, KEYS, "with W = 1 n3 acknowledges alone");
      await pass(cluster, 5_000);
      // It tells n1, and n2 hears of it from nobody.
      cluster.network.heal("n1", "n3");
      cluster.network.heal("n3", "n1");
      await pass(cluster, 40_000);
      if (phaseOf(cluster, "n2") === "prepare") cluster.network.heal();
      const hasEnded = (names: readonly string[]) => names.every((name) => phaseOf(cluster, name) === undefined);
      await until(cluster, "it ends", () => hasEnded(MEMBERS));
      if (second !== undefined) {
        part(cluster, ["n2"], ["n1", "n3"]);
        const epoch = epochOf(cluster, "n1");
        await answered(cluster.simulator, begin(cluster, "n1", { quorum: second, force: true }), 10_000);
        await until(cluster, "it ends without n2", () => epochOf(cluster, "n1") > epoch && hasEnded(["n1", "n3"]));
        const ended = epochOf(cluster, "n1");
        cluster.network.heal("n1", "n2");
        cluster.network.heal("n2", "n1");
        await until(cluster, "n2 knows", () => epochOf(cluster, "n2") >= ended);
      }
      assert.equal(await checkShown(cluster, "n2", { keys, readQuorum: 1 }), keys.length);
    },
    300_000,
  );
});

/** What n4 acknowledged alone (w = 1) is there alone, and while it was down the ring took all its partitions from it. */
async function loseHomesOfLast(): Promise<{ readonly cluster: SimulatedCluster; readonly keys: readonly number[] }> {
  const cluster = await startCluster(4);
  part(cluster, ["n4"], ["n1", "n2", "n3"]);
  const homes = (key: number) => cluster.ring.homes(cluster.ring.partitionOf(bytesOf(`key ${key}`)));
  const keys = (await writeAll(cluster, "n4", 1)).filter((key) => homes(key).some(({ name }) => name === "n4"));
  assert(keys.length > 0, "n4 acknowledges alone");
  cluster.crash(cluster.byName("n4"), "process");
  await until(cluster, "n4 is seen down", () => {
    const members = nodeOf(cluster, "n1").status.cluster().members;
    return members.some(({ name, health }) => name === "n4" && health === "down");
  });
  await answered(cluster.simulator, begin(cluster, "n1", { weights: { n4: 0 } }), 10_000);
  await until(cluster, "the change ends", () => phaseOf(cluster, "n1") === undefined);
  cluster.network.heal();
  return { cluster, keys };
}
