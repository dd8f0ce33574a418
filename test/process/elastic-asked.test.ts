/**
 * Changes of the ring as administrators of real nodes ask for them: two at once, one that takes a member away whose clients
 * stay until the last moment, and one that replaces a member whose machine is gone.
 */
import assert from "node:assert/strict";
import { rmSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, it } from "@jest/globals";
import { type ClusterNode, LocalCluster } from "../bench/cluster.ts";
import { sleep } from "../bench/processes.ts";
import { annulus, begin, ended, memberOf } from "./annulus.ts";
import { ask } from "./http.ts";
import { viewOf } from "./rest.ts";
import { asked, checkHomes, cleaned, replicasOf, ringOf } from "./ring-facts.ts";

const SETTINGS = { ANNULUS_PARTITIONS: "64", ANNULUS_REPAIR_INTERVAL_MS: "2000", ANNULUS_LOG_LEVEL: "warn" };
const PAIRS = 200;
const TIMES = 5;
const POLL_MS = 50;
const REST_WITHIN_MS = 60_000;
/** Of a member that falls silent, at the default settings. */
const DOWN_WITHIN_MS = 20_000;
const PATIENT = "timeout=9000";

let cluster: LocalCluster;
beforeEach(async () => {
  cluster = await LocalCluster.start({ settings: SETTINGS });
  for (let pair = 0; pair < PAIRS; pair++) {
    const { status } = await ask(at(pair % 3), "PUT", `pair-${pair}?${PATIENT}`, { body: `value ${pair}` });
    assert.equal(status, 204);
  }
}, 60_000);
afterEach(async () => {
  await cluster.stop();
}, 60_000);

function at(index: number): ClusterNode {
  return cluster.nodes[index] as ClusterNode;
}

/** Every pair is shown by every node, at r=N. */
async function checkPairs(): Promise<void> {
  for (let pair = 0; pair < PAIRS; pair++) {
    const { status, body } = await ask(at(pair % cluster.nodes.length), "GET", `pair-${pair}?r=3&${PATIENT}`);
    expect([status, body.toString()]).toEqual([200, `value ${pair}`]);
  }
}

async function post(node: ClusterNode, change: object): Promise<{ status: number; id?: string; detail?: string }> {
  const init = { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(change) };
  const response = await asked(node, "/v1/cluster/changes", init);
  return { ...((await response.json()) as object), status: response.status };
}

async function until(isTrue: () => Promise<boolean>, withinMs: number, what: string): Promise<void> {
  const untilMs = performance.now() + withinMs;
  while (!(await isTrue())) {
    assert(performance.now() < untilMs, what);
    await sleep(POLL_MS);
  }
}

describe("two changes asked for at once", () => {
  it("are one change: the other is answered 409 and told of the first", async () => {
    const [fourth, fifth] = [await cluster.add(), await cluster.add()];
    const joining = [fourth, fifth].map(({ name, host, peerPort, zone }) => {
      return { name, address: `${host}:${peerPort}`, zone };
    });
    const wins = new Map<string, number>();
    for (let time = 0; time < TIMES; time++) {
      const changes = [0, 1].map((one) =>
        time === 0 ? { join: [joining[one]] } : { weights: { [at(one).name]: 200 + 100 * time } },
      );
      // Who is asked first by a hair is now the one and now the other.
      const order = time % 2 === 0 ? [0, 1] : [1, 0];
      const answers = await Promise.all(order.map((one) => post(at(one), changes[one] as object)));
      const statuses = answers.map(({ status }) => status).sort();
      expect([statuses, answers.map(({ detail }) => detail)]).toEqual([[202, 409], expect.anything()]);
      const winner = answers.find(({ status }) => status === 202);
      const loser = answers.find(({ status }) => status === 409);
      expect(loser?.detail).toContain(`the change ${winner?.id} `);
      const { name } = at(order[answers.indexOf(winner as (typeof answers)[number])] as number);
      wins.set(name, (wins.get(name) ?? 0) + 1);
      await ended(cluster, winner?.id as string);
    }
    process.stdout.write(`two at once: ${[...wins].map(([name, count]) => `${name} won ${count}`).join(", ")}\n`);
    // Of the two that would join at first, one has.
    const { members } = await ringOf(at(0));
    const joined = members.filter(({ name, state }) => [fourth.name, fifth.name].includes(name) && state === "active");
    expect(joined).toHaveLength(1);
    await checkPairs();
  });
});

