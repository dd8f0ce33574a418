/**
 * Records kept for home replicas that missed them: on disk, by partition and target, until the target has them.
 *
 * All that a target missed of one key is one hint: records merge, and a hint that a write's quorum counted stays one
 * that counts (design §6). Work on one hint is ordered as the replica's is, see record-store.ts.
 *
 * **Stamping.** Where no home can be reached, a stand-in gives a write its dot, on top of all that it keeps for the key.
 * A vector's entry claims every earlier dot of its actor and incarnation. So once a hint with dots of this node's own is
 * delivered and gone, the incarnation is *spent*: another stamp under it would claim values that are not in the record,
 * and every replica would take them for replaced. The mark is written in one batch with the removal, and a new
 * incarnation is on the disk before this node stamps as a stand-in again (design §4). The same holds for a home of before:
 * as long as it keeps the key's record, which has what it stamped as a home, it stamps on top of that; once it has begun to
 * drop such records, under a new incarnation (seed 912022 of 5ae7a6e, with changes of the ring). And for a stand-in that
 * comes to be a home: its records as one do not have what it stamped as the other (see node.ts).
 *
 * Not here: who stands in for whom (core/quorum/targets.ts), and the delivery (hint-delivery.ts).
 */
import { equalBytes, successor } from "../core/bytes.ts";
import { KvError } from "../core/errors.ts";
import { decodeHint, encodeHint, type Hint, mergeHints } from "../core/hint.ts";
import { type HintPlace, hintKey, hintQuarantineKey, hintRange, metaKey, parseHintKey } from "../core/keyspace.ts";
import type { MemberId } from "../core/ring/document.ts";
import { seal, unseal } from "../core/seal.ts";
import { received } from "../core/version/arrival.ts";
import { mergeEncoded } from "../core/version/merge-encoded.ts";
import type { KvRecord } from "../core/version/record.ts";
import { decodeRecord, encodeRecord, RecordCorruptError } from "../core/version/record-codec.ts";
import type { StampRequest } from "../messages.ts";
import type { Engine, EngineWrite, Entry, Telemetry, Time } from "../ports.ts";
import { createDamages } from "./damages.ts";
import type { GroupCommit } from "./group-commit.ts";
import type { HintFigures } from "./hint-accounts.ts";
import { createHintLedger, type HintLedger } from "./hint-ledger.ts";
import type { Identity } from "./identity.ts";
import { createRecordStore, type Held, isRemoved, keyName } from "./record-store.ts";
import type { StampResult } from "./replica.ts";
import { decodeBase, refuseIfLate, type StampLimits, stampOn } from "./stamping.ts";
import { boundedPage, PAGE_BYTES } from "./stored-pages.ts";

const SPENT_NAME = "stand-in-spent";
const SPENT_KEY = metaKey(SPENT_NAME);

/** A hint read for delivery. */
export type WaitingHint = { readonly at: Uint8Array; readonly place: HintPlace; readonly hint: Hint };

export type Hints = {
  readonly ledger: HintLedger;
  /** Reads what must be known before the first stamp, and begins to count what is on the disk. */
  open(): Promise<void>;
  /**
   * Keeps a record for a target. Resolves once it is durable.
   *
   * @param counts Whether a write's quorum counts the copy.
   * Rejects with OVERLOADED when the hints would be more than the budget allows, or their count takes too long, or the
   * store's error.
   */
  store(place: HintPlace, record: Uint8Array, counts: boolean): Promise<void>;
  /**
   * Gives a client's write its dot in place of the homes, none of which could be reached; see `Replica.stamp`.
   *
   * @param target The home that the record is kept for; the copy counts.
   */
  stamp(partition: number, target: MemberId, request: StampRequest, deadlineMs: number): Promise<StampResult>;
  /** All that is kept for a key, merged, durable; undefined when nothing is. */
  read(partition: number, key: Uint8Array): Promise<Uint8Array | undefined>;
  /** A page of the hints of a partition for a target, from a storage key on. Damaged ones are set aside and left out. */
  page(
    range: { readonly partition: number; readonly target: MemberId; readonly from: Uint8Array | undefined },
    limit: number,
  ): Promise<{ readonly hints: readonly WaitingHint[]; readonly next: Uint8Array | undefined }>;
  /** Whether dots of the present incarnation may be missing from this node's records as a home: in hints, or given up. */
  mayHaveStamped(): boolean;
  /** Removes a hint if it still is this one; a write that came meanwhile keeps it. Returns whether it was removed. */
  remove(waiting: WaitingHint): Promise<boolean>;
};

