/**
 * What a write may leave in a record: looked at where a node hands its writes to the disk, before anybody can see them.
 *
 * Merging takes what there is, so that homes agree; bounds of records bind whoever stamps, and nobody else. So of each put to the
 * disk it is asked what it has that nobody has stored before. A dot is stored first by the member that gave it out: what that
 * put has besides is what the stamp left, and there the bounds hold to the letter. All others only pass on
 * what was stamped, and so does every vector: its entry of an incarnation is the last dot that this one gave out for
 * the key, so that there are as many as incarnations that stamped it, and never one for a client or for who merely holds it.
 */
import assert from "node:assert/strict";
import { dataKey, hintKey, hintsRange, parseHintKey, parsePartitionedKey } from "../../node/core/keyspace.ts";
import { eventName, findByDot, standingSiblings } from "../../node/core/version/closure.ts";
import { type Dot, type KvRecord, mergeRecords, type Sibling } from "../../node/core/version/record.ts";
import { counterOf } from "../../node/core/version/vector.ts";
import type { EngineWrite } from "../../node/ports.ts";
import type { SimulatedCluster, SimulatedNode } from "./cluster.ts";
import { recordIn, recordInHint } from "./disk-records.ts";

const DATA_SPACE = dataKey(0, Uint8Array.of(0))[0];
const HINT_SPACE = hintsRange().from[0];
/** A stand-in reads what it keeps of a key before it stamps, and refuses when that took longer than its request has: about a second. */
const READING_MS = 3_000;

/** Names of writes that were replaced which a pair remembers: of keyed writes, and of those that were passed on. Not read from what is checked. */
const NAMES_MAX = { client: 32, forward: 8 } as const;

/** A record or hint that is to be written: of which key, and what it has. */
type Stored = { readonly key: Uint8Array; readonly partition: number; readonly isHint: boolean };

/** What one batch has put so far, by storage key; undefined for what it removed. */
type Batch = Map<string, Uint8Array | undefined>;

/** Who writes: the machine, and the member whose data directory lies on its disk. */
export type Writer = { readonly machine: SimulatedNode; readonly actor: string };

export class StampBounds {
  /** Bytes of the largest record or hint that was ever handed to a disk, with its storage key. */
  largestBytes = 0;
  readonly #cluster: SimulatedCluster;
  /** Of each key, the dots that were stamped. */
  readonly #stamped = new Map<string, DotSet>();
  /** Hints that were removed a moment ago, by machine and key: who stamps may have read them before. */
  readonly #removed = new Map<string, { readonly record: KvRecord; readonly atMs: number }>();
  /** Stamps of homes that left a vector past its mark. */
  #overMark = 0;

  /** Watches all nodes that are started from now on. */
  constructor(cluster: SimulatedCluster) {
    this.#cluster = cluster;
    cluster.watchEngine = (engine, writer) => ({
      get: (key) => engine.get(key),
      scan: (range) => engine.scan(range),
      flush: () => engine.flush(),
      close: () => engine.close(),
      batch: (writes, options) => {
        try {
          this.look(writer, writes);
        } catch (error) {
          cluster.bug ??= error;
        }
        return engine.batch(writes, options);
      },
    });
  }

  /** @throws {AssertionError} One of the writes leaves more than it may, or names a dot that was never given out. */
  look(writer: Writer, writes: readonly EngineWrite[]): void {
    const batch: Batch = new Map();
    for (const write of writes) {
      const stored = storedOf(write.key);
      if (stored === undefined) continue;
      if (write.kind === "put") this.#lookAt(writer, stored, { batch, value: write.value, at: write.key });
      else if (stored.isHint) this.#noteRemoval(writer, stored);
      batch.set(nameOf(write.key), write.kind === "put" ? write.value : undefined);
    }
  }

  /** Vectors past the mark are counted, each time that one is stamped: no fewer than were handed to a disk. */
  checkCounted(): void {
    const counted = this.#cluster.counters.get("annulus.context.over_limit") ?? 0;
    assert(counted >= this.#overMark, `vectors past their mark are counted: ${counted} of ${this.#overMark}`);
  }

  #lookAt(
    writer: Writer,
    stored: Stored,
    { batch, value, at }: { readonly batch: Batch; readonly value: Uint8Array; readonly at: Uint8Array },
  ): void {
    this.largestBytes = Math.max(this.largestBytes, at.length + value.length);
    const record = stored.isHint ? recordInHint(value) : recordIn(value);
    assert(record !== undefined, `${writer.machine.name} writes records that can be read`);
    const key = new TextDecoder().decode(stored.key);
    const fresh = this.#freshDot(key, record);
    if (fresh === undefined) return;
    const where = `${writer.machine.name} stores ${key}`;
    assert(
      fresh.actor === writer.actor && findByDot(record.siblings, fresh) !== undefined,
      `${where}, and names ${dotName(fresh)}, which nobody has stamped for it`,
    );
    this.#stampedOf(key).add(fresh);
    if (findByDot(record.siblings, fresh)?.value !== undefined) this.#cluster.onStamped(key, fresh);
    const second = this.#freshDot(key, record);
    assert(second === undefined, `${where}, and names ${second && dotName(second)}, which nobody has stamped for it`);
    this.#checkSiblings(where, { record, before: this.#before(writer, stored, batch), actor: writer.actor });
    checkEvents(where, record);
    const { contextEntriesMax = 32 } = this.#cluster.options;
    if (!stored.isHint && record.context.vector.length > contextEntriesMax) this.#overMark += 1;
  }

