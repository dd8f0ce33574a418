/** Two nodes that are home to everything, in this process: LevelDB on this disk, TCP on loopback, every byte counted. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { createLevelEngine, type LevelEngine } from "../../node/adapters/level/engine.ts";
import { systemRandom, systemTime } from "../../node/adapters/system.ts";
import { socketNetwork } from "../../node/adapters/tcp/sockets.ts";
import { createTransport } from "../../node/adapters/tcp/transport.ts";
import type { Network, Wire } from "../../node/adapters/tcp/wire.ts";
import { partitionRange, wholeRange } from "../../node/core/keyspace.ts";
import { firstRing } from "../../node/core/ring/first-members.ts";
import { createNode, type StorageNode } from "../../node/node.ts";
import { openIdentity } from "../../node/services/identity.ts";

const MEMBERS = [
  { name: "a", port: 17_412 },
  { name: "b", port: 17_422 },
] as const;

/** Far longer than building a million pairs' trees takes. */
const WAIT_MS_MAX = 600_000;

export type PairOptions = { readonly partitions: number; readonly backgroundBytesPerSecond: number };

/** The sockets of this machine, with every byte that is sent counted. */
function countedNetwork(sent: (bytes: number) => void): Network {
  const network = socketNetwork();
  const counted = (wire: Wire): Wire => {
    const write = wire.write.bind(wire);
    wire.write = (chunk) => {
      sent(chunk.length);
      return write(chunk);
    };
    return wire;
  };
  return {
    listen: (address, accepted) => network.listen(address, (wire) => accepted(counted(wire))),
    dial: (address) => counted(network.dial(address)),
    afterTurn: network.afterTurn,
  };
}

export class RepairPair {
  readonly #nodes: readonly { readonly node: StorageNode; readonly engine: LevelEngine }[];
  readonly #partitions: number;
  readonly #traffic: { sentBytes: number; counters: Record<string, number> };

  private constructor(
    nodes: readonly { readonly node: StorageNode; readonly engine: LevelEngine }[],
    partitions: number,
    traffic: { sentBytes: number; counters: Record<string, number> },
  ) {
    this.#nodes = nodes;
    this.#partitions = partitions;
    this.#traffic = traffic;
  }

  static async open(directory: string, { partitions, backgroundBytesPerSecond }: PairOptions): Promise<RepairPair> {
    const traffic = { sentBytes: 0, counters: {} as Record<string, number> };
    const ring = firstRing({
      members: MEMBERS.map(({ name, port }) => ({
        name,
        address: `127.0.0.1:${port}`,
        zone: name,
        weight: 100,
        state: "active" as const,
      })),
      partitions,
      replicationFactor: 2,
      readQuorum: 1,
      writeQuorum: 1,
      mode: "strict",
    });
    const telemetry = {
      count(name: string, amount = 1) {
        traffic.counters[name] = (traffic.counters[name] ?? 0) + amount;
      },
      observe() {},
      gauge() {},
      log() {},
    };
    const open = async ({ name, port }: (typeof MEMBERS)[number]) => {
      const options = { cacheBytes: 8 << 20, writeBufferBytes: 16 << 20, reserveBytes: 0 };
      const engine = await createLevelEngine({ telemetry }, { ...options, directory: join(directory, name, "store") });
      const ports = { time: systemTime, random: systemRandom(), telemetry, engine };
      if ((await engine.get(Buffer.from("\u0001identity"))) === undefined) await adopt(engine, name);
      const identity = await openIdentity(ports, opener(name));
      const network = countedNetwork((bytes) => {
        traffic.sentBytes += bytes;
      });
      const transport = createTransport(ports, network, {
        clusterId: "bench",
        member: name,
        identity: () => ({ actor: identity.actor, incarnation: identity.incarnation() }),
        listen: { host: "127.0.0.1", port },
      });
      const node = createNode(
        {
          clusterId: "bench",
          member: name,
          firstRing: ring,
          seeds: [],
          timeoutMs: 1_000,
          gossipIntervalMs: 1_000,
          phiThreshold: 8,
          durability: "os",
          siblingsMax: 50,
          siblingBytesMax: 1 << 20,
          contextEntriesMax: 32,
          recordCacheBytes: 16 << 20,
          inFlightMax: 1_024,
          backgroundBytesPerSecond,
          hintWindowMs: 10_800_000,
          hintBytesMax: 64 << 20,
          tombstoneAgeMs: 86_400_000,
          repair: { repairIntervalMs: 31_536_000_000, scrubIntervalMs: 31_536_000_000 },
        },
        { ...ports, transport },
        identity,
      );
      return { node, engine };
    };
    return new RepairPair(await Promise.all(MEMBERS.map(open)), partitions, traffic);
  }

