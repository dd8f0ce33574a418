/**
 * What must be true of a cluster of real nodes once the faults are over, and how long it may take.
 *
 *     faults end ─► every member up everywhere, no hint waits ─► all homes found equal since ─► stopped, the disks
 *     compared byte for byte ─► started ─► every key read through every node at r=N, checked against the history
 *
 * Nothing is read before the disks were compared, so that no read repairs what hints and anti-entropy should have.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { createLevelEngine } from "../../node/adapters/level/engine.ts";
import { hintsRange, partitionRange, type StorageRange } from "../../node/core/keyspace.ts";
import type { Entry } from "../../node/ports.ts";
import type { ClusterNode, LocalCluster } from "../bench/cluster.ts";
import { sleep } from "../bench/processes.ts";
import { createRecordedTelemetry } from "../contract/recorded-telemetry.ts";
import type { History } from "../sim/history.ts";
import { idsOf } from "../sim/values.ts";
import { Caller, type Endpoint } from "./calls.ts";
import { foundIn } from "./clients.ts";

/** What a node says of the cluster, as far as it matters here. */
export type ClusterView = {
  readonly node: string;
  readonly members: readonly { readonly name: string; readonly state: string; readonly health: string }[];
  readonly hints: { readonly complete: boolean; readonly waiting: readonly { readonly count: number }[] };
  readonly repair: { readonly owned: number; readonly built: number; readonly oldest?: string };
};

const POLL_MS = 100;
const READ_PATIENCE_MS = 6_000;
const MEBIBYTE = 1_048_576;
const PAGE_ENTRIES = 10_000;

/** `/v1/cluster` of a node. */
export async function viewOf({ host, adminPort }: ClusterNode): Promise<ClusterView> {
  const response = await fetch(`http://${host}:${adminPort}/v1/cluster`, { signal: AbortSignal.timeout(2_000) });
  assert.equal(response.status, 200);
  return (await response.json()) as ClusterView;
}

/** Why the cluster is not at rest by what its nodes say; undefined when all say that it is. */
function unrest(views: readonly ClusterView[]): string | undefined {
  for (const { node, members, hints } of views) {
    const present = members.filter(({ state }) => state !== "left");
    const other = present.find(({ health, state }) => health !== "up" || state !== "active");
    if (other !== undefined) return `${node} says that ${other.name} is ${other.state} and ${other.health}`;
    if (!hints.complete) return `${node} is counting its hints`;
    const waiting = hints.waiting.reduce((sum, { count }) => sum + count, 0);
    if (waiting > 0) return `${waiting} hints wait at ${node}`;
  }
  return undefined;
}

/** Waits until each of some nodes says that every member is up: a change is refused while one seems to be away. */
export async function allUp(nodes: readonly ClusterNode[], withinMs: number): Promise<void> {
  const untilMs = performance.now() + withinMs;
  for (;;) {
    const views = await Promise.all(nodes.map(viewOf));
    const away = views.flatMap(({ node, members }) =>
      members
        .filter(({ state, health }) => state !== "left" && health !== "up")
        .map(({ name, health }) => `${node} says that ${name} is ${health}`),
    );
    if (away.length === 0) return;
    assert(performance.now() < untilMs, `every member is up within ${withinMs} ms: ${away.join("; ")}`);
    await sleep(POLL_MS);
  }
}

/** Why not all homes were found equal since an instant of the wall clock. */
function unlike(views: readonly ClusterView[], sinceMs: number): string | undefined {
  for (const { node, repair } of views) {
    if (repair.built < repair.owned) return `${node} has built ${repair.built} of ${repair.owned} trees`;
    if (repair.oldest === undefined || Date.parse(repair.oldest) <= sinceMs)
      return `${node} has not compared all partitions since hints were gone`;
  }
  return undefined;
}

/**
 * Waits until every node says that nothing is left to mend.
 *
 * @returns How long each of the two took, from the call on, in ms: members up and hints gone; all homes found equal.
 */
