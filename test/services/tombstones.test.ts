/** A horizon is raised only when every member says that what it said before is on its disk. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { dataKey } from "../../node/core/keyspace.ts";
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

const isWithin = (key: Uint8Array, from: Uint8Array, until: Uint8Array) =>
  Buffer.compare(key, from) >= 0 && Buffer.compare(key, until) < 0;

async function run(peer: (name: string, request: ClearanceRequest) => Partial<ClearanceReply>) {
  const { parts, raised, flushed } = partsOf(peer);
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
});
