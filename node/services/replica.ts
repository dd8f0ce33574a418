/**
 * The door: every byte of user data reaches this node's disk here, by `stamp` or by `merge`, and nowhere else.
 *
 * A key's work is ordered without a lock, see record-store.ts: two writes of one key always see each other. Replies
 * wait for the disk; reads show only what is durable.
 *
 * A write is stamped in exactly one place (design §4), and its dot leaves this node only after it is durable here:
 * a process that dies keeps its incarnation, which would be unsafe had a peer seen a dot that this disk lost.
 */
import { equalBytes, successor } from "../core/bytes.ts";
import { KvError } from "../core/errors.ts";
import { dataKey, parsePartitionedKey, partitionRange, quarantineKey } from "../core/keyspace.ts";
import { type Fingerprint, fingerprintOf } from "../core/merkle/fingerprint.ts";
import { inOrderOfArrival } from "../core/version/arrival.ts";
import { type Horizon, joinUnderHorizon, settled } from "../core/version/collect.ts";
import { type KvRecord, mergeRecords } from "../core/version/record.ts";
import { decodeRecord, encodeRecord, RecordCorruptError } from "../core/version/record-codec.ts";
import type { ScannedEntry, ScannedReply, ScanRequest, StampRequest } from "../messages.ts";
import type { Engine, Telemetry, Time } from "../ports.ts";
import { createDamages } from "./damages.ts";
import type { Doubts } from "./doubts.ts";
import type { GroupCommit } from "./group-commit.ts";
import type { Identity } from "./identity.ts";
import { createRecordStore, type Held, isRemoved, keyName } from "./record-store.ts";
import { decodeBase, refuseIfLate, type StampLimits, stampOn } from "./stamping.ts";
import { boundedPage } from "./stored-pages.ts";
import type { Change, TreeLedger } from "./tree-ledger.ts";

export type StampResult = {
  /** The key's whole record after the write, encoded. */
  readonly record: Uint8Array;
  /** Encoded context that covers exactly the write and what it replaced. */
  readonly context: Uint8Array;
};

/** `covered`: the collection horizon covers all of it, so that nothing is kept for the key. */
export type MergeOutcome = "kept" | "covered";

/** Which tombstones may go; see horizons.ts. */
export type Collection = {
  /** The horizon of a partition, where there is one. */
  of(partition: number): Horizon | undefined;
  /** Whether what is missing here, and is covered, was deleted for sure. */
  vouches(partition: number): boolean;
};

export type Replica = {
  /** The durable record of a key, encoded, or undefined. Rejects with STORAGE_FAILED when it is damaged. */
  read(partition: number, key: Uint8Array): Promise<Uint8Array | undefined>;
  /**
   * Gives a client's write its dot, on top of what this replica holds. Resolves once it is durable.
   *
   * @param deadlineMs Instant of the monotonic clock from which the coordinator may have turned to another home. A
   *   blind overwrite that was stamped after that would replace what was written since.
   * Rejects with TIMED_OUT past the deadline, CONFLICT past a limit of siblings, INVALID_CONTEXT, STORAGE_FULL,
   * STORAGE_FAILED, OVERLOADED.
   */
  stamp(partition: number, request: StampRequest, deadlineMs: number): Promise<StampResult>;
  /** Joins a record that another replica sent. Resolves once the join is durable; may be repeated at will. */
  merge(partition: number, key: Uint8Array, record: Uint8Array): Promise<MergeOutcome>;
  /** Leaves out of a key's record what the partition's horizon collects: all of it, or a deletion beside a value. */
  collect(partition: number, key: Uint8Array): Promise<void>;
  /**
   * Removes a record of a partition that is this node's no more, or that a peer knows to be deleted, or that is damaged and
   * nobody else has. Resolves once that is durable; does nothing where there is none.
   *
   * @param mayGo Asked in the turn in which the removal is queued, with what is there then (undefined: it is damaged): the
   *   partition may have been regained meanwhile, or the key written.
   */
  drop(partition: number, key: Uint8Array, mayGo: (held: Uint8Array | undefined) => boolean): Promise<void>;
  /** A page of the partition's durable records. Rejects with NOT_READY when one of them is damaged, which is then in doubt. */
  scan(request: ScanRequest): Promise<ScannedReply>;
  /** Whether a write of a key is on its way to the disk; the key as a map key. */
  isPending(name: string): boolean;
  /**
   * Looks at what the disk holds at a storage key, whatever memory knows, and sets it aside when it is damaged.
   * Resolves also when it is sound, or gone.
   */
  setAsideIfDamaged(at: Uint8Array): Promise<void>;
};

