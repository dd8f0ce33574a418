/** A horizon is raised only when every member says that what it said before is on its disk. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { KvError } from "../../node/core/errors.ts";
import { dataKey, partitionRange } from "../../node/core/keyspace.ts";
import { encodeRecord } from "../../node/core/version/record-codec.ts";
import type { ClearanceReply, ClearanceRequest, RepairRequest } from "../../node/messages.ts";
import type { Replicas } from "../../node/services/replicas.ts";
import { createTombstones, type TombstoneParts } from "../../node/services/tombstones.ts";
import { createInstantTime } from "../contract/instant-time.ts";
import { createRecordedTelemetry } from "../contract/recorded-telemetry.ts";
import { A, B, bytes, dot, write } from "../core/version/examples.ts";
import { ringOf } from "./hints-world.ts";

const RING = ringOf(["a", "b", "c"]);
const FLOOR_MS = 1_000;
const SUM = new Uint8Array(16);
const VALUE = write(undefined, dot(A, 1)).record;
const DELETION = encodeRecord(write(VALUE, dot(B, 2), { value: undefined }).record);

const compare = ((_: string, { partitions }: Extract<RepairRequest, { kind: "roots" }>) =>
  Promise.resolve({
    kind: "roots",
    epoch: RING.epoch,
    roots: partitions.map(() => ({ bits: 4, sum: SUM, isComplete: true })),
    horizons: partitions.map(() => ({ digest: 0, vouches: false })),
  })) as unknown as Replicas["compare"];

/** What the first home needs, where each partition holds one deletion and all members agree. */
function partsOf(peer: (name: string, request: ClearanceRequest) => Partial<ClearanceReply>) {
  const raised: number[] = [];
  const flushed: string[] = [];
  const nothing = () => undefined;
  const parts = {
    ...{ self: "a", ring: () => RING, isUp: () => true, time: createInstantTime() },
    admission: { adoptedEpoch: () => RING.epoch },
    completeness: { isComplete: () => true },
    leftovers: { isClear: () => true },
    hints: { isComplete: () => true, waiting: () => [], mayHold: () => false },
    identity: { incarnation: () => 1 },
    horizons: {
      ...{ of: nothing, isSettled: () => true, digest: () => 0 },
      adopt: (partition: number) => Promise.resolve(void raised.push(partition)),
    },
    collection: { of: nothing, vouches: () => true },
    trees: { ready: () => ({ root: () => SUM }) },
    comparer: { mend: () => Promise.resolve(0) },
    replicas: { compare },
    transport: {
      request: (name: string, request: ClearanceRequest) => {
        if (request.isToFlush === true) flushed.push(name);
        const clear = request.partitions.map(() => true);
        return Promise.resolve({ kind: "clearance", epoch: RING.epoch, clear, ...peer(name, request) });
      },
    },
    engine: {
      scan: ({ from, until }: { readonly from: Uint8Array; readonly until: Uint8Array }) => {
        const partition = RING.partitionsOf("a").find((own) => isWithin(dataKey(own, bytes("key")), from, until));
        return Promise.resolve(
          partition === undefined ? [] : [{ key: dataKey(partition, bytes("key")), value: DELETION }],
        );
      },
      flush: () => Promise.resolve(void flushed.push("a")),
    },
    budget: { spend: () => Promise.resolve() },
    telemetry: createRecordedTelemetry(),
  } as unknown as TombstoneParts;
  return { parts, raised, flushed };
}

const damagedBlock = () => new KvError("STORAGE_FAILED", "Cannot scan: a block is damaged.");
const firstOwn = () => RING.partitionsOf("a")[0] ?? assert.fail("it has partitions");

/** As `compare`, with another root of one partition. */
function differingIn(partition: number): Replicas["compare"] {
  return (async (peer: string, request: Extract<RepairRequest, { kind: "roots" }>) => {
    const reply = await compare(peer, request, 1_000);
    const roots = reply.roots.map((root, index) =>
      request.partitions[index] === partition ? { ...root, sum: new Uint8Array(16).fill(1) } : root,
    );
    return { ...reply, roots };
  }) as unknown as Replicas["compare"];
}

const isWithin = (key: Uint8Array, from: Uint8Array, until: Uint8Array) =>
  Buffer.compare(key, from) >= 0 && Buffer.compare(key, until) < 0;

async function run(
  peer: (name: string, request: ClearanceRequest) => Partial<ClearanceReply>,
  changed: (parts: TombstoneParts) => Partial<TombstoneParts> = () => ({}),
) {
  const { parts: usual, raised, flushed } = partsOf(peer);
  const parts = { ...usual, ...changed(usual) };
  const tombstones = createTombstones(parts, { floorMs: FLOOR_MS });
  tombstones.start();
  await new Promise<void>((resolve) => parts.time.after(FLOOR_MS + FLOOR_MS / 2, resolve));
  await tombstones.stop();
  return { raised: new Set(raised).size, flushed: [...new Set(flushed)].sort() };
}

describe("the evidence for a horizon", () => {
  it("is whole once every member flushed under the incarnation of its first answer", async () => {
    assert.deepEqual(await run(() => ({ incarnation: 7 })), { raised: 16, flushed: ["a", "b", "c", "d", "e"] });
  });

  it("is void when a home, or any other member, lost something meanwhile", async () => {
    for (const loser of ["b", "e"]) {
      const { raised } = await run((name, { isToFlush }) => ({
        incarnation: name === loser && isToFlush === true ? 8 : 7,
      }));
      assert.equal(raised, 0);
    }
  });

  it("is wanting while a member is of a release that does not flush", async () => {
    assert.equal((await run((name) => (name === "d" ? {} : { incarnation: 7 }))).raised, 0);
  });

  it("is gathered of all other partitions where one cannot be read", async () => {
    const { raised } = await run(
      () => ({ incarnation: 7 }),
      ({ engine }) => ({
        engine: {
          ...engine,
          scan: async (range) => {
            const { from, until } = partitionRange(firstOwn());
            if (isWithin(range.from, from, until)) throw damagedBlock();
            return engine.scan(range);
          },
        },
      }),
    );
    assert.equal(raised, 15);
  });

  it("is gathered of all other partitions where one differs from its copy at another home, and cannot be compared", async () => {
    for (const code of ["STORAGE_FAILED", "NOT_READY"] as const) {
      const { raised } = await run(
        () => ({ incarnation: 7 }),
        () => ({
          replicas: { compare: differingIn(firstOwn()) },
          comparer: { mend: () => Promise.reject(new KvError(code, "Cannot compare.")) },
        }),
      );
      assert.equal(raised, 15);
    }
  });
});