export type HintOptions = {
  /** Bytes of all hints together, beyond which none is taken. */
  readonly bytesMax: number;
  /** How long a request may wait until the hints on the disk have been counted, in ms: about as long as its sender waits. */
  readonly countWaitMsMax: number;
  readonly limits: StampLimits;
  /** Memory for hints that were used last, in bytes. */
  readonly cacheBytes: number;
};

/** @param parts `targets` names all whom hints may be for: every member, for who was a home may be none any more. */
export function createHints(
  parts: {
    readonly engine: Engine;
    readonly commit: GroupCommit;
    readonly identity: Identity;
    readonly time: Time;
    readonly telemetry: Telemetry;
    readonly targets: () => readonly { readonly name: MemberId }[];
    /** How many partitions the ring has; as many as there may be while there is none. */
    readonly partitions: () => number;
    /** The record that this node keeps of a key since it was a home of it; undefined when there is none. */
    readonly leftover: (partition: number, key: Uint8Array) => Promise<Uint8Array | undefined>;
  },
  options: HintOptions,
): Hints {
  const { engine, commit, identity, time, telemetry } = parts;
  const store = createRecordStore<Hint>(
    { engine, commit },
    { cacheBytes: options.cacheBytes, decode: decodeHint, setAside },
  );
  const ledger = createHintLedger(parts, figuresOfEntry);
  commit.onFailure(() => ledger.batchFailed());
  telemetry.gauge("annulus.hints.bytes", () => ledger.bytes());
  telemetry.gauge("annulus.hints.waiting", () => ledger.waiting().reduce((sum, { count }) => sum + count, 0));
  telemetry.gauge(
    "annulus.hints.waiting_by_target",
    () => new Map(ledger.waiting().map(({ target, count }) => [target, count])),
  );

  /** The last incarnation under which a hint with dots of its own was given up. */
  let spentIncarnation = 0;
  /** Stamps of one key, one after the other: each must see what the one before it left. */
  const stampTurns = new Map<string, Promise<unknown>>();

  const damages = createDamages();

  async function setAside(at: Uint8Array, bytes: Uint8Array, cause: unknown): Promise<void> {
    const { partition, target, key } = parseHintKey(at);
    await damages.once(at, bytes, async () => {
      telemetry.count("annulus.store.corrupt_records");
      telemetry.log("error", "hint.corrupt", { partition, target, key: Buffer.from(key).toString("base64url"), cause });
      await identity.newIncarnation("a hint was damaged and set aside");
    });
    const aside: EngineWrite = { kind: "put", key: hintQuarantineKey(at), value: bytes };
    await engine.batch([aside, { kind: "delete", key: at }], { sync: true });
    damages.forget(at);
    ledger.note({ at, before: figuresOfEntry({ key: at, value: bytes }), after: undefined });
  }

  /** Sees to it that `current` knows a hint; what it returns is to be handed on to that. */
  async function loaded(name: string, at: Uint8Array): Promise<Held<Hint> | undefined> {
    return store.newest(name) ?? soundOnly(store.load(name, at));
  }

  /** The newest hint of a name, now: nothing may be awaited from here to `put`, not even a promise that has settled. */
  function current(name: string, found: Held<Hint> | undefined): Held<Hint> | undefined {
    const held = store.newest(name) ?? found;
    return held === undefined || isRemoved(held) ? undefined : held;
  }

  /** Queues the next state of a hint. Throws OVERLOADED when it would be over the budget. */
  function put(name: string, at: Uint8Array, held: Held<Hint> | undefined, next: Hint): Promise<void> {
    const bytes = encodeHint(next);
    const before = held && figuresOf(at, held.bytes, store.decoded(held));
    const after = figuresOf(at, bytes, next);
    const growth = after.bytes - (before?.bytes ?? 0);
    if (growth > 0 && ledger.bytes() + growth > options.bytesMax) {
      telemetry.count("annulus.hints.refused");
      throw overBudget(options.bytesMax);
    }
    telemetry.count("annulus.hints.stored");
    return ledger.track({ at, before, after }, store.put(name, at, { bytes, decoded: undefined }));
  }

  /** What adds to the hints: at a time when all of them are counted, or the budget would be one for the new ones only. */
  async function adding<T>(change: () => Promise<T>): Promise<T> {
    const untilMs = time.monotonicMs() + options.countWaitMsMax;
    try {
      for (;;) {
        const counted = ledger.counted(Math.max(0, untilMs - time.monotonicMs()));
        if (counted === undefined) break;
        await counted;
      }
    } catch (error) {
      telemetry.count("annulus.hints.refused_uncounted");
      throw error;
    }
    return ledger.run(change);
  }

  /** Whether what this node stamped under its present incarnation may have left it. */
  const isSpent = (): boolean => spentIncarnation >= identity.incarnation() || identity.hasGivenUp();

  /** Under the present incarnation this node has given up nothing that it stamped. */
  async function ensureUnspent(): Promise<void> {
    while (isSpent()) await identity.renewIncarnation("what it stamped was delivered or given up");
  }

  /** For whom hints of a partition may be kept here. */
  function targetsOf(partition: number): readonly MemberId[] {
    const all = parts.targets().map(({ name }) => name);
    if (!ledger.isComplete()) return all;
    return all.filter((name) => ledger.mayHold({ partition, target: name }));
  }

  /** Everything kept of a key, as a home of before and whoever it is for, but for one target. */
  async function keptBesides(partition: number, target: MemberId, key: Uint8Array): Promise<Kept[]> {
    const leftover = await parts.leftover(partition, key);
    const kept: Kept[] = [];
    // From when this node was a home, and that was before it stood in.
    if (leftover !== undefined) kept.push({ record: leftover, storedAtMs: Number.NEGATIVE_INFINITY });
    for (const name of targetsOf(partition)) {
      if (name === target) continue;
      const found = await loaded(nameOf(name, key), hintKey({ partition, target: name, key }));
      const held = current(nameOf(name, key), found);
      if (held !== undefined) kept.push(store.decoded(held));
    }
    return kept;
  }

  type Queued = { readonly result: StampResult; readonly durable: Promise<void> | undefined };

  async function stampInTurn(place: HintPlace, request: StampRequest, deadlineMs: number): Promise<Queued> {
    const base = decodeBase(request.base);
    const name = nameOf(place.target, place.key);
    const at = hintKey(place);
    for (;;) {
      await ensureUnspent();
      const others = await keptBesides(place.partition, place.target, place.key);
      const held = current(name, await loaded(name, at));
      // From here on nothing is awaited. What went meanwhile may have taken dots of this incarnation with it.
      if (isSpent()) continue;
      refuseIfLate(time, deadlineMs);
      const nowMs = time.wallMs();
      const kept = joinKept(held === undefined ? others : [...others, store.decoded(held)], nowMs);
      const write = { request, base, dot: identity.nextDot(), nowMs };
      const { record, context } = stampOn(kept, write, options.limits);
      const bytes = encodeRecord(record);
      const incoming = { counted: true, stampedHere: true, storedAtMs: time.wallMs(), record: bytes };
      const next = mergeHints(held && store.decoded(held), incoming);
      const isKept = held !== undefined && next === store.decoded(held);
      const durable = isKept ? store.settled(name) : put(name, at, held, next);
      return { result: { record: bytes, context }, durable };
    }
  }

  return {
    ledger,
    async open() {
      const sealed = await engine.get(SPENT_KEY);
      const spent = sealed === undefined ? "0" : unseal(SPENT_NAME, sealed);
      // A mark that cannot be read says at least that there was one.
      spentIncarnation = spent === undefined ? identity.incarnation() : Number(spent);
      ledger.count();
    },
    store: (place, record, counts) =>
      adding(async () => {
        const name = nameOf(place.target, place.key);
        const at = hintKey(place);
        const held = current(name, await loaded(name, at));
        const incoming = { counted: counts, stampedHere: false, storedAtMs: time.wallMs(), record };
        const next = joinIncoming(held && store.decoded(held), incoming);
        if (held !== undefined && next === store.decoded(held)) return store.settled(name);
        return put(name, at, held, next);
      }),
    stamp: (partition, target, request, deadlineMs) =>
      adding(async () => {
        const place = { partition, target, key: request.key };
        const { result, durable } = await inTurn(stampTurns, keyName(request.key), () =>
          stampInTurn(place, request, deadlineMs),
        );
        await durable;
        telemetry.count("annulus.hints.stamped");
        return result;
      }),
    read: (partition, key) =>
      ledger.run(async () => {
        let kept: Uint8Array | undefined;
        for (const name of targetsOf(partition)) {
          const bytes = await soundOnly(store.read(nameOf(name, key), hintKey({ partition, target: name, key })));
          if (bytes === undefined) continue;
          const { record } = decodeHint(bytes);
          kept = kept === undefined ? record : mergeEncoded(kept, record).bytes;
        }
        return kept;
      }),
    async page({ partition, target, from }, limit) {
      const range = hintRange(partition, target);
      const asked = { from: from ?? range.from, until: range.until, limit };
      const { entries, isLast } = await boundedPage(engine, asked, PAGE_BYTES);
      const hints: WaitingHint[] = [];
      for (const { key: at, value } of entries) {
        const hint = await soundOnly(decodedOrSetAside(at, value).catch(unlessFull));
        if (hint !== undefined) hints.push({ at, place: parseHintKey(at), hint });
      }
      const last = entries.at(-1);
      return { hints, next: last === undefined || isLast ? undefined : successor(last.key) };
    },
    // What is kept is not looked through for it.
    mayHaveStamped: () => isSpent() || !ledger.isComplete() || ledger.waiting().length > 0,
    remove: ({ at, place, hint }) =>
      ledger.run(async () => {
        const name = nameOf(place.target, place.key);
        const held = current(name, await loaded(name, at));
        if (held === undefined) return false;
        const kept = store.decoded(held);
        if (kept.counted !== hint.counted || !equalBytes(kept.record, hint.record)) return false;
        let mark: readonly EngineWrite[] | undefined;
        if (kept.stampedHere) {
          spentIncarnation = identity.incarnation();
          mark = [{ kind: "put", key: SPENT_KEY, value: seal(SPENT_NAME, String(spentIncarnation)) }];
        }
        const change = { at, before: figuresOf(at, held.bytes, kept), after: undefined };
        await ledger.track(change, store.remove(name, at, mark));
        return true;
      }),
  };

  async function decodedOrSetAside(at: Uint8Array, value: Uint8Array): Promise<Hint> {
    try {
      return decodeHint(value);
    } catch (cause) {
      if (!(cause instanceof RecordCorruptError)) throw cause;
      // Read again in the order of the key's work, which sets aside what is damaged.
      const { target, key } = parseHintKey(at);
      const held = current(nameOf(target, key), await ledger.run(() => loaded(nameOf(target, key), at)));
      if (held === undefined) throw cause;
      return store.decoded(held);
    }
  }
}

