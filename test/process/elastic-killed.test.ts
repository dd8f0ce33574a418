/**
 * Four real nodes, of which the last joins and leaves again and again under load, while each time one of them is
 * SIGKILLed at a random moment of the change: the one that drives it, one that gains by it, or one that loses. Every
 * change ends by itself, and nothing is lost.
 *
 * `ANNULUS_ELASTIC_KILLS=30` in full. The moments are printed; `FAULT_SEED` repeats what is drawn, not when things happen.
 */
import assert from "node:assert/strict";
import { afterEach, describe, expect, it } from "@jest/globals";
import { type ClusterNode, LocalCluster } from "../bench/cluster.ts";
import { sleep } from "../bench/processes.ts";
import { History } from "../sim/history.ts";
import { createSeededRandom, type SeededRandom } from "../sim/random.ts";
import { begin, ended, memberOf } from "./annulus.ts";
import { Clients } from "./clients.ts";
import { ask } from "./http.ts";
import { allUp, checkHistory, comeToRest } from "./rest.ts";
import { asked, checkHomes, cleaned, heard } from "./ring-facts.ts";
import { SEED } from "./world.ts";

const KILLS = Number(process.env.ANNULUS_ELASTIC_KILLS ?? 6);
const ROLES = ["driver", "gaining", "losing"] as const;
/** Pairs that are there besides what clients write, so that a change takes some seconds at this pace. */
const PAIRS = 1_500;
const VALUE = "v".repeat(1_000);
const SETTINGS = {
  ANNULUS_MODE: "strict",
  ANNULUS_PARTITIONS: "64",
  ANNULUS_BACKGROUND_BYTES_PER_SECOND: String(2 * 1_048_576),
  ANNULUS_REPAIR_INTERVAL_MS: "2000",
  ANNULUS_LOG_LEVEL: "warn",
};
/** Most of what happens in a change has happened by then; what follows is giving up, page by page. */
const MOMENT_MS_MAX = 6_000;
const AWAY_MS_MAX = 4_000;
/** Whoever was not asked hears of the newest ring by gossip. */
const HEARD_WITHIN_MS = 10_000;
const REST_WITHIN_MS = 120_000;

let cluster: LocalCluster | undefined;
let clients: Clients | undefined;
afterEach(async () => {
  await Promise.allSettled([clients?.stop()]);
  await cluster?.killAll();
  await cluster?.stop();
  cluster = undefined;
  clients = undefined;
}, 60_000);

type Role = (typeof ROLES)[number];

/** The first voter by name drives, and there it is node-0. What joins gains from all others, and loses to them again. */
function victimOf(role: Role, nodes: readonly ClusterNode[], isJoin: boolean, random: SeededRandom): ClusterNode {
  const [driver, second, third, last] = nodes as [ClusterNode, ClusterNode, ClusterNode, ClusterNode];
  if (role === "driver") return driver;
  return (role === "gaining") === isJoin ? last : random.pick([second, third]);
}

async function fill(nodes: readonly ClusterNode[]): Promise<void> {
  const node = nodes[0] as ClusterNode;
  for (let pair = 0; pair < PAIRS; pair++) {
    const { status, body } = await ask(node, "PUT", `fill-${pair}?timeout=9000`, { body: VALUE });
    assert.equal(status, 204, body.toString());
  }
}

/** In which phase the change is, as some node has it. */
async function phaseOf(node: ClusterNode, id: string): Promise<string> {
  const response = await asked(node, `/v1/cluster/changes/${id}`);
  return response.status === 200 ? ((await response.json()) as { state: string }).state : `${response.status}`;
}

