/**
 * One read from the first question to the answer, and the repair of replicas that were found behind.
 *
 *     ask R homes ── each reply is merged ── R replies ── answer ── later replies still merge ── repair
 *          └── one is late (p95) or fails: ask the next; in sloppy mode a stand-in when no home that is up is left
 *
 * A stand-in's reply is merged as any other, but only a home replica can know that a key was never written. So a
 * stand-in that has no hint of the key counts only once some home replica had the key.
 *
 * With `mode=strict` and R + W > N, replies that differ are made one before the answer: the merged record is
 * acknowledged by the write rule first, so that no later read can see less (design §5). Otherwise the replicas found
 * behind are repaired in the background. Source: DeCandia et al. 2007, §4.5, §4.9 (read repair); Dean and Barroso
 * 2013, "The tail at scale" (hedged requests).
 */
import { equalBytes } from "../core/bytes.ts";
import { type Durability, KvError, type Receipt } from "../core/errors.ts";
import type { QuantileFollower } from "../core/quorum/latency.ts";
import type { Pace } from "../core/quorum/pace.ts";
import { Tally } from "../core/quorum/tally.ts";
import { readOrder, standInsForRead } from "../core/quorum/targets.ts";
import { bitOf, writeTallyOf } from "../core/quorum/write-tally.ts";
import type { RingMember } from "../core/ring/document.ts";
import type { Ring } from "../core/ring/ring.ts";
import { mergeEncoded, withoutSiblings } from "../core/version/merge-encoded.ts";
import type { ReadRequest } from "../messages.ts";
import type { Random, Telemetry, Time, Timer } from "../ports.ts";
import { type Choices, receiptOf, underTrace } from "./options.ts";
import type { MergeOutcome } from "./replica.ts";
import type { Replicas } from "./replicas.ts";
import { RingChanged } from "./ring-changed.ts";
import { shortfallText } from "./shortfall.ts";

export type ReadParts = {
  readonly replicas: Replicas;
  readonly isUp: (member: string) => boolean;
  readonly time: Time;
  readonly random: Random;
  readonly telemetry: Telemetry;
  readonly durability: Durability;
  /** As `WriteParts.laterRing`. */
  readonly laterRing: (member: string, epoch: number) => Promise<Ring | undefined>;
  /** How late a reply usually is; a later one is hedged. Shared by all reads of a node. */
  readonly usualLatency: QuantileFollower;
  /** Who is slow to answer reads. */
  readonly pace: Pace;
};

/** The merged record, encoded; undefined when R home replicas say that there is none. */
export type ReadResult = { readonly record: Uint8Array | undefined; readonly receipt: Receipt };

/** What one home replica replied. */
type Answer = { readonly member: RingMember; readonly record: Uint8Array | undefined };

/** Each time one more member is asked for lateness, the next is asked after this many times as long. */
const HEDGE_GROWTH = 2;
/** A home that is up and has not replied for so long may be away, and whoever stands in for it is asked. */
const SILENT_MS = 200;

/**
 * Runs one read to its answer.
 *
 * @throws {RingChanged} It has to begin again, by a later ring.
 * @throws {KvError} QUORUM_UNAVAILABLE when too few homes can answer, TIMED_OUT, STORAGE_FAILED; outcome always none.
 */
export function runRead(parts: ReadParts, ring: Ring, key: Uint8Array, choices: Choices): Promise<ReadResult> {
  return new Read(parts, ring, key, choices).run();
}

class Read {
  readonly #parts: ReadParts;
  readonly #ring: Ring;
  readonly #choices: Choices;
  readonly #partition: number;
  readonly #request: ReadRequest;
  readonly #order: RingMember[];
  /** The stand-ins in `#order`, once there are any to ask. */
  #standIns: readonly RingMember[] | undefined;
  /** Stand-ins that had no hint of the key while no home replica had said that it exists. */
  #doubtful: RingMember[] | undefined;
  readonly #tally: Tally;
  readonly #answers: Answer[] = [];
  /** Replicas whose own copy is damaged: what the others hold is the cure. */
  readonly #damaged: RingMember[] = [];
  readonly #startedMs: number;
  /** When the last member was asked. */
  #askedMs: number;
  #merged: Uint8Array | undefined;
  #anyReply = false;
  #differ = false;
  /** Whether somebody replied who was asked because others were late. */
  #hedgeReplied = false;
  #nextToAsk = 0;
  #deadline: Timer | undefined;
  #hedge: Timer | undefined;
  #resolve: (result: ReadResult) => void = unset;
  #reject: (error: unknown) => void = unset;
  /** `writing`: R replies came and differ, and the merged record is on its way to W replicas. */
  #phase: "asking" | "writing" | "settled" = "asking";