/** What is kept of a key for one target, or as a home of before. */
type Kept = Pick<Hint, "record" | "storedAtMs">;

/** Joined as it came: what was kept first was heard of first, whoever it is for. */
function joinKept(kept: readonly Kept[], nowMs: number): KvRecord | undefined {
  let joined: KvRecord | undefined;
  for (const { record } of [...kept].sort((a, b) => a.storedAtMs - b.storedAtMs)) {
    const next = decodeRecord(record);
    joined = joined === undefined ? next : received(joined, next, nowMs);
  }
  return joined;
}

/** What a corrupt value is worth to whoever asked for it: nothing, for it was set aside. */
async function soundOnly<T>(reading: Promise<T>): Promise<T | undefined> {
  try {
    return await reading;
  } catch (error) {
    if (error instanceof RecordCorruptError) return undefined;
    throw error;
  }
}

/**
 * On a full disk what is damaged stays where it is until there is room to keep it aside: the other hints are delivered
 * meanwhile, which gives space back.
 */
function unlessFull(error: unknown): undefined {
  if (!(error instanceof KvError) || error.code !== "STORAGE_FULL") throw error;
}

/** As `mergeHints`; what is kept was found sound when it was read, so that only what came can be no record. */
function joinIncoming(held: Hint | undefined, incoming: Hint): Hint {
  try {
    return mergeHints(held, incoming);
  } catch (cause) {
    if (!(cause instanceof RecordCorruptError)) throw cause;
    throw new KvError("INVALID_REQUEST", `Cannot keep what a peer sent: ${cause.message}`, { cause });
  }
}

