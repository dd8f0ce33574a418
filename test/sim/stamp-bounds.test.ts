/** What one stamp may leave in a record: each rule is shown a write that breaks it. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { encodeHint } from "../../node/core/hint.ts";
import { dataKey, hintKey } from "../../node/core/keyspace.ts";
import type { Dot, EventKind, KvRecord, WriteEvent } from "../../node/core/version/record.ts";
import { encodeRecord } from "../../node/core/version/record-codec.ts";
import type { EngineWrite } from "../../node/ports.ts";
import { SimulatedCluster } from "./cluster.ts";
import { StampBounds } from "./stamp-bounds.ts";

const KEY = new TextEncoder().encode("key 0");
const AT = dataKey(1, KEY);
const HINT_AT = hintKey({ partition: 1, target: "n2", key: KEY });
const ACTOR = "a".repeat(32);
const OTHER = "b".repeat(32);
const SIBLINGS_MAX = 2;

const dot = (counter: number, actor = ACTOR): Dot => ({ actor, incarnation: 1, counter });
const event = (counter: number, kind: EventKind = "forward", past?: WriteEvent["past"]): WriteEvent => ({
  dot: dot(counter),
  kind,
  id: new TextEncoder().encode(`write ${counter}`),
  stampedAtMs: counter,
  isOverwrite: false,
  past,
});

/** A record with these values, of one actor or two. */
function holding(dots: readonly Dot[], events: readonly WriteEvent[] = []): KvRecord {
  const newest = new Map<string, Dot>();
  for (const one of [...dots, ...events.map(({ dot: of }) => of)]) {
    const before = newest.get(one.actor);
    if (before === undefined || before.counter < one.counter) newest.set(one.actor, one);
  }
  const vector = [...newest.values()].sort((a, b) => (a.actor < b.actor ? -1 : 1));
  const siblings = dots.map((at) => ({
    dot: at,
    value: new Uint8Array(4),
    contentType: "",
    writtenAtMs: 0,
    expiresAtMs: undefined,
  }));
  return { context: { vector, dots: [] }, eventsSeen: vector, siblings, events };
}

function createWorld(contextEntriesMax = 32) {
  const cluster = new SimulatedCluster({
    ...{ seed: 1, nodes: 3, zones: 3, replicationFactor: 3, readQuorum: 2, writeQuorum: 2 },
    ...{ mode: "strict", durability: "disk", siblingsMax: SIBLINGS_MAX, contextEntriesMax },
  });
  const bounds = new StampBounds(cluster);
  const machine = cluster.byName("n1");
  const engine = machine.disk.open();
  /** Has the machine store it, as its own member or as another one. */
  const store = async (write: KvRecord | EngineWrite, actor = ACTOR): Promise<void> => {
    const put: EngineWrite = "kind" in write ? write : { kind: "put", key: AT, value: encodeRecord(write) };
    bounds.look({ machine, actor }, [put]);
    const written = engine.batch([put], { sync: true });
    await cluster.simulator.runUntil(cluster.simulator.nowMs + 10);
    await written;
  };
  return { cluster, bounds, store };
}

const hintOf = (record: KvRecord): EngineWrite => ({
  kind: "put",
  key: HINT_AT,
  value: encodeHint({ counted: true, stampedHere: true, storedAtMs: 0, record: encodeRecord(record) }),
});

describe("what a stamp leaves in a record", () => {
  it("is so many values, and more only where merges brought them", async () => {
    const { store } = createWorld();
    await store(holding([dot(1)]));
    await store(holding([dot(1), dot(2)]));
    await assert.rejects(store(holding([dot(1), dot(2), dot(3)])), /no more values than 2, .*: 3 of 3 after 2/);
    await store(holding([dot(1, OTHER)]), OTHER);
    await store(holding([dot(1, OTHER), dot(2, OTHER)]), OTHER);
    const merged = holding([dot(1), dot(2), dot(1, OTHER), dot(2, OTHER)]);
    await store(merged);
    // One takes the place of another of its member's: as many as there were.
    await store(holding([dot(2), dot(4), dot(1, OTHER), dot(2, OTHER)]));
    const more = holding([dot(2), dot(4), dot(5), dot(1, OTHER), dot(2, OTHER)]);
    await assert.rejects(store(more), /3 of 5 after 2/);
    const traded = holding([dot(2), dot(4), dot(6), dot(2, OTHER)]);
    await assert.rejects(store(traded), /3 of 4 after 2/);
  });

  it("is bound for a stand-in by all that it keeps of the key, also what it gave up a moment ago", async () => {
    const { store, cluster } = createWorld();
    await store(holding([dot(1)]));
    await store(holding([dot(1), dot(2)]));
    await store(hintOf(holding([dot(1), dot(2)])));
    await assert.rejects(store(hintOf(holding([dot(1), dot(2), dot(3)]))), /3 of 3 after 2/);
    await store({ kind: "delete", key: HINT_AT });
    await store({ kind: "delete", key: AT });
    await store(hintOf(holding([dot(2), dot(4)])));
    await cluster.simulator.runUntil(cluster.simulator.nowMs + 5_000);
    await assert.rejects(store(hintOf(holding([dot(2), dot(4), dot(5)]))), /3 of 3 after 2/);
  });

  it("names nobody who has not stamped the key: not who holds it, and no client", async () => {
    const { store } = createWorld();
    await assert.rejects(store(holding([dot(1, OTHER)])), /names b+\.1:1, which nobody has stamped/);
    await assert.rejects(store(holding([dot(1), dot(1, OTHER)])), /which nobody has stamped/);
    const { context, ...rest } = holding([dot(1)]);
    const claimed = { ...rest, context: { ...context, dots: [dot(7)] } };
    await assert.rejects(createWorld().store(claimed), /a+\.1:7, which nobody has stamped/);
    await assert.rejects(createWorld().store({ ...rest, siblings: [], context }), /which nobody has stamped/);
  });

  it("is counted where the vector has passed its mark", async () => {
    const { store, bounds, cluster } = createWorld(1);
    await store(holding([dot(1)]));
    bounds.checkCounted();
    await store(holding([dot(1, OTHER)]), OTHER);
    await store(holding([dot(2), dot(1, OTHER)]));
    assert.throws(() => bounds.checkCounted(), /0 of 1/);
    cluster.counters.set("annulus.context.over_limit", 1);
    bounds.checkCounted();
  });

  it.each([
    ["forward", 8],
    ["client", 32],
  ] as const)("is so many names of what was replaced: %s, %d", async (kind, most) => {
    const { store } = createWorld();
    const named = (count: number) => Array.from({ length: count }, (_, index) => event(index + 1, kind));
    for (let count = 1; count <= most; count++) await store(holding([dot(count)], named(count)));
    await assert.rejects(store(holding([dot(most + 1)], named(most + 1))), new RegExp(`at most ${most} names`));
  });

  it("is nothing of what a replaced write had replaced, once that was heard of", async () => {
    const { store } = createWorld();
    await store(holding([dot(1)], [event(1)]));
    const past = { vector: [dot(1)], dots: [] };
    await store(holding([dot(2)], [event(2, "forward", past)]));
    const late = holding([dot(3)], [event(2, "forward", past)]);
    await assert.rejects(store(late), /what was heard of is forgotten: a+\.1:1/);
  });
});
