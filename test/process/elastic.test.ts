/**
 * A real cluster grows from three nodes to four and to six, and shrinks to three again, the first of its members gone,
 * while clients read and write without a pause: no client meets an error that trying again does not mend, nothing that
 * was acknowledged is lost, no more is copied than was announced, and shares are even after each step.
 *
 * The load is steady, at 40 % of what the same cluster took from a closed loop just before. Latencies are printed, never
 * asserted: the machine has other things to do. In full: `ANNULUS_ELASTIC_PAIRS=200000`.
 */
import assert from "node:assert/strict";
import { afterEach, describe, expect, it } from "@jest/globals";
import { ClosedLoop, type Exchange } from "../bench/closed-loop.ts";
import { type ClusterNode, LocalCluster } from "../bench/cluster.ts";
import { type KeySpace, kvExchange, type Operation } from "../bench/exchanges.ts";
import { seededUniform, zipfianKeys } from "../bench/keys.ts";
import { measureWorkload, newKeySpace } from "../bench/measure.ts";
import { sleep } from "../bench/processes.ts";
import { annulus, type Begun, begin, ended, memberOf } from "./annulus.ts";
import { comeToRest } from "./rest.ts";
import { checkHomes, cleaned, replicasOf, ringOf, sumOf } from "./ring-facts.ts";
import { SteadyLoad } from "./steady-load.ts";

const PAIRS = Number(process.env.ANNULUS_ELASTIC_PAIRS ?? 20_000);
const VALUE_BYTES = 1_000;
const LOAD_SHARE = 0.4;
const WINDOWS = 5;
const BEFORE_MS = 5_000;
/** Of a member's replicas, how far they may be from what weights and zones ask for. */
const UNEVEN_MAX = 0.05;
/** Of the bytes of the plan, how many may be copied. */
const COPIED_MAX = 1.15;
const CONNECTIONS = 16;
const REST_WITHIN_MS = 120_000;

let cluster: LocalCluster | undefined;
let load: SteadyLoad | undefined;
afterEach(async () => {
  await load?.stop();
  await cluster?.stop();
  cluster = undefined;
  load = undefined;
}, 60_000);

type Step = { readonly title: string; readonly plan: Begun; readonly copiedBytes: number; readonly tookMs: number };

/** Asks for a change, waits for its end, and compares what it copied with what it announced. */
async function step(of: LocalCluster, title: string, args: readonly string[]): Promise<Step> {
  const beforeBytes = await sumOf(of.nodes, "annulus_transfer_bytes_total");
  const beganMs = performance.now();
  const plan = await begin(of, args);
  await ended(of, plan.id);
  const tookMs = performance.now() - beganMs;
  const copiedBytes = (await sumOf(of.nodes, "annulus_transfer_bytes_total")) - beforeBytes;
  return { title, plan, copiedBytes, tookMs };
}

/** Each member has within 5 % of its share, or within one partition. */
async function checkShares(of: LocalCluster, { members }: Begun): Promise<void> {
  const replicas = replicasOf(await ringOf(of.nodes.at(-1) as ClusterNode));
  for (const { name, replicasIdeal } of members) {
    const away = Math.abs((replicas.get(name) ?? 0) - replicasIdeal);
    assert(away <= Math.max(1, UNEVEN_MAX * replicasIdeal), `${name} has ${away} replicas more or less than its share`);
  }
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}

function told({ title, plan, copiedBytes, tookMs }: Step, beforeMs: number, duringMs: number): string {
  const copied = `copied ${(copiedBytes / 1e6).toFixed(1)} MB of ${(plan.movedBytes / 1e6).toFixed(1)} MB announced`;
  const times = `p99 ${duringMs.toFixed(1)} ms, before ${beforeMs.toFixed(1)} ms (${(duringMs / beforeMs).toFixed(1)} ×)`;
  return `  ${title}: ${(tookMs / 1_000).toFixed(1)} s, ${plan.movedPartitions} replicas, ${copied} (${(copiedBytes / plan.movedBytes).toFixed(2)} ×); ${times}\n`;
}

/** Writes or reads every key, again where a node was too busy. */
async function each(of: LocalCluster, space: KeySpace, kind: "read" | "write", query: string): Promise<void> {
  const open = [...Array(PAIRS).keys()];
  function exchange(): Exchange {
    let key = 0;
    function next(): Operation | undefined {
      const taken = open.pop();
      if (taken === undefined) return undefined;
      key = taken;
      return { kind, key };
    }
    const once = kvExchange(space, next, query);
    return {
      next: once.next,
      answered(answer) {
        const complaint = once.answered(answer);
        if (answer.status < 429) return complaint;
        open.push(key);
        return undefined;
      },
      unanswered() {
        once.unanswered();
        open.push(key);
      },
    };
  }
  const loop = new ClosedLoop({ ports: of.dataPorts, connections: CONNECTIONS, exchange, reconnect: true });
  await loop.done;
  const { errors, complaints } = loop.takeFigures();
  expect({ errors, complaints }).toEqual({ errors: 0, complaints: [] });
}