export type ReplicaOptions = StampLimits & {
  /** Memory for durable records, in bytes. */
  readonly cacheBytes: number;
};

/** Stands for a record that failed its checksum. */
const DAMAGED = Symbol("damaged");

/** A page ends before the record with which it would be larger, far below what one frame may hold; one that is larger goes alone. */
const SCAN_BYTES_MAX = 512 * 1024;

/**
 * @param parts What the replica stands on; the engine is read directly and written only through `commit`.
 * @param options Bounds, and what may be forgotten.
 */
export function createReplica(
  parts: {
    readonly engine: Engine;
    readonly commit: GroupCommit;
    readonly identity: Identity;
    readonly doubts: Pick<Doubts, "raise">;
    /** Is told of every write; without one, no fingerprints are made. */
    readonly ledger: TreeLedger | undefined;
    /** Without one, tombstones are kept for good. */
    readonly collection: Collection | undefined;
    readonly time: Time;
    readonly telemetry: Telemetry;
  },
  options: ReplicaOptions,
): Replica {
  const { engine, commit, identity, doubts, ledger, collection, time, telemetry } = parts;
  const store = createRecordStore<KvRecord>(
    { engine, commit },
    { cacheBytes: options.cacheBytes, decode: decodeRecord, setAside },
  );

  const damages = createDamages();

  /**
   * Keeps a damaged record for a person to look at, and starts a new incarnation: dots of this one may have been in
   * it, so its counters no longer say what this disk has seen (design §4). Once for each damage: the same bytes that
   * are met again tell nothing new, but a record that was repaired and is damaged anew does. What a peer sends makes it
   * readable again, but the key stays in doubt until enough homes were heard.
   */
  async function setAside(dataAt: Uint8Array, bytes: Uint8Array, cause: unknown): Promise<void> {
    const { partition, key } = parsePartitionedKey(dataAt);
    const at = quarantineKey(partition, key);
    const known = await engine.get(at);
    if (known !== undefined && equalBytes(known, bytes)) return;
    ledger?.doubt(dataAt);
    const mark = doubts.raise(partition, key);
    await damages.once(dataAt, bytes, async () => {
      telemetry.count("annulus.store.corrupt_records");
      telemetry.log("error", "record.corrupt", { partition, key: Buffer.from(key).toString("base64url"), cause });
      await identity.newIncarnation("a record was damaged and set aside");
    });
    await engine.batch([{ kind: "put", key: at, value: bytes }, mark], { sync: true });
    damages.forget(dataAt);
  }

  async function setAsideIfDamaged(at: Uint8Array): Promise<void> {
    const name = keyName(parsePartitionedKey(at).key);
    if (store.isPending(name)) return;
    store.forget(name);
    // Read past the cache, and into none: what is written meanwhile must not be covered by what was there before.
    const bytes = await engine.get(at);
    if (bytes === undefined) return;
    try {
      decodeRecord(bytes);
    } catch (error) {
      if (!(error instanceof RecordCorruptError)) throw error;
      await setAside(at, bytes, error);
    }
  }

  /** What a write changes, for the partition's tree; the last look into what was held. */
  function change(
    stored: { readonly name: string; readonly at: Uint8Array; readonly key: Uint8Array },
    held: Held<KvRecord> | undefined,
    next: { readonly bytes: Uint8Array; readonly record: KvRecord },
  ): Change | undefined {
    const was = ledger === undefined ? undefined : printOf(stored.key, held);
    if (held !== undefined) store.release(held);
    return ledger?.change(stored.name, stored.at, was, fingerprintOf(stored.key, next.bytes, next.record));
  }

  function printOf(key: Uint8Array, held: Held<KvRecord> | undefined): Fingerprint | undefined {
    return held === undefined ? undefined : fingerprintOf(key, held.bytes, store.decoded(held));
  }

  /** Sees to it that `current` knows a key; what it returns is to be handed on to that. */
  async function loaded(name: string, at: Uint8Array): Promise<Held<KvRecord> | typeof DAMAGED | undefined> {
    try {
      return await store.load(name, at);
    } catch (error) {
      // It was set aside: what a peer sends is the cure.
      if (!(error instanceof RecordCorruptError)) throw error;
      return DAMAGED;
    }
  }

  /** What a write builds upon, now: nothing may be awaited from here to `put`, not even a promise that has settled. */
  function current(
    name: string,
    found: Held<KvRecord> | typeof DAMAGED | undefined,
  ): { readonly held: Held<KvRecord> | undefined; readonly isDamaged: boolean } {
    // Whoever waited for the same read may have gone first.
    const known = store.newest(name) ?? found;
    return known === DAMAGED ? { held: undefined, isDamaged: true } : { held: standing(known), isDamaged: false };
  }

  /** A damaged record may have been anything, so that nothing of what comes is known to be deleted. */
  function join(
    partition: number,
    mine: KvRecord | undefined,
    theirs: KvRecord,
    isDamaged: boolean,
  ): KvRecord | undefined {
    const horizon = collection?.of(partition);
    if (horizon === undefined) return mine === undefined ? theirs : mergeRecords(mine, theirs);
    return joinUnderHorizon(horizon, mine, theirs, !isDamaged && collection?.vouches(partition) === true);
  }

  /** Queues the removal of what is there; `held` is undefined for a damaged record. */
  function remove(
    { name, at, key }: { readonly name: string; readonly at: Uint8Array; readonly key: Uint8Array },
    held: Held<KvRecord> | undefined,
  ): Promise<void> {
    const was = ledger === undefined ? undefined : printOf(key, held);
    if (held !== undefined) store.release(held);
    return store.remove(name, at, undefined, ledger?.change(name, at, was, undefined));
  }

  return {
    async read(partition, key) {
      const name = keyName(key);
      return store.cached(name) ?? store.read(name, dataKey(partition, key));
    },

    async stamp(partition, request, deadlineMs) {
      const name = keyName(request.key);
      const base = decodeBase(request.base);
      let held = store.newest(name);
      if (held === undefined) {
        const loaded = await store.load(name, dataKey(partition, request.key));
        // Whoever waited for the same read may have gone first. From here to `put` nothing may be awaited.
        held = store.newest(name) ?? loaded;
      }
      held = standing(held);
      refuseIfLate(time, deadlineMs);
      const write = { request, base, dot: identity.nextDot(), nowMs: time.wallMs() };
      const { record, context, repeated } = stampOn(held && store.decoded(held), write, options);
      if (repeated && held !== undefined) {
        store.release(held);
        await store.settled(name);
        return { record: held.bytes, context };
      }
      if (record.context.vector.length > options.contextEntriesMax) telemetry.count("annulus.context.over_limit");
      const next = { bytes: encodeRecord(record), decoded: record };
      const at = dataKey(partition, request.key);
      const stored = { name, at, key: request.key };
      await store.put(name, at, next, undefined, change(stored, held, { bytes: next.bytes, record }));
      return { record: next.bytes, context };
    },

    async merge(partition, key, incoming) {
      const stored = { name: keyName(key), at: dataKey(partition, key), key };
      const found = store.newest(stored.name) ?? (await loaded(stored.name, stored.at));
      const { held, isDamaged } = current(stored.name, found);
      if (held !== undefined && equalBytes(held.bytes, incoming)) return kept(store.settled(stored.name));
      const theirs = decodeIncoming(incoming);
      const mine = held === undefined ? undefined : store.decoded(held);
      const together = join(partition, mine, theirs, isDamaged);
      if (together === undefined) {
        telemetry.count("annulus.tombstones.covered");
        if (held !== undefined || isDamaged) await remove(stored, held);
        return "covered";
      }
      const joined = mine === undefined ? together : inOrderOfArrival(mine, together, time.wallMs());
      if (joined === mine && held !== undefined) store.release(held);
      if (joined === mine) return kept(store.settled(stored.name));
      // What came is a view into a much larger chunk of the network's: copied, so as not to keep all of that.
      const bytes = joined === theirs ? Buffer.from(incoming) : encodeRecord(joined);
      const noted = change(stored, held, { bytes, record: joined });
      return kept(store.put(stored.name, stored.at, { bytes, decoded: undefined }, undefined, noted));
    },

    async collect(partition, key) {
      const stored = { name: keyName(key), at: dataKey(partition, key), key };
      const found = store.newest(stored.name) ?? (await loaded(stored.name, stored.at));
      const { held } = current(stored.name, found);
      const horizon = collection?.of(partition);
      // What is damaged was set aside, and comes back from a peer.
      if (held === undefined || horizon === undefined) return;
      const record = store.decoded(held);
      const left = settled(record, horizon);
      if (left === record) return store.release(held);
      if (left === undefined) {
        await remove(stored, held);
        telemetry.count("annulus.tombstones.collected");
        return;
      }
      const bytes = encodeRecord(left);
      const noted = change(stored, held, { bytes, record: left });
      await store.put(stored.name, stored.at, { bytes, decoded: undefined }, undefined, noted);
    },

    async drop(partition, key, mayGo) {
      const stored = { name: keyName(key), at: dataKey(partition, key), key };
      const found = store.newest(stored.name) ?? (await loaded(stored.name, stored.at));
      const { held, isDamaged } = current(stored.name, found);
      if ((held === undefined && !isDamaged) || !mayGo(held?.bytes)) return;
      await remove(stored, held);
    },

    scan: (request) => scanPartition(engine, request, setAsideIfDamaged),
    isPending: store.isPending,

    setAsideIfDamaged,
  };
}