/** Runs `step` when all earlier ones of the same name have ended. */
async function inTurn<T>(turns: Map<string, Promise<unknown>>, name: string, step: () => Promise<T>): Promise<T> {
  const mine = (turns.get(name) ?? Promise.resolve()).then(step, step);
  turns.set(name, mine);
  try {
    return await mine;
  } finally {
    if (turns.get(name) === mine) turns.delete(name);
  }
}

/** No member's name has a slash. */
function nameOf(target: MemberId, key: Uint8Array): string {
  return `${target}/${keyName(key)}`;
}

function figuresOf(at: Uint8Array, bytes: Uint8Array, { counted, storedAtMs }: Hint): HintFigures {
  return { bytes: at.length + bytes.length, counted, storedAtMs };
}

/** A damaged hint counts as one that neither expires nor is dropped: whoever delivers it will find out. */
function figuresOfEntry({ key, value }: Entry): HintFigures {
  try {
    return figuresOf(key, value, decodeHint(value));
  } catch (error) {
    if (!(error instanceof RecordCorruptError)) throw error;
    return { bytes: key.length + value.length, counted: true, storedAtMs: 0 };
  }
}

function overBudget(bytesMax: number): KvError {
  return new KvError("OVERLOADED", `Cannot keep the hint: at most ${bytesMax} bytes of hints may wait here.`, {
    details: { retryAfterS: 1 },
  });
}