describe("a member that is SIGKILLed while the ring changes", () => {
  it(`leaves a change that ends by itself and loses nothing, ${KILLS} times`, async () => {
    const nodes = await LocalCluster.start({ settings: SETTINGS });
    cluster = nodes;
    await fill(nodes.nodes);
    const last = await nodes.add();
    const random = createSeededRandom(SEED).stream("kills");
    const history = new History();
    // One that is no member, or was killed, is passed over by the next try.
    const load = new Clients(nodes.nodes, history, {
      ...{ seed: SEED, clients: 6, keys: 48, thinkMsMax: 60, isFresh: true, allNamed: true },
      mix: ["read", "read", "context", "context", "overwrite", "sibling", "remove"],
    });
    clients = load;
    process.stdout.write(`killed during changes (seed ${SEED})\n`);

    const usualMs = { join: 0, leave: 0 };
    for (let round = -2; round < KILLS; round++) {
      const isJoin = round % 2 === 0;
      const kind = isJoin ? "join" : "leave";
      const beganMs = performance.now();
      const { id } = await begin(nodes, isJoin ? ["join", memberOf(last)] : ["leave", last.name]);
      if (round >= 0) {
        const role = ROLES[round % ROLES.length] as Role;
        const victim = victimOf(role, nodes.nodes, isJoin, random);
        const watcher = nodes.nodes.find((node) => node !== victim) as ClusterNode;
        const momentMs = random.below(Math.min(MOMENT_MS_MAX, Math.ceil(usualMs[kind])));
        await sleep(momentMs);
        const phase = await phaseOf(watcher, id);
        await nodes.killNode(victim);
        // A change that takes nothing to its driver ends without it.
        const isNeeded = !(role === "driver" && isJoin);
        if (!isNeeded) await ended({ nodes: nodes.nodes.filter((node) => node !== victim) }, id);
        else await sleep(random.below(AWAY_MS_MAX));
        await nodes.startNode(victim, [], isNeeded ? "alive" : "ready");
        await ended(nodes, id);
        const tookMs = performance.now() - beganMs;
        const what = `${kind}, ${role} ${victim.name} killed after ${momentMs} ms in ${phase}`;
        process.stdout.write(`  ${what}: over after ${(tookMs / 1_000).toFixed(1)} s\n`);
      } else {
        await ended(nodes, id);
        usualMs[kind] = performance.now() - beganMs;
        process.stdout.write(`  ${kind} undisturbed: over after ${(usualMs[kind] / 1_000).toFixed(1)} s\n`);
      }
      const witness = nodes.nodes[1] as ClusterNode;
      await heard(witness, { name: last.name, state: isJoin ? "active" : "left" }, HEARD_WITHIN_MS);
      await allUp(isJoin ? nodes.nodes : nodes.nodes.filter((node) => node !== last), HEARD_WITHIN_MS);
      load.checkSoFar();
    }
    await load.stop();
    const { counters } = load;
    const { operations, retries, readsFailed, writesRefused, writesUnknown } = counters;
    const reasons = [...counters.reasons].map(([reason, count]) => `${count} × ${reason}`).join("; ");
    process.stdout.write(
      `  ${operations} operations, ${retries} tries more, failed for good: ${readsFailed} reads, ${writesRefused} writes refused, ${writesUnknown} unknown; told: ${reasons}\n`,
    );
    const ring = await cleaned(nodes.nodes, REST_WITHIN_MS);
    const left = ring.members.flatMap(({ name, state }) => (state === "left" ? [name] : []));
    const present = nodes.nodes.filter(({ name }) => !left.includes(name));
    await comeToRest({ nodes: present }, REST_WITHIN_MS);
    expect(await nodes.stopProcesses()).toEqual([]);
    const records = await checkHomes(nodes.nodes, ring);
    expect(records).toBeGreaterThanOrEqual(PAIRS);
    await Promise.all(present.map((node) => nodes.startNode(node)));
    await checkHistory({ nodes: present }, history, load.keys, 3);
    process.stdout.write(`  ${records} records the same on all their disks and on no other, 0 lost\n`);
    expect({ readsFailed, writesRefused, writesUnknown }).toEqual({
      readsFailed: 0,
      writesRefused: 0,
      writesUnknown: 0,
    });
  }, 1_800_000);
});