describe("a real cluster that grows and shrinks under a steady load", () => {
  it("goes 3 -> 4 -> 6 -> 3, and no client loses a write or notices more than a retry", async () => {
    const nodes = await LocalCluster.start({ settings: { ANNULUS_LOG_LEVEL: "warn" } });
    cluster = nodes;
    const space = newKeySpace(VALUE_BYTES, PAIRS);
    await each(nodes, space, "write", "?timeout=10000");
    const uniform = seededUniform(5);
    const workload = {
      name: "",
      readShare: 0.5,
      valueBytes: VALUE_BYTES,
      connections: CONNECTIONS,
      goalShare: undefined,
    };
    const closed = await measureWorkload(nodes, space, { ...workload, keys: "zipfian" }, uniform, {
      warmUpSeconds: 1,
      seconds: 4,
    });
    const operationsPerSecond = Math.round(closed.operationsPerSecond * LOAD_SHARE);
    // Those that are asked: a node that has left is asked no more once everybody can see that.
    let served: readonly ClusterNode[] = nodes.nodes;
    const steady = new SteadyLoad(() => served.map(({ dataPort }) => dataPort), {
      ...{ operationsPerSecond, space, uniform },
      choose: zipfianKeys(PAIRS, uniform),
    });
    load = steady;
    process.stdout.write(
      `${PAIRS} pairs of ${VALUE_BYTES} B; closed loop ${closed.operationsPerSecond.toFixed(0)}/s, load ${operationsPerSecond}/s\n`,
    );

    async function change(title: string, args: readonly string[]): Promise<void> {
      const fromMs = performance.now();
      await sleep(BEFORE_MS);
      const beganMs = performance.now();
      const done = await step(nodes, title, args);
      const endedMs = performance.now();
      const beforeMs = median(steady.p99s(fromMs, beganMs, WINDOWS));
      const duringMs = median(steady.p99s(beganMs, endedMs, WINDOWS));
      process.stdout.write(told(done, beforeMs, duringMs));
      await checkShares(nodes, done.plan);
      expect(done.copiedBytes).toBeLessThanOrEqual(COPIED_MAX * done.plan.movedBytes);
      // Whoever gets nothing by the plan, gets nothing.
      expect(done.copiedBytes).toBeGreaterThan(0);
    }

    const fourth = await nodes.add();
    await change("3 -> 4", ["join", memberOf(fourth)]);
    const [fifth, sixth] = [await nodes.add(), await nodes.add()];
    await change("4 -> 6", ["join", memberOf(fifth), memberOf(sixth)]);
    // The first one drives the change by which it leaves.
    const leaving = [nodes.nodes[0], fourth, sixth] as ClusterNode[];
    await change("6 -> 3", ["leave", ...leaving.map(({ name }) => name)]);
    served = nodes.nodes.filter((node) => !leaving.includes(node));
    await sleep(BEFORE_MS);
    await steady.stop();

    const { counters } = steady;
    const reasons = [...counters.reasons].map(([reason, count]) => `${count} × ${reason}`).join("; ");
    process.stdout.write(
      `  ${counters.operations} requests, ${counters.skipped} skipped, ${counters.retries} tries more: ${reasons}\n`,
    );
    expect({ failed: counters.failed, untrue: counters.untrue }).toEqual({ failed: 0, untrue: 0 });
    for (const node of leaving) expect(await nodes.remove(node)).toBe(true);
    const ring = await cleaned(nodes.nodes, REST_WITHIN_MS);
    const states = ring.members.map(({ name, state }) => [name, state]);
    expect(Object.fromEntries(states)).toEqual({
      ...Object.fromEntries(nodes.nodes.map(({ name }) => [name, "active"])),
      ...Object.fromEntries(leaving.map(({ name }) => [name, "left"])),
    });
    await comeToRest(nodes, REST_WITHIN_MS);
    expect(await nodes.stopProcesses()).toEqual([]);
    const records = await checkHomes([...nodes.nodes, ...leaving], ring);
    expect(records).toBe(PAIRS);
    await nodes.startAll();
    space.history.endUnknown();
    await each(nodes, space, "read", "?r=3&timeout=10000");
    expect((await annulus(nodes, ["changes"])).stdout).toMatch(/^no change is under way\b/);
    process.stdout.write(`  ${records} records the same on all their disks and on no other, 0 lost\n`);
  }, 1_800_000);
});