  async start(): Promise<void> {
    await Promise.all(this.#nodes.map(({ node }) => node.start()));
  }

  async stop(): Promise<void> {
    for (const { node } of this.#nodes) await node.stop();
    for (const { engine } of this.#nodes) await engine.close();
  }

  /** Waits until both are linked and have all trees. */
  async treesBuilt(): Promise<void> {
    const isReady = ({ node }: { readonly node: StorageNode }) => {
      const { owned, built } = node.repair.progress();
      const linked = node.status.cluster().members.every((member) => member.health === "up");
      return linked && owned === this.#partitions && built === owned;
    };
    await until(
      () => this.#nodes.every(isReady),
      () => `both to be linked and to have built all trees: ${JSON.stringify(this.#state())}`,
    );
  }

  /** One pass of one node, over all partitions. */
  async measurePass(): Promise<{ readonly bytes: number; readonly ms: number; readonly cpuMs: number }> {
    const [first] = this.#nodes;
    assert(first !== undefined, "there are two nodes");
    const before = { bytes: this.#traffic.sentBytes, cpu: process.cpuUsage(), ms: performance.now() };
    const { rounds } = first.node.repair.progress();
    first.node.repair.passNow();
    await until(
      () => first.node.repair.progress().rounds !== rounds,
      () => `the pass to end: ${JSON.stringify(this.#state())}`,
    );
    const cpu = process.cpuUsage(before.cpu);
    const bytes = this.#traffic.sentBytes - before.bytes;
    return { bytes, ms: performance.now() - before.ms, cpuMs: (cpu.user + cpu.system) / 1_000 };
  }

  /** What a wait that does not end is told with. */
  #state() {
    return this.#nodes.map(({ node }) => ({
      repair: node.repair.progress(),
      members: node.status.cluster().members.map(({ name, health }) => `${name} ${health}`),
    }));
  }

  /** What was counted since the last time. */
  takeCounters(): Readonly<Record<string, number>> {
    const counters = { ...this.#traffic.counters };
    this.#traffic.counters = {};
    return counters;
  }

  /** Reads both stores side by side. */
  async differingKeys(): Promise<number> {
    const seen = new Set<string>();
    for (let partition = 0; partition < this.#partitions; partition++) {
      const sides: Map<string, Buffer>[] = [];
      for (const { engine } of this.#nodes) sides.push(await contentsOf(engine, partition));
      for (const [mine, theirs] of [sides, [...sides].reverse()] as [Map<string, Buffer>, Map<string, Buffer>][]) {
        for (const [key, value] of mine) if (theirs.get(key)?.equals(value) !== true) seen.add(key);
      }
    }
    return seen.size;
  }
}

/** Waits in steps of a ms; a measurement that stands still says so. */
async function until(isOver: () => boolean, what: () => string): Promise<void> {
  const endMs = performance.now() + WAIT_MS_MAX;
  while (!isOver()) {
    if (performance.now() > endMs) assert.fail(`waited ${WAIT_MS_MAX} ms for ${what()}`);
    await sleep(1);
  }
}

function opener(member: string) {
  return { clusterId: "bench", member, bootId: "bench" };
}

/** Gives a store that was loaded without a node an identity, which a node would refuse to do. */
async function adopt(engine: LevelEngine, member: string): Promise<void> {
  const empty = { ...engine, get: engine.get.bind(engine), batch: engine.batch.bind(engine), scan: async () => [] };
  const quiet = { count() {}, observe() {}, gauge() {}, log() {} };
  await openIdentity({ engine: empty, random: systemRandom(), telemetry: quiet }, opener(member));
  assert((await engine.scan({ ...wholeRange(), limit: 1 })).length > 0, "the store holds an identity now");
}

async function contentsOf(engine: LevelEngine, partition: number): Promise<Map<string, Buffer>> {
  const { from, until } = partitionRange(partition);
  const contents = new Map<string, Buffer>();
  let next = from;
  for (;;) {
    const entries = await engine.scan({ from: next, until, limit: 1_000 });
    for (const { key, value } of entries) contents.set(Buffer.from(key).toString("latin1"), Buffer.from(value));
    const last = entries.at(-1);
    if (last === undefined || entries.length < 1_000) return contents;
    next = Buffer.concat([last.key, Uint8Array.of(0)]);
  }
}
