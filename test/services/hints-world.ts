/** One node's hints over a simulated disk, in virtual time, with targets that are told what to answer. */
import assert from "node:assert/strict";
import { KvError } from "../../node/core/errors.ts";
import { encodeHint } from "../../node/core/hint.ts";
import { hintKey, hintsRange } from "../../node/core/keyspace.ts";
import { firstRing, parseFirstMembers } from "../../node/core/ring/first-members.ts";
import { createRing, type Ring } from "../../node/core/ring/ring.ts";
import { encodeRecord } from "../../node/core/version/record-codec.ts";
import { stampWrite } from "../../node/core/version/stamp.ts";
import type { MergeRequest } from "../../node/messages.ts";
import type { Engine } from "../../node/ports.ts";
import { createBudget } from "../../node/services/budget.ts";
import { createGroupCommit } from "../../node/services/group-commit.ts";
import { createHintDelivery, type HintDelivery } from "../../node/services/hint-delivery.ts";
import { createHints, type Hints } from "../../node/services/hints.ts";
import { type Identity, openIdentity } from "../../node/services/identity.ts";
import type { Replicas } from "../../node/services/replicas.ts";
import { createRecordedTelemetry } from "../contract/recorded-telemetry.ts";
import { createSimulatedDisk } from "../sim/disk.ts";
import { createSeededRandom } from "../sim/random.ts";
import { Simulator } from "../sim/simulator.ts";

export const PARTITION = 3;
export const WINDOW_MS = 3 * 3_600_000;