  constructor(parts: ReadParts, ring: Ring, key: Uint8Array, choices: Choices) {
    this.#parts = parts;
    this.#ring = ring;
    this.#choices = choices;
    this.#partition = ring.partitionOf(key);
    this.#request = underTrace({ kind: "read", epoch: ring.document.epoch, key }, choices.trace);
    this.#tally = new Tally(choices.readQuorum, choices.zones);
    this.#order = readOrder(ring.homes(this.#partition), {
      self: parts.replicas.self,
      isUp: parts.isUp,
      rotation: parts.random.uint32(),
      pace: parts.pace,
    });
    this.#startedMs = parts.time.monotonicMs();
    this.#askedMs = this.#startedMs;
  }

  run(): Promise<ReadResult> {
    return new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
      this.#deadline = this.#parts.time.after(this.#choices.timeoutMs, () => this.#fail(this.#shortfall("TIMED_OUT")));
      for (let i = 0; i < this.#choices.readQuorum; i++) this.#askNext();
      this.#hedgeAfter(Math.ceil(this.#parts.usualLatency.estimateMs));
    });
  }

  #hedgeAfter(delayMs: number): void {
    if (!this.#isAnybodyLeft()) return;
    const { time } = this.#parts;
    const heldMs = this.#awaitsHomes() ? this.#startedMs + SILENT_MS - time.monotonicMs() : 0;
    this.#hedge = time.after(Math.max(delayMs, heldMs), () => this.#askAnother(delayMs));
  }

  #askAnother(delayMs: number): void {
    if (this.#phase !== "asking") return;
    this.#parts.telemetry.count("annulus.read.hedges");
    this.#askedMs = this.#parts.time.monotonicMs();
    this.#askNext(true);
    this.#hedgeAfter(delayMs * HEDGE_GROWTH);
  }

  /** Whether all homes were asked and are up: one that is merely slow is no reason to count who keeps nothing for it. */
  #awaitsHomes(): boolean {
    const homes = this.#ring.homes(this.#partition);
    const next = this.#order[this.#nextToAsk];
    return (next === undefined || !homes.includes(next)) && homes.every(({ name }) => this.#parts.isUp(name));
  }

  #isAnybodyLeft(): boolean {
    if (this.#nextToAsk < this.#order.length) return true;
    const mayAskStandIns = this.#choices.mode === "sloppy" && this.#standIns === undefined;
    return mayAskStandIns && this.#ring.standIns(this.#partition).length > 0;
  }

  /** Asks one more member. Returns false when none is left. */
  #askNext(isHedge = false): boolean {
    const member = this.#nextMember();
    if (member === undefined) return false;
    this.#nextToAsk += 1;
    this.#tally.ask();
    const { replicas, time, usualLatency, pace } = this.#parts;
    const askedMs = this.#askedMs;
    const isStandIn = this.#standIns?.includes(member) === true;
    const request = isStandIn ? { ...this.#request, asStandIn: true as const } : this.#request;
    replicas.read(member.name, this.#partition, request, this.#choices.timeoutMs).then(
      (record) => {
        const nowMs = time.monotonicMs();
        // What is usual is learned from those who are not slow: a hedge that waits as long as they take is none.
        if (member.name !== replicas.self && !pace.isSlow(member.name)) usualLatency.add(nowMs - this.#startedMs);
        pace.add(member.name, nowMs - askedMs);
        this.#hedgeReplied ||= isHedge;
        if (isStandIn) this.#standInReplied(member, record);
        else this.#replied(member, record);
      },
      (error: unknown) => {
        if (error instanceof KvError && error.code === "STALE_RING" && this.#phase === "asking") {
          return this.#refusedBy(member, error);
        }
        if (!isStandIn && error instanceof KvError && error.code === "STORAGE_FAILED") this.#damaged.push(member);
        if (error instanceof KvError && error.code === "TIMED_OUT") pace.add(member.name, time.monotonicMs() - askedMs);
        this.#notReplied(error);
      },
    );
    return true;
  }

  /** Who is asked next: a home that is up; in sloppy mode, when none is left, stand-ins before the homes thought down. */
  #nextMember(): RingMember | undefined {
    const member = this.#order[this.#nextToAsk];
    if (this.#choices.mode === "strict" || this.#standIns !== undefined) return member;
    const { isUp } = this.#parts;
    if (member !== undefined && isUp(member.name)) return member;
    const homes = this.#ring.homes(this.#partition);
    this.#standIns = standInsForRead(homes, this.#ring.standIns(this.#partition), isUp);
    this.#order.splice(this.#nextToAsk, 0, ...this.#standIns);
    return this.#order[this.#nextToAsk];
  }

  #replied(member: RingMember, record: Uint8Array | undefined): void {
    if (!this.#join(record)) return;
    this.#answers.push({ member, record });
    this.#tally.acked(member.zone);
    if (record !== undefined && this.#doubtful !== undefined) {
      for (const { zone } of this.#doubtful) this.#tally.hintAfterAll(zone);
      this.#doubtful = undefined;
    }
    this.#decide();
  }

  #standInReplied(member: RingMember, record: Uint8Array | undefined): void {
    if (record !== undefined) {
      if (!this.#join(record)) return;
      this.#tally.hint(member.zone);
      return this.#decide();
    }
    if (this.#answers.some((answer) => answer.record !== undefined)) {
      this.#tally.hint(member.zone);
      return this.#decide();
    }
    this.#doubtful ??= [];
    this.#doubtful.push(member);
    if (this.#phase === "asking") this.#askNext();
    this.#tally.failed("none");
    this.#decide();
  }

  /** Makes a reply part of the answer; returns false for one that cannot be read, which is none. */
  #join(record: Uint8Array | undefined): boolean {
    if (!this.#anyReply) this.#merged = record;
    else if (!sameBytes(this.#merged, record)) {
      try {
        this.#merged = joined(this.#merged, record);
      } catch (error) {
        this.#notReplied(error);
        return false;
      }
      this.#differ = true;
    }
    this.#anyReply = true;
    return true;
  }

  #notReplied(error: unknown): void {
    if (!(error instanceof KvError)) return this.#fail(error);
    this.#parts.telemetry.count("annulus.read.replicas_missed");
    if (this.#phase === "asking") this.#askNext();
    this.#tally.failed(error.outcome);
    this.#decide();
  }

  /** Begins again by the ring of a member that refused, if that is a later one. */
  #refusedBy(member: RingMember, error: KvError): void {
    this.#parts.laterRing(member.name, this.#ring.epoch + 1).then(
      (later) => {
        if (this.#phase !== "asking" || later === undefined || later.epoch <= this.#ring.epoch) {
          return this.#notReplied(error);
        }
        this.#settle();
        this.#parts.telemetry.count("annulus.read.ring_changed");
        this.#reject(new RingChanged());
      },
      (bug: unknown) => this.#fail(bug),
    );
  }

  #decide(): void {
    const verdict = this.#tally.verdict();
    if (this.#phase === "asking") {
      // All who were asked may have replied, but from too few zones: others may still bring one.
      if (verdict === "pending" || (verdict === "lost" && this.#askNext())) return;
      if (verdict === "lost") return this.#fail(this.#shortfall("QUORUM_UNAVAILABLE"));
      if (this.#hedgeReplied && this.#tally.outstanding > 0) this.#parts.telemetry.count("annulus.read.hedges_won");
      if ((this.#differ || this.#isMoving()) && this.#mustBeMonotonic()) return this.#writeBack();
      this.#answer();
    }
    // The last reply that was asked for is in: whoever is behind is known.
    if (this.#phase === "settled" && this.#tally.outstanding === 0) this.#repair();
  }

  #mustBeMonotonic(): boolean {
    const { writeQuorum, replicationFactor } = this.#ring;
    return this.#choices.mode === "strict" && this.#choices.readQuorum + writeQuorum > replicationFactor;
  }

  /**
   * Whether the partition has other homes too: R equal replies say of these nothing, and the next read may ask them. What
   * was acknowledged is there; a write that was not, and is shown now, has to be brought there.
   */
  #isMoving(): boolean {
    return this.#merged !== undefined && this.#ring.writeSets(this.#partition).length > 1;
  }

  /** Has W replicas hold what this read is about to show. */
  #writeBack(): void {
    this.#phase = "writing";
    this.#differ = false;
    this.#parts.telemetry.count("annulus.read.write_backs");
    const shown = this.#merged as Uint8Array;
    const holders = this.#answers.filter((answer) => sameBytes(answer.record, shown)).map((answer) => answer.member);
    const writers = this.#ring.writers(this.#partition);
    const required = { acks: this.#ring.writeQuorum, zones: 1 };
    const acknowledged = writeTallyOf(required, writers, this.#ring.writeSets(this.#partition));
    for (const holder of holders) {
      const bit = bitOf(writers, holder);
      acknowledged.ask(bit);
      acknowledged.acked(bit, holder.zone);
    }
    let isCovered = false;
    const decide = () => {
      const verdict = acknowledged.verdict();
      // A home knows all of it to be deleted: who sent it lost that, and will be told.
      if (verdict === "won" && this.#phase === "writing") this.#answer(isCovered ? withoutSiblings(shown) : shown);
      if (verdict === "lost") this.#fail(this.#shortfall("QUORUM_UNAVAILABLE", acknowledged.weakest));
    };
    for (const member of writers) {
      if (holders.includes(member)) continue;
      const bit = bitOf(writers, member);
      acknowledged.ask(bit);
      this.#merge(member, shown, (outcome) => {
        if (outcome === "covered") isCovered = true;
        if (outcome instanceof KvError) acknowledged.failed(bit, outcome.outcome);
        else acknowledged.acked(bit, member.zone);
        decide();
      });
    }
    decide();
  }

  /** Sends the merged record to the replicas that replied with less; their own way of merging makes that harmless. */
  #repair(): void {
    const merged = this.#merged;
    if (merged === undefined || (!this.#differ && this.#damaged.length === 0)) return;
    const behind = this.#answers.filter((answer) => !sameBytes(answer.record, merged)).map((answer) => answer.member);
    for (const member of [...behind, ...this.#damaged]) {
      this.#parts.telemetry.count("annulus.read.repairs");
      this.#merge(member, merged, () => {});
    }
  }

  #merge(member: RingMember, record: Uint8Array, done: (outcome: MergeOutcome | KvError) => void): void {
    const { epoch, key } = this.#request;
    const request = { kind: "merge", epoch, key, record } as const;
    this.#parts.replicas
      .merge(member.name, this.#partition, request, this.#choices.timeoutMs)
      .then(done, (error: unknown) => {
        if (!(error instanceof KvError)) return this.#fail(error);
        this.#parts.telemetry.count("annulus.read.repairs_failed");
        done(error);
      });
  }

  #answer(shown = this.#merged): void {
    this.#settle();
    if (this.#tally.hinted > 0) this.#parts.telemetry.count("annulus.read.hinted");
    this.#resolve({ record: shown, receipt: receiptOf(this.#tally, this.#parts.durability) });
  }

  #shortfall(code: "QUORUM_UNAVAILABLE" | "TIMED_OUT", tally = this.#tally): KvError {
    const { acks, required, hinted } = tally;
    const who = hinted > 0 ? "home replicas and stand-ins" : "home replicas";
    const why = code === "TIMED_OUT" ? ` within ${this.#choices.timeoutMs} ms` : "";
    const what = this.#phase === "writing" ? "make the read repeatable" : "read";
    return new KvError(code, `Cannot ${what}: ${shortfallText(tally, `${who} answered`)}${why}.`, {
      details: {
        required,
        acknowledged: acks,
        retryAfterS: 1,
        receipt: receiptOf(this.#tally, this.#parts.durability),
      },
    });
  }

  #fail(error: unknown): void {
    if (this.#phase === "settled") {
      // A broken invariant is nobody's late reply: it stops the node through the unhandled rejection.
      if (!(error instanceof KvError)) throw error;
      return;
    }
    this.#settle();
    this.#reject(error);
  }

  #settle(): void {
    this.#phase = "settled";
    this.#deadline?.cancel();
    this.#hedge?.cancel();
  }
}

function sameBytes(a: Uint8Array | undefined, b: Uint8Array | undefined): boolean {
  return a === undefined || b === undefined ? a === b : equalBytes(a, b);
}

function joined(a: Uint8Array | undefined, b: Uint8Array | undefined): Uint8Array | undefined {
  return b === undefined ? a : mergeEncoded(a, b).bytes;
}

function unset(): never {
  throw new Error("a read was settled before it ran");
}
