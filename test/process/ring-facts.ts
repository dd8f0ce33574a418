/** What real nodes say of their ring and of what changes have copied, and what lies on their disks. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { createLevelEngine } from "../../node/adapters/level/engine.ts";
import { hintsRange, partitionRange, type StorageRange } from "../../node/core/keyspace.ts";
import type { Engine } from "../../node/ports.ts";
import type { ClusterNode } from "../bench/cluster.ts";
import { sleep } from "../bench/processes.ts";
import { createRecordedTelemetry } from "../contract/recorded-telemetry.ts";

export type RingView = {
  readonly epoch: number;
  readonly members: readonly { readonly name: string; readonly state: string }[];
  /** Of each partition, the names of its homes. */
  readonly preferenceLists: readonly (readonly string[])[];
};

const POLL_MS = 100;
/** Several rounds of looking for what is to be given up. */
const CALM_MS = 6_000;
const MEBIBYTE = 1_048_576;
const PAGE_RECORDS = 1_000;

/** Of an admin port, a path's answer as it is. */
export function asked({ host, adminPort }: ClusterNode, path: string, init: RequestInit = {}): Promise<Response> {
  return fetch(`http://${host}:${adminPort}${path}`, { signal: AbortSignal.timeout(10_000), ...init });
}

/** `/v1/ring` of a node. */
export async function ringOf(node: ClusterNode): Promise<RingView> {
  const response = await asked(node, "/v1/ring");
  assert.equal(response.status, 200);
  return (await response.json()) as RingView;
}

/** Waits until a node has heard that a member is in a state. */
export async function heard(
  node: ClusterNode,
  { name, state }: { readonly name: string; readonly state: string },
  withinMs: number,
): Promise<void> {
  const untilMs = performance.now() + withinMs;
  for (;;) {
    const found = (await ringOf(node)).members.find((member) => member.name === name)?.state;
    if (found === state) return;
    assert(performance.now() < untilMs, `${node.name} has it that ${name} is ${found}, not ${state}`);
    await sleep(POLL_MS);
  }
}

/** How many replicas of partitions each member has. */
export function replicasOf({ preferenceLists }: RingView): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const name of preferenceLists.flat()) counts.set(name, (counts.get(name) ?? 0) + 1);
  return counts;
}

/** One metric of a node; 0 where it was never counted. */
export async function metricOf(node: ClusterNode, name: string): Promise<number> {
  const text = await (await asked(node, "/metrics")).text();
  return Number(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)`, "m").exec(text)?.[1] ?? 0);
}

/** The sum of one metric over nodes. */
export async function sumOf(nodes: readonly ClusterNode[], name: string): Promise<number> {
  const values = await Promise.all(nodes.map((node) => metricOf(node, name)));
  return values.reduce((sum, value) => sum + value, 0);
}

/**
 * Waits until no node holds a partition that is not its own, and all go by one ring. Gives that ring.
 *
 * A node finds out what it has to give up some time after a ring came into force, so that it is asked for a while.
 */
export async function cleaned(nodes: readonly ClusterNode[], withinMs: number): Promise<RingView> {
  const untilMs = performance.now() + withinMs;
  let sinceMs = performance.now();
  let epoch = 0;
  for (;;) {
    const rings = await Promise.all(nodes.map(ringOf));
    const leftovers = await sumOf(nodes, "annulus_leftovers_partitions");
    const first = rings[0] as RingView;
    if (leftovers > 0 || rings.some((ring) => ring.epoch !== first.epoch) || first.epoch !== epoch) {
      sinceMs = performance.now();
      epoch = first.epoch;
    } else if (performance.now() - sinceMs > CALM_MS) return first;
    const epochs = rings.map((ring) => ring.epoch).join(", ");
    assert(performance.now() < untilMs, `${leftovers} partitions are still where they were; epochs ${epochs}`);
    await sleep(POLL_MS);
  }
}

/**
 * Holds the disks of stopped nodes against the ring: all homes of a partition hold the same, nobody else anything of it,
 * and nobody a hint.
 *
 * @param nodes All that ever were members, those that left included.
 * @returns Distinct records.
 */
export async function checkHomes(nodes: readonly ClusterNode[], { preferenceLists }: RingView): Promise<number> {
  const engines = new Map<string, Engine>();
  try {
    for (const { name, dataDirectory } of nodes) engines.set(name, await open(dataDirectory));
    let records = 0;
    for (const [name, engine] of engines) {
      assert.equal((await contentOf(engine, hintsRange())).records, 0, `no hint is left on the disk of ${name}`);
    }
    for (const [partition, homes] of preferenceLists.entries()) {
      const held = new Map<string, Content>();
      for (const [name, engine] of engines) held.set(name, await contentOf(engine, partitionRange(partition)));
      const first = held.get(homes[0] as string) as Content;
      for (const [name, content] of held) {
        if (homes.includes(name)) {
          assert.deepEqual(content, first, `${name} and ${homes[0]} hold the same of partition ${partition}`);
        } else
          assert.equal(content.records, 0, `${name} holds nothing of partition ${partition}, which is not its own`);
      }
      records += first.records;
    }
    return records;
  } finally {
    await Promise.all([...engines.values()].map((engine) => engine.close()));
  }
}

type Content = { readonly records: number; readonly digest: string };

async function contentOf(engine: Engine, range: StorageRange): Promise<Content> {
  const digest = createHash("sha256");
  let records = 0;
  for (let from = range.from; ; ) {
    const page = await engine.scan({ ...range, from, limit: PAGE_RECORDS });
    for (const { key, value } of page) digest.update(key).update(value);
    records += page.length;
    const last = page.at(-1);
    if (last === undefined || page.length < PAGE_RECORDS) return { records, digest: digest.digest("hex") };
    from = Buffer.concat([last.key, Buffer.of(0)]);
  }
}

function open(dataDirectory: string): Promise<Engine> {
  return createLevelEngine(
    { telemetry: createRecordedTelemetry() },
    { directory: join(dataDirectory, "store"), cacheBytes: MEBIBYTE, writeBufferBytes: MEBIBYTE, reserveBytes: 0 },
  );
}
