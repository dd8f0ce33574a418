/** Names of writes that arrive at a home, or at a stand-in: which are the first to be forgotten. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import type { KvRecord } from "../../node/core/version/record.ts";
import { decodeRecord, encodeRecord } from "../../node/core/version/record-codec.ts";
import { EVENTS_MAX } from "../../node/core/version/retention.ts";
import { A, B, bytes, dot, SIBLING, withContext, write } from "../core/version/examples.ts";
import { createHintsWorld, PARTITION } from "../services/hints-world.ts";
import { createReplicaWorld } from "./replica-world.ts";

const BEHIND_MS = 100_000;

/** A record with as many names as are remembered, stamped just now. */
function full(nowMs: number): Uint8Array {
  let record: KvRecord | undefined;
  for (let counter = 1; counter <= EVENTS_MAX.client; counter++)
    record = write(record, dot(A, counter), { event: `${counter}`, nowMs: nowMs - EVENTS_MAX.client + counter }).record;
  return encodeRecord(record as KvRecord);
}

/** Another one, stamped elsewhere at the same time, as a slow clock has it. */
const late = (nowMs: number) =>
  encodeRecord(write(undefined, dot(B, 1), { base: SIBLING, event: "late", nowMs: nowMs - BEHIND_MS }).record);

/** A write of a client that had read `full` elsewhere. */
const upon = (nowMs: number, behindMs = 0) => {
  const base = withContext(decodeRecord(full(nowMs)).context);
  return encodeRecord(write(undefined, dot(B, 1), { base, event: "upon it", nowMs: nowMs - behindMs }).record);
};

const request = {
  kind: "stamp",
  epoch: 1,
  key: bytes("key"),
  base: { kind: "overwrite" },
  content: { value: bytes("next"), contentType: "text/plain", expiresAtMs: undefined },
  event: { kind: "client", id: bytes("next") },
} as const;

const namesIn = (record: Uint8Array) => decodeRecord(record).events.map(({ id }) => Buffer.from(id).toString());

describe("a name that arrives by a clock that is behind", () => {
  it("is remembered by a home that stamps the next write", async () => {
    const { time, replica } = await createReplicaWorld();
    await replica.merge(PARTITION, request.key, full(time.wallMs()));
    await replica.merge(PARTITION, request.key, late(time.wallMs()));
    const { record } = await replica.stamp(PARTITION, request, time.monotonicMs() + 10_000);
    assert(namesIn(record).includes("late"), "the name that came last is remembered");
    assert.deepEqual(namesIn(record).includes("1"), false);
  });

  it("is remembered by a stand-in that stamps the next write, for whichever home it keeps it", async () => {
    for (const target of ["a", "b"])
      for (const stampedFor of ["a", "b", "c"]) {
        const world = await createHintsWorld();
        const time = world.simulator.timeOf(world.simulator.createProcess("clock"));
        await world.store("a", "key", full(time.wallMs()), true);
        await world.simulator.runUntil(world.simulator.nowMs + 1_000);
        await world.store(target, "key", late(time.wallMs()), true);
        const stamped = world.hints.stamp(PARTITION, stampedFor, request, time.monotonicMs() + 10_000);
        const { record } = await world.settled(stamped);
        const which = `kept for ${target}, stamped for ${stampedFor}`;
        assert.deepEqual(namesIn(record).includes("late"), true, which);
        assert.deepEqual(namesIn(record).includes("1"), false, which);
      }
  });
});

describe("the names that a write was written upon", () => {
  it("are forgotten before its own by a stand-in that hears of them after it", async () => {
    const world = await createHintsWorld();
    const time = world.simulator.timeOf(world.simulator.createProcess("clock"));
    await world.store("a", "key", upon(time.wallMs()), true);
    await world.store("a", "key", full(time.wallMs()), true);
    const { record } = await world.settled(world.hints.stamp(PARTITION, "a", request, time.monotonicMs() + 10_000));
    assert(namesIn(record).includes("upon it"), "the name of the later write is remembered");
    assert.deepEqual(namesIn(record).includes("1"), false);
  });

  it("are so also where that is replaced by then, and its clock was behind", async () => {
    const world = await createHintsWorld();
    const time = world.simulator.timeOf(world.simulator.createProcess("clock"));
    await world.store("a", "key", upon(time.wallMs(), BEHIND_MS), true);
    await world.settled(world.hints.stamp(PARTITION, "a", request, time.monotonicMs() + 10_000));
    await world.store("a", "key", full(time.wallMs()), true);
    const next = { ...request, event: { kind: "client", id: bytes("after that") } } as const;
    const stamped = world.hints.stamp(PARTITION, "a", next, time.monotonicMs() + 10_000);
    const names = namesIn((await world.settled(stamped)).record);
    assert(names.includes("upon it") && names.includes("next"), "the names of the later writes are remembered");
    assert.deepEqual(names.includes("1"), false);
  });
});