  #stampedOf(key: string): DotSet {
    const known = this.#stamped.get(key) ?? new DotSet();
    this.#stamped.set(key, known);
    return known;
  }

  /** A dot of the record that was never stored before. */
  #freshDot(key: string, { context, siblings }: KvRecord): Dot | undefined {
    const known = this.#stampedOf(key);
    const isFresh = (dot: Dot) => !known.has(dot);
    return context.vector.find(isFresh) ?? context.dots.find(isFresh) ?? siblings.find(({ dot }) => isFresh(dot))?.dot;
  }

  /**
   * No more values stand than are allowed, or no more of the writer's own than before: what merges brought together stays. So a
   * record never has more than that many of each member.
   */
  #checkSiblings(
    where: string,
    {
      record,
      before,
      actor,
    }: { readonly record: KvRecord; readonly before: KvRecord | "unknown" | undefined; readonly actor: string },
  ): void {
    if (before === "unknown") return;
    const { siblingsMax = 50 } = this.#cluster.options;
    const ownOf = (standing: readonly Sibling[]) => standing.filter(({ dot }) => dot.actor === actor).length;
    const stand = standingSiblings(record);
    const stood = before === undefined ? 0 : ownOf(standingSiblings(before));
    assert(
      stand.length <= siblingsMax || ownOf(stand) <= stood,
      `${where}: a write leaves no more values than ${siblingsMax}, or no more of its member's own than there were: ${ownOf(stand)} of ${stand.length} after ${stood}`,
    );
  }

  /** What the node held of the key when it stamped; "unknown" where it has that in memory and its disk rotted. */
  #before({ machine }: Writer, stored: Stored, batch: Batch): KvRecord | "unknown" | undefined {
    const { key, partition, isHint } = stored;
    const places = [dataKey(partition, key)];
    if (isHint) for (const { name } of this.#cluster.nodes) places.push(hintKey({ partition, target: name, key }));
    const removed = isHint ? this.#removed.get(`${machine.name} ${nameOf(key)}`) : undefined;
    const isRecent = removed !== undefined && this.#cluster.simulator.nowMs - removed.atMs <= READING_MS;
    let joined = isRecent ? removed.record : undefined;
    for (const [index, at] of places.entries()) {
      const name = nameOf(at);
      const bytes = batch.has(name) ? batch.get(name) : machine.disk.peek(at);
      if (bytes === undefined) continue;
      const record = index === 0 ? recordIn(bytes) : recordInHint(bytes);
      if (record === undefined) return "unknown";
      joined = joined === undefined ? record : mergeRecords(joined, record);
    }
    return joined;
  }

  #noteRemoval({ machine }: Writer, { key, partition }: Stored): void {
    const name = `${machine.name} ${nameOf(key)}`;
    const record = this.#before({ machine, actor: "" }, { key, partition, isHint: true }, new Map());
    if (record !== undefined && record !== "unknown")
      this.#removed.set(name, { record, atMs: this.#cluster.simulator.nowMs });
  }
}

/**
 * Names of writes that were replaced are so many as are promised, whatever was there before; and of what such a write replaced it is
 * remembered only what this record has not heard of by name.
 */
function checkEvents(where: string, { events, siblings, eventsSeen }: KvRecord): void {
  const isLive = ({ dot }: { readonly dot: Dot }) => findByDot(siblings, dot) !== undefined;
  const live = new Set(events.filter(isLive).map(eventName));
  for (const [kind, most] of Object.entries(NAMES_MAX)) {
    const names = events.filter((event) => event.kind === kind);
    const kept = names.filter((event) => live.has(eventName(event))).length;
    assert(
      names.length <= Math.max(most, kept),
      `${where}: a write leaves at most ${most} names (${kind}), or those of its ${kept} values: ${names.length}`,
    );
  }
  for (const event of events) {
    if (event.past === undefined || isLive(event)) continue;
    const heard = [...event.past.vector, ...event.past.dots].find((dot) => counterOf(eventsSeen, dot) >= dot.counter);
    assert(
      heard === undefined,
      `${where}: of what a replaced write had replaced, what was heard of is forgotten: ${heard && dotName(heard)}`,
    );
  }
}

/** Every dot of every record that is stored is looked for: without a text for each. */
class DotSet {
  readonly #counters = new Map<string, Map<number, Set<number>>>();

  has({ actor, incarnation, counter }: Dot): boolean {
    return this.#counters.get(actor)?.get(incarnation)?.has(counter) === true;
  }

  add({ actor, incarnation, counter }: Dot): void {
    const ofActor = this.#counters.get(actor) ?? new Map<number, Set<number>>();
    this.#counters.set(actor, ofActor);
    const ofIncarnation = ofActor.get(incarnation) ?? new Set<number>();
    ofActor.set(incarnation, ofIncarnation);
    ofIncarnation.add(counter);
  }
}

/** What a storage key is for; undefined for what is neither a record nor a hint. */
function storedOf(at: Uint8Array): Stored | undefined {
  if (at[0] === HINT_SPACE) return { ...parseHintKey(at), isHint: true };
  return at[0] === DATA_SPACE ? { ...parsePartitionedKey(at), isHint: false } : undefined;
}

function dotName({ actor, incarnation, counter }: Dot): string {
  return `${actor}.${incarnation}:${counter}`;
}

function nameOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1");
}