describe("a member that leaves", () => {
  it("serves whoever asks it until it has left, and then says that it is not ready", async () => {
    const leaving = await cluster.add();
    await ended(cluster, (await begin(cluster, ["join", memberOf(leaving)])).id);
    let isOver = false;
    const failures: string[] = [];
    let served = 0;
    async function client(index: number): Promise<void> {
      while (!isOver) {
        const key = `own-${index}-${served % 20}`;
        const { status, body } =
          served % 2 === 0
            ? await ask(leaving, "PUT", `${key}?${PATIENT}`, { body: `from ${leaving.name}` })
            : await ask(leaving, "GET", `pair-${served % PAIRS}?${PATIENT}`);
        if (status !== 204 && status !== 200) failures.push(`${status} ${body}`);
        served += 1;
      }
    }
    const clients = [0, 1, 2, 3].map(client);
    const { id } = await begin(cluster, ["leave", leaving.name]);
    await ended(cluster, id);
    isOver = true;
    await Promise.all(clients);
    expect(failures).toEqual([]);
    expect(served).toBeGreaterThan(50);
    await until(async () => (await asked(leaving, "/readyz")).status === 503, 10_000, "it learns that it has left");
    expect(await (await asked(leaving, "/readyz")).json()).toMatchObject({
      type: "annulus:NOT_READY",
      detail: "Cannot serve now: this member has left the ring.",
    });
    // It passes on what it is asked for all the same.
    const { status, body } = await ask(leaving, "GET", `pair-7?r=3&${PATIENT}`);
    expect([status, body.toString()]).toEqual([200, "value 7"]);
    const left = { ...leaving };
    expect(await cluster.remove(leaving)).toBe(true);
    const ring = await cleaned(cluster.nodes, REST_WITHIN_MS);
    await cluster.stopProcesses();
    await checkHomes([...cluster.nodes, left], ring);
  });
});

describe("a member whose machine is gone", () => {
  it("is replaced by one command, and its data comes from the others", async () => {
    const dead = at(1);
    const heir = await cluster.add();
    await cluster.killNode(dead);
    rmSync(dead.dataDirectory, { recursive: true });
    await cluster.remove(dead);
    await until(
      async () => (await viewOf(at(0))).members.find(({ name }) => name === dead.name)?.health === "down",
      DOWN_WITHIN_MS,
      `${dead.name} is found to be down`,
    );
    const refused = await annulus(cluster, ["leave", dead.name, "--yes"]);
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining("it cannot hand over what it holds")]);
    const replaced = await annulus(cluster, ["replace", dead.name, "--with", memberOf(heir), "--yes", "--wait"]);
    expect([replaced.code, replaced.stderr]).toEqual([0, expect.stringContaining("done")]);
    expect(replaced.stdout).toContain(`note: ${dead.name} cannot be reached: its disk counts as destroyed`);
    const ring = await cleaned(cluster.nodes, REST_WITHIN_MS);
    expect(Object.fromEntries(ring.members.map(({ name, state }) => [name, state]))).toEqual({
      ...Object.fromEntries(cluster.nodes.map(({ name }) => [name, "active"])),
      [dead.name]: "left",
    });
    expect(replicasOf(ring).get(heir.name)).toBe(64);
    await checkPairs();
    await cluster.stopProcesses();
    expect(await checkHomes(cluster.nodes, ring)).toBe(PAIRS);
  });
});