export function bytesOf(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

/** A ring of five members and three homes a partition, of which the named ones are home to everything. */
export function ringOf(homes: readonly string[], writeQuorum = 2): Ring {
  const document = firstRing({
    members: parseFirstMembers("a=h:1@v,b=h:2@w,c=h:3@x,d=h:4@y,e=h:5@z"),
    partitions: 16,
    replicationFactor: 3,
    readQuorum: 2,
    writeQuorum,
    mode: "sloppy",
  });
  const places = homes.map((name) => document.members.findIndex((member) => member.name === name));
  const homesOfAll = document.homes.map(() => places);
  return createRing({ ...document, homes: homesOfAll });
}

/** A record of one blind write. */
export function recordOf(value: string, counter = 1): Uint8Array {
  const write = {
    record: undefined,
    dot: { actor: "ab".repeat(16), incarnation: 1, counter },
    base: { kind: "sibling" },
    content: { value: bytesOf(value), contentType: "text/plain", expiresAtMs: undefined },
    nowMs: 1_700_000_000_000,
    limits: { siblingsMax: 50, siblingBytesMax: 1 << 20 },
  } as const;
  return encodeRecord(stampWrite(write).record);
}

/** Bytes that a hint of this record takes, as the budget counts them. */
export function hintBytes(target: string, key: string, record: Uint8Array): number {
  const place = { partition: PARTITION, target, key: bytesOf(key) };
  return hintKey(place).length + encodeHint({ counted: true, stampedHere: false, storedAtMs: 0, record }).length;
}

export type HintsWorld = Awaited<ReturnType<typeof createHintsWorld>>;

type WorldOptions = {
  readonly bytesMax?: number;
  /** What delivery may spend. */
  readonly bytesPerSecond?: number;
  readonly homes?: string;
  /** What the node keeps of every key since it was a home of it. */
  readonly leftover?: () => Uint8Array | undefined;
  /** Memory for hints that were used last; as good as none where it is not given. */
  readonly cacheBytes?: number;
};

export async function createHintsWorld(options: WorldOptions = {}) {
  const simulator = new Simulator();
  const telemetry = createRecordedTelemetry();
  const random = createSeededRandom(1);
  const diskTime = simulator.timeOf(simulator.createProcess("disk"));
  const disk = createSimulatedDisk({ time: diskTime, random: random.stream("disk") });
  const sent: { readonly atMs: number; readonly to: string; readonly request: MergeRequest }[] = [];
  let running: { hints: Hints; delivery: HintDelivery; engine: Engine; identity: Identity } | undefined;

  const world = {
    simulator,
    telemetry,
    disk,
    sent,
    ring: ringOf([...(options.homes ?? "abc")]),
    up: new Set(["a", "b", "c", "d", "e"]),
    /** What a member answers to a hint; acknowledged where nothing is set. */
    answers: new Map<string, () => Promise<void>>(),
    get hints(): Hints {
      return running?.hints ?? assert.fail("the node runs");
    },
    get identity(): Identity {
      return running?.identity ?? assert.fail("the node runs");
    },
    get delivery(): HintDelivery {
      return running?.delivery ?? assert.fail("the node runs");
    },
    /** Has the node start on what is on the disk. */
    async start(): Promise<void> {
      const time = simulator.timeOf(simulator.createProcess("node"));
      const engine = disk.open();
      const ports = { engine, time, telemetry, random: random.stream(`node at ${simulator.nowMs}`) };
      const identity = await world.settled(openIdentity(ports, { clusterId: "c", member: "e", bootId: "boot" }));
      const sizes = { batchBytesMax: 1 << 20, queueBytesMax: 32 << 20, queueMsMax: 1_000 };
      const commit = createGroupCommit(ports, { sync: false, intervalMs: 1, ...sizes });
      const limits = { siblingsMax: 50, siblingBytesMax: 1 << 20, contextEntriesMax: 32, mayForget: () => false };
      const hints = createHints(
        {
          ...ports,
          commit,
          identity,
          targets: () => world.ring.document.members,
          partitions: () => world.ring.document.partitions,
          leftover: async () => options.leftover?.(),
        },
        { bytesMax: options.bytesMax ?? 1 << 20, cacheBytes: options.cacheBytes ?? 1, countWaitMsMax: 1_000, limits },
      );
      const rate = options.bytesPerSecond ?? 1 << 30;
      const budget = createBudget(ports, { bytesPerSecondMax: rate, bytesPerSecondMin: rate });
      const replicas = {
        self: "e",
        merge(to: string, _partition: number, request: MergeRequest) {
          sent.push({ atMs: simulator.nowMs, to, request });
          return world.answers.get(to)?.() ?? Promise.resolve();
        },
      } as unknown as Replicas;
      const isUp = (member: string) => world.up.has(member);
      const delivery = createHintDelivery(
        { ...ports, hints, replicas, ring: () => world.ring, isUp, budget },
        { windowMs: WINDOW_MS, timeoutMs: 5_000 },
      );
      running = { hints, delivery, engine, identity };
      await world.settled(hints.open());
    },
    /** Ends the process as a kill would. */
    kill(): void {
      disk.crash("process");
      running = undefined;
    },
    /** The result of something that takes virtual time. */
    async settled<T>(asking: Promise<T>): Promise<T> {
      let end: { value: T } | { error: unknown } | undefined;
      asking.then(
        (value) => {
          end = { value };
        },
        (error: unknown) => {
          end = { error };
        },
      );
      await simulator.runWhile(() => end === undefined, 60_000);
      if (end === undefined) assert.fail("it ends");
      if ("error" in end) throw end.error;
      return end.value;
    },
    pass: (durationMs: number) => simulator.runUntil(simulator.nowMs + durationMs),
    store: (target: string, key: string, record: Uint8Array, counts: boolean) =>
      world.settled(world.hints.store({ partition: PARTITION, target, key: bytesOf(key) }, record, counts)),
    /** Keys of the hints on the disk, as `target/key`. */
    onDisk: () => disk.entries({ ...hintsRange(), limit: 10_000 }),
    waiting: () => Object.fromEntries(world.hints.ledger.waiting().map(({ target, count }) => [target, count])),
  };
  await world.start();
  await world.pass(100);
  return world;
}

/** The error of a call that must fail with a code. */
export async function failure(asking: Promise<unknown>, code: string): Promise<KvError> {
  const error = await asking.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  assert(error instanceof KvError && error.code === code, `fails with ${code}: ${error}`);
  return error;
}