export async function comeToRest(
  { nodes }: Pick<LocalCluster, "nodes">,
  withinMs: number,
): Promise<{ readonly calmMs: number; readonly equalMs: number }> {
  const startedMs = performance.now();
  async function until(why: (views: readonly ClusterView[]) => string | undefined): Promise<number> {
    for (;;) {
      const found = why(await Promise.all(nodes.map(viewOf)));
      const tookMs = performance.now() - startedMs;
      if (found === undefined) return tookMs;
      assert(tookMs < withinMs, `the cluster is at rest ${withinMs} ms after the faults ended: ${found}`);
      await sleep(POLL_MS);
    }
  }
  const calmMs = await until(unrest);
  const calmAtMs = Date.now();
  const equalMs = await until((views) => unrest(views) ?? unlike(views, calmAtMs));
  return { calmMs, equalMs };
}

/** Stops all nodes cleanly, holds their disks against each other, and starts them again. */
export async function checkDisks(cluster: LocalCluster): Promise<{ readonly records: number }> {
  const [first] = cluster.nodes;
  assert(first !== undefined, "there are nodes");
  const response = await fetch(`http://${first.host}:${first.adminPort}/v1/ring`);
  const { preferenceLists } = (await response.json()) as { readonly preferenceLists: readonly (readonly string[])[] };
  assert.deepEqual(await cluster.stopProcesses(), [], "every node stops when it is asked to");
  const disks = new Map<string, Disk>();
  try {
    for (const { name, dataDirectory } of cluster.nodes) disks.set(name, await openDisk(dataDirectory));
    for (const [name, { read }] of disks)
      assert.equal((await read(hintsRange())).length, 0, `no hint is left on the disk of ${name}`);
    let records = 0;
    for (const [partition, homes] of preferenceLists.entries()) {
      const contents = await Promise.all(
        homes.map(async (name) => (await disks.get(name)?.read(partitionRange(partition)))?.map(asText) ?? []),
      );
      records += contents[0]?.length ?? 0;
      contents.forEach((content, index) => {
        assert.deepEqual(
          content,
          contents[0],
          `${homes[index]} and ${homes[0]} hold the same of partition ${partition}`,
        );
      });
    }
    return { records };
  } finally {
    await Promise.all([...disks.values()].map(({ close }) => close()));
    await cluster.startAll();
  }
}

/** Reads every key through every node, of all its homes, and holds what they show against the history. */
export async function checkHistory(
  { nodes }: { readonly nodes: readonly (Endpoint & { readonly name: string })[] },
  history: History,
  keys: readonly string[],
  replicationFactor: number,
): Promise<void> {
  const caller = new Caller(READ_PATIENCE_MS);
  try {
    for (const key of keys) {
      const views: string[] = [];
      for (const node of nodes) {
        const path = `${key}?r=${replicationFactor}&timeout=${READ_PATIENCE_MS - 1_000}`;
        const called = await caller.call(node, { method: "GET", path });
        const found = foundIn(called);
        const what = called.kind === "silent" ? called.why : `${called.status} ${called.body}`;
        assert(found !== undefined, `${node.name} answers a read of ${key} from all homes when all is quiet: ${what}`);
        const shown = idsOf(found.values, key, history.writes);
        history.checkEnd(key, shown, performance.now());
        views.push(`[${shown}]`);
      }
      assert.equal(
        new Set(views).size,
        1,
        `every node shows the same for ${key}, in the same order: ${views.join(" ")}`,
      );
    }
  } finally {
    caller.close();
  }
}

type Disk = { read(range: StorageRange): Promise<readonly Entry[]>; close(): Promise<void> };

async function openDisk(dataDirectory: string): Promise<Disk> {
  const engine = await createLevelEngine(
    { telemetry: createRecordedTelemetry() },
    { directory: join(dataDirectory, "store"), cacheBytes: MEBIBYTE, writeBufferBytes: MEBIBYTE, reserveBytes: 0 },
  );
  return {
    async read(range) {
      const entries = await engine.scan({ ...range, limit: PAGE_ENTRIES });
      assert(entries.length < PAGE_ENTRIES, "a test writes fewer records than one page holds");
      return entries;
    },
    close: () => engine.close(),
  };
}

function asText({ key, value }: Entry): string {
  return `${Buffer.from(key).toString("hex")}=${Buffer.from(value).toString("hex")}`;
}
