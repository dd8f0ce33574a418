/**
 * One read from the first question to the answer, and the repair of replicas that were found behind.
 *
 *     ask R homes ── each reply is merged ── R replies ── answer ── later replies still merge ── repair
 *          └── one is late (p95) or fails: ask the next
 *
 * With `mode=strict` and R + W > N, replies that differ are made one before the answer: the merged record is
 * acknowledged by the write rule first, so that no later read can see less (design §5). Otherwise the replicas found
 * behind are repaired in the background. Source: DeCandia et al. 2007, §4.5, §4.9 (read repair); Dean and Barroso
 * 2013, "The tail at scale" (hedged requests).
 */

import { equalBytes } from "../core/bytes.ts";
import { type Durability, KvError, type Receipt } from "../core/errors.ts";
import type { QuantileFollower } from "../core/quorum/latency.ts";
import { Tally } from "../core/quorum/tally.ts";
import { readOrder } from "../core/quorum/targets.ts";
import type { RingMember } from "../core/ring/document.ts";
import type { Ring } from "../core/ring/ring.ts";
import { mergeEncoded } from "../core/version/merge-encoded.ts";
import type { ReadRequest } from "../messages.ts";
import type { Random, Telemetry, Time, Timer } from "../ports.ts";
import { type Choices, receiptOf } from "./options.ts";
import type { Replicas } from "./replicas.ts";

export type ReadParts = {
  readonly replicas: Replicas;
  readonly isUp: (member: string) => boolean;
  readonly time: Time;
  readonly random: Random;
  readonly telemetry: Telemetry;
  readonly durability: Durability;
  /** How late a reply usually is; a later one is hedged. Shared by all reads of a node. */
  readonly usualLatency: QuantileFollower;
};

/** The merged record, encoded; undefined when R home replicas say that there is none. */
export type ReadResult = { readonly record: Uint8Array | undefined; readonly receipt: Receipt };

/** What one replica replied. */
type Answer = { readonly member: RingMember; readonly record: Uint8Array | undefined };