async function kept(durable: Promise<void> | undefined): Promise<MergeOutcome> {
  await durable;
  return "kept";
}

/** What a write builds upon: nothing of a record that is being removed. */
function standing(held: Held<KvRecord> | undefined): Held<KvRecord> | undefined {
  return held === undefined || isRemoved(held) ? undefined : held;
}

/** @param setAsideIfDamaged Looks at a record that did not pass its checksum. */
async function scanPartition(
  engine: Engine,
  { partition, after, limit }: ScanRequest,
  setAsideIfDamaged: (at: Uint8Array) => Promise<void>,
): Promise<ScannedReply> {
  const { from: first, until } = partitionRange(partition);
  const from = after === undefined ? first : successor(dataKey(partition, after));
  const { entries: found, isLast } = await boundedPage(engine, { from, until, limit }, SCAN_BYTES_MAX);
  const entries: ScannedEntry[] = [];
  let sizeBytes = 0;
  for (const { key: at, value } of found) {
    sizeBytes += at.length + value.length;
    if (sizeBytes > SCAN_BYTES_MAX && entries.length > 0) return { kind: "scanned", entries, done: false };
    if (!isSound(value)) {
      // Left out, it would be taken for one that was never here, by a backup for good.
      await setAsideIfDamaged(at);
      throw new KvError("NOT_READY", `Cannot page through partition ${partition}: a record of it is damaged here.`);
    }
    entries.push({ key: parsePartitionedKey(at).key, record: value });
  }
  return { kind: "scanned", entries, done: isLast };
}

function isSound(bytes: Uint8Array): boolean {
  try {
    decodeRecord(bytes);
    return true;
  } catch (error) {
    if (error instanceof RecordCorruptError) return false;
    throw error;
  }
}

function decodeIncoming(bytes: Uint8Array): KvRecord {
  try {
    return decodeRecord(bytes);
  } catch (cause) {
    if (!(cause instanceof RecordCorruptError)) throw cause;
    throw new KvError("INVALID_REQUEST", `Cannot merge what a peer sent: ${cause.message}`, { cause });
  }
}