/**
 * Runs one read to its answer.
 *
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
  readonly #order: readonly RingMember[];
  readonly #tally: Tally;
  readonly #answers: Answer[] = [];
  /** Replicas whose own copy is damaged: what the others hold is the cure. */
  readonly #damaged: RingMember[] = [];
  readonly #startedMs: number;
  #merged: Uint8Array | undefined;
  #differ = false;
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
    this.#request = { kind: "read", epoch: ring.document.epoch, key };
    this.#tally = new Tally(choices.readQuorum, choices.zones);
    this.#order = readOrder(ring.homes(this.#partition), {
      self: parts.replicas.self,
      isUp: parts.isUp,
      rotation: parts.random.uint32(),
    });
    this.#startedMs = parts.time.monotonicMs();
  }

  run(): Promise<ReadResult> {
    return new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
      this.#deadline = this.#parts.time.after(this.#choices.timeoutMs, () => this.#fail(this.#shortfall("TIMED_OUT")));
      for (let i = 0; i < this.#choices.readQuorum; i++) this.#askNext();
      if (this.#nextToAsk < this.#order.length) {
        const delayMs = Math.ceil(this.#parts.usualLatency.estimateMs);
        this.#hedge = this.#parts.time.after(delayMs, () => this.#askAnother());
      }
    });
  }

  #askNext(): void {
    const member = this.#order[this.#nextToAsk];
    if (member === undefined) return;
    this.#nextToAsk += 1;
    this.#tally.ask();
    const { replicas, time, usualLatency } = this.#parts;
    replicas.read(member.name, this.#partition, this.#request, this.#choices.timeoutMs).then(
      (record) => {
        if (member.name !== replicas.self) usualLatency.add(time.monotonicMs() - this.#startedMs);
        this.#replied(member, record);
      },
      (error: unknown) => this.#notReplied(member, error),
    );
  }

  #askAnother(): void {
    if (this.#phase !== "asking") return;
    this.#parts.telemetry.count("annulus.read.hedges");
    this.#askNext();
  }

  #replied(member: RingMember, record: Uint8Array | undefined): void {
    if (this.#answers.length === 0) this.#merged = record;
    else if (!sameBytes(this.#merged, record)) {
      try {
        this.#merged = joined(this.#merged, record);
      } catch (error) {
        return this.#notReplied(member, error);
      }
      this.#differ = true;
    }
    this.#answers.push({ member, record });
    this.#tally.acked(member.zone);
    this.#decide();
  }

  #notReplied(member: RingMember, error: unknown): void {
    if (!(error instanceof KvError)) return this.#fail(error);
    if (error.code === "STORAGE_FAILED") this.#damaged.push(member);
    this.#parts.telemetry.count("annulus.read.replicas_missed");
    if (this.#phase === "asking") this.#askNext();
    this.#tally.failed(error.outcome);
    this.#decide();
  }

  #decide(): void {
    const verdict = this.#tally.verdict();
    if (this.#phase === "asking") {
      if (verdict === "pending" || (verdict === "lost" && this.#askForZones())) return;
      if (verdict === "lost") return this.#fail(this.#shortfall("QUORUM_UNAVAILABLE"));
      if (this.#differ && this.#mustBeMonotonic()) return this.#writeBack();
      this.#answer();
    }
    // The last reply that was asked for is in: whoever is behind is known.
    if (this.#phase === "settled" && this.#tally.outstanding === 0) this.#repair();
  }

  /** All who were asked replied, but from too few zones: others may still bring one. */
  #askForZones(): boolean {
    if (this.#nextToAsk >= this.#order.length) return false;
    this.#askNext();
    return true;
  }

  #mustBeMonotonic(): boolean {
    const { writeQuorum, replicationFactor } = this.#ring.document;
    return this.#choices.mode === "strict" && this.#choices.readQuorum + writeQuorum > replicationFactor;
  }

  /** Has W replicas hold what this read is about to show. */
  #writeBack(): void {
    this.#phase = "writing";
    this.#differ = false;
    this.#parts.telemetry.count("annulus.read.write_backs");
    const shown = this.#merged as Uint8Array;
    const holders = this.#answers.filter((answer) => sameBytes(answer.record, shown)).map((answer) => answer.member);
    const acknowledged = new Tally(this.#ring.document.writeQuorum, 1);
    for (const holder of holders) {
      acknowledged.ask();
      acknowledged.acked(holder.zone);
    }
    const decide = () => {
      const verdict = acknowledged.verdict();
      if (verdict === "won" && this.#phase === "writing") this.#answer(shown);
      if (verdict === "lost") this.#fail(this.#shortfall("QUORUM_UNAVAILABLE", acknowledged));
    };
    for (const member of this.#order) {
      if (holders.includes(member)) continue;
      acknowledged.ask();
      this.#merge(member, shown, (error) => {
        if (error === undefined) acknowledged.acked(member.zone);
        else acknowledged.failed(error.outcome);
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

  #merge(member: RingMember, record: Uint8Array, done: (error?: KvError) => void): void {
    const { epoch, key } = this.#request;
    const request = { kind: "merge", epoch, key, record } as const;
    this.#parts.replicas.merge(member.name, this.#partition, request, this.#choices.timeoutMs).then(
      () => done(),
      (error: unknown) => {
        if (!(error instanceof KvError)) return this.#fail(error);
        this.#parts.telemetry.count("annulus.read.repairs_failed");
        done(error);
      },
    );
  }

  #answer(shown = this.#merged): void {
    this.#settle();
    this.#resolve({ record: shown, receipt: receiptOf(this.#tally, this.#parts.durability) });
  }

  #shortfall(code: "QUORUM_UNAVAILABLE" | "TIMED_OUT", tally = this.#tally): KvError {
    const { acks, required, zones, zonesRequired } = tally;
    const zonesPart = zonesRequired > 1 ? `, from ${zones} of ${zonesRequired} zones` : "";
    const why = code === "TIMED_OUT" ? ` within ${this.#choices.timeoutMs} ms` : "";
    const what = this.#phase === "writing" ? "make the read repeatable" : "read";
    return new KvError(code, `Cannot ${what}: ${acks} of ${required} home replicas answered${zonesPart}${why}.`, {
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
