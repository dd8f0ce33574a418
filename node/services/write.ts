/**
 * One write from stamp to answer.
 *
 *     choose stamper ── stamp (own store first, or one hop) ── merge to the other homes ── W acknowledgements
 *            └── refused or surely not delivered: the next home,       └── down, failed or late: a stand-in keeps
 *                as the same event; none left: a stand-in                  it as a hint, see hand-off.ts
 *
 * The stamping replica gives the write its dot and its acknowledgement; this node counts and answers, whether or not
 * it is a home. A write that is passed on carries an event name (the client's Idempotency-Key, or a random id), so
 * that trying the next home after silence makes the same event and not a second sibling (basho/riak_kv#1754).
 * Source: DeCandia et al. 2007, §4.5; design §4 and §5.
 */
import { type Durability, KvError, type Receipt } from "../core/errors.ts";
import { bitOf, type WriteTally, writeTallyOf } from "../core/quorum/write-tally.ts";
import type { MemberId, RingMember } from "../core/ring/document.ts";
import type { Ring } from "../core/ring/ring.ts";
import type { EventName, MergeRequest, WriteBase, WriteContent } from "../messages.ts";
import type { Random, Telemetry, Time, Timer } from "../ports.ts";
import { HandOffs } from "./hand-off.ts";
import { type Choices, receiptOf, underTrace } from "./options.ts";
import type { StampResult } from "./replica.ts";
import type { Replicas } from "./replicas.ts";
import { RingChanged, type WriteSoFar } from "./ring-changed.ts";
import { Stamper } from "./stamper.ts";
import { refuseUnsent, shortfallOf } from "./write-refusals.ts";

export type WriteParts = {
  readonly replicas: Replicas;
  readonly isUp: (member: string) => boolean;
  readonly time: Time;
  readonly random: Random;
  readonly telemetry: Telemetry;
  readonly durability: Durability;
  /** When a write counts as durable at a member: they may differ, while a change of it goes from one to the next. */
  readonly durabilityOf: (member: MemberId) => Durability;
  /** Asks a member that goes by another ring for it; gives the later ring, if this node has one now. */
  readonly laterRing: (member: string, epoch: number) => Promise<Ring | undefined>;
};

export type WriteCommand = {
  readonly ring: Ring;
  readonly key: Uint8Array;
  readonly base: WriteBase;
  readonly content: WriteContent;
  readonly event: EventName | undefined;
  /** What it brings from an earlier ring, see ring-changed.ts. */
  readonly soFar?: WriteSoFar | undefined;
};

/** What became of a write that was acknowledged; `context` is the encoded context of the client's token. */
export type WriteResult = { readonly context: Uint8Array; readonly receipt: Receipt };

/** Share of the time left that a home may take to acknowledge before a stand-in is asked, in sloppy mode. */
const HOME_PATIENCE = 0.4;

const NOBODY: readonly RingMember[] = [];

/**
 * Runs one write to its answer. Replicas that have not replied by then finish in the background.
 *
 * @returns The token's context and what the acknowledgement stands on.
 * @throws {RingChanged} It has to begin again, by a later ring.
 * @throws {KvError} CONFLICT, INVALID_CONTEXT; QUORUM_UNAVAILABLE (nothing sent); QUORUM_LOST, TIMED_OUT,
 *   STORAGE_FULL, STORAGE_FAILED, OVERLOADED with the outcome as it is.
 */
export function runWrite(parts: WriteParts, command: WriteCommand, choices: Choices): Promise<WriteResult> {
  return new Write(parts, command, choices).run();
}

class Write {
  readonly #parts: WriteParts;
  readonly #command: WriteCommand;
  readonly #choices: Choices;
  readonly #partition: number;
  /** All who must have the write, those first that reads ask. */
  readonly #writers: readonly RingMember[];
  readonly #tally: WriteTally;
  readonly #deadlineMs: number;
  #timer: Timer | undefined;
  #resolve: (result: WriteResult) => void = unset;
  #reject: (error: Error) => void = unset;
  #settled = false;
  #changing = false;
  /**
   * Of the writers by their place, one bit each: asked and not heard of; handed off to somebody else; counted, by what it
   * acknowledged itself or by its stand-in. Both would be one copy, for the stand-in's goes once the home has it.
   */
  #silent = 0;
  #missed = 0;
  #counted = 0;
  /** The patience of homes ended while the write was still being stamped. */
  #late = false;
  #handOffs: HandOffs | undefined;
  readonly #stamper: Stamper;
  #context: Uint8Array | undefined;
  /** Of those who acknowledged, the weakest one's; undefined before anybody has. */
  #durability: Durability | undefined;
  #request: MergeRequest | undefined;
  #storageError: KvError | undefined;

  constructor(parts: WriteParts, command: WriteCommand, choices: Choices) {
    this.#parts = parts;
    this.#command = command;
    this.#choices = choices;
    this.#partition = command.ring.partitionOf(command.key);
    this.#writers = command.ring.writers(this.#partition);
    const required = { acks: choices.writeQuorum, zones: choices.zones };
    this.#tally = writeTallyOf(required, this.#writers, command.ring.writeSets(this.#partition));
    if (command.soFar?.isUnknown === true) this.#tally.noteUnknown();
    this.#deadlineMs = parts.time.monotonicMs() + choices.timeoutMs;
    this.#stamper = new Stamper(parts, {
      command,
      partition: this.#partition,
      walk: this.#walk(),
      deadlineMs: this.#deadlineMs,
      tally: this.#tally,
      isOver: () => this.#settled,
      refused: (error) => this.#noteStorage(error),
      isChanged: (member) => this.#isChanged(member, undefined),
      shortfall: () => this.#shortfall(),
      trace: choices.trace,
    });
  }

  run(): Promise<WriteResult> {
    return new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
      const { mode, timeoutMs } = this.#choices;
      const stamped = this.#command.soFar?.stamped;
      if (stamped === undefined && this.#tally.outcome === "none") {
        const refusal = refuseUnsent(this.#parts, {
          sets: this.#command.ring.writeSets(this.#partition),
          walk: this.#walk(),
          choices: this.#choices,
        });
        if (refusal !== undefined) return reject(refusal);
      }
      this.#wakeAfter(mode === "sloppy" ? timeoutMs * HOME_PATIENCE : timeoutMs);
      if (stamped === undefined) this.#stamp().catch((error: unknown) => this.#fail(error));
      else this.#spread(undefined, undefined, stamped);
    });
  }

  #bitOf(member: RingMember): number {
    return bitOf(this.#writers, member);
  }

  /** Who may stand in for a home: nobody in strict mode. */
  #walk(): readonly RingMember[] {
    return this.#choices.mode === "sloppy" ? this.#command.ring.standIns(this.#partition) : NOBODY;
  }

  async #stamp(): Promise<void> {
    const stamped = await this.#stamper.run();
    if (stamped !== undefined) this.#spread(stamped.by, stamped.hintFor, stamped.result);
  }

  /**
   * Sends the stamped record to every other home at once.
   *
   * @param stampedBy Undefined when that was by an earlier ring: then every home is sent it.
   * @param hintFor The home that the stamping member stands in for, if it does.
   */
  #spread(stampedBy: RingMember | undefined, hintFor: string | undefined, stamped: StampResult): void {
    const { replicas, isUp } = this.#parts;
    const { key, ring } = this.#command;
    const { record, context } = stamped;
    this.#context = context;
    if (stampedBy !== undefined) this.#countStamp(stampedBy, hintFor);
    const asked: MergeRequest = { kind: "merge", epoch: ring.document.epoch, key, record };
    const request = underTrace(asked, this.#choices.trace);
    this.#request = request;
    // Not what is left of the client's patience: a replica that is slow today still gets the write.
    const timeoutMs = this.#choices.timeoutMs;
    let down = 0;
    for (let place = 0; place < this.#writers.length; place++) {
      const home = this.#writers[place] as RingMember;
      if (home === stampedBy) continue;
      const bit = 1 << place;
      this.#silent |= bit;
      if (!isUp(home.name)) down |= bit;
      this.#tally.ask(bit);
      replicas.merge(home.name, this.#partition, request, timeoutMs).then(
        () => this.#acknowledged(home, bit),
        (error: unknown) => {
          if (!(error instanceof KvError)) return this.#fail(error);
          if (error.code !== "STALE_RING" || this.#settled) return this.#missedBy(bit, error);
          this.#isChanged(home, stamped).then(
            (isChanged) => {
              if (!isChanged) this.#missedBy(bit, error);
            },
            (bug: unknown) => this.#fail(bug),
          );
        },
      );
    }
    if (hintFor !== undefined && stampedBy !== undefined) this.#handOffsMade().exclude(stampedBy);
    if (this.#choices.mode === "sloppy") {
      if (down !== 0) this.#handOff(down);
      if (this.#late) this.#wakeAfter(this.#leftMs() * HOME_PATIENCE);
    }
    this.#decide();
  }

  /** A receipt promises what the weakest of those who acknowledged does. */
  #noteDurability({ name }: RingMember): void {
    if (this.#durability !== "os") this.#durability = this.#parts.durabilityOf(name);
  }

  #countStamp(stampedBy: RingMember, hintFor: string | undefined): void {
    this.#noteDurability(stampedBy);
    const home = hintFor === undefined ? stampedBy : this.#writers.find(({ name }) => name === hintFor);
    const bit = home === undefined ? 0 : this.#bitOf(home);
    this.#tally.ask(bit);
    if (hintFor === undefined) this.#tally.acked(bit, stampedBy.zone);
    else {
      this.#tally.hint(bit, lastingZone(home, stampedBy));
      this.#missed |= bit;
      this.#counted |= bit;
    }
  }

  #acknowledged(home: RingMember, bit: number): void {
    this.#silent &= ~bit;
    this.#noteDurability(home);
    if ((this.#counted & bit) === 0) this.#tally.acked(bit, home.zone);
    else this.#tally.repeated(bit);
    this.#counted |= bit;
    this.#decide();
  }

  #missedBy(bit: number, error: KvError): void {
    this.#parts.telemetry.count("annulus.write.replicas_missed");
    this.#silent &= ~bit;
    this.#noteStorage(error);
    this.#handOff(bit);
    this.#tally.failed(bit, error.outcome);
    this.#decide();
  }

  /** Whether a member that refused goes by a later ring; then this write has ended, and begins again by that. */
  async #isChanged(member: RingMember, stamped: StampResult | undefined): Promise<boolean> {
    const { ring } = this.#command;
    const later = await this.#parts.laterRing(member.name, ring.epoch + 1);
    if (this.#settled || this.#changing) return this.#changing;
    if (later === undefined || later.epoch <= ring.epoch) return false;
    this.#changing = true;
    this.#settle();
    this.#parts.telemetry.count("annulus.write.ring_changed");
    const isUnknown = this.#tally.outcome === "unknown";
    this.#reject(new RingChanged({ event: this.#stamper.event, stamped, isUnknown }));
    return true;
  }

  /** The homes of these bits missed the write, or are as good as that: somebody else keeps it for them. */
  #handOff(bits: number): void {
    const missed = bits & ~this.#missed;
    this.#missed |= bits;
    const handOffs = missed === 0 ? this.#handOffs : this.#handOffsMade();
    if (handOffs === undefined) return;
    if (this.#tally.lacks(this.#silent & ~this.#missed)) handOffs.count();
    for (let place = 0; place < this.#writers.length; place++) {
      if ((missed & (1 << place)) !== 0) handOffs.add(this.#writers[place] as RingMember);
    }
  }

  #handOffsMade(): HandOffs {
    this.#handOffs ??= new HandOffs(this.#parts, {
      partition: this.#partition,
      walk: this.#walk(),
      homes: this.#choices.zones > 1 ? this.#writers : NOBODY,
      request: this.#request as MergeRequest,
      asked: (home) => this.#tally.ask(this.#bitOf(home)),
      failed: (home, outcome) => this.#tally.failed(this.#bitOf(home), outcome),
      // Which zones will have acknowledged at W nobody knows.
      counts: this.#choices.mode === "sloppy" && this.#choices.zones > 1,
      timeoutMs: this.#choices.timeoutMs,
      isSettled: () => this.#settled,
      kept: (home, standIn) => this.#kept(home, standIn),
      changed: () => this.#decide(),
      broken: (error) => this.#fail(error),
    });
    return this.#handOffs;
  }

  #kept(home: RingMember, standIn: RingMember): void {
    const bit = this.#bitOf(home);
    this.#noteDurability(standIn);
    if ((this.#counted & bit) === 0) this.#tally.hint(bit, lastingZone(home, standIn));
    else this.#tally.repeated(bit);
    this.#counted |= bit;
  }

  #leftMs(): number {
    return this.#deadlineMs - this.#parts.time.monotonicMs();
  }

  /** One timer for a write: first it ends the patience with its homes, then the client's. */
  #wakeAfter(delayMs: number): void {
    this.#timer?.cancel();
    this.#timer = this.#parts.time.after(delayMs, () => this.#wake());
  }

  #wake(): void {
    const leftMs = this.#leftMs();
    if (leftMs < 1) return this.#expire();
    this.#wakeAfter(leftMs);
    if (this.#context === undefined) this.#late = true;
    else {
      this.#handOff(this.#silent);
      this.#decide();
    }
  }

  #decide(): void {
    if (this.#settled) return;
    const verdict = this.#tally.verdict();
    if (verdict === "pending") return;
    if (verdict === "lost" || this.#context === undefined) return this.#fallShort("QUORUM_LOST");
    this.#settle();
    if (this.#tally.weakest.hinted > 0) this.#parts.telemetry.count("annulus.write.hinted");
    this.#resolve({ context: this.#context, receipt: this.#receipt() });
  }

  #expire(): void {
    if (this.#settled) return;
    if (this.#stamper.isInFlight) this.#tally.noteUnknown();
    this.#tally.expire();
    this.#fallShort("TIMED_OUT");
  }

  #fallShort(code: "QUORUM_LOST" | "TIMED_OUT"): void {
    if (this.#handOffs?.isCounting === true) this.#parts.telemetry.count("annulus.write.hints_short");
    this.#fail(this.#shortfall(code));
  }

  #shortfall(code: "QUORUM_LOST" | "TIMED_OUT" = "QUORUM_LOST"): KvError {
    return shortfallOf(this.#tally, {
      code,
      timeoutMs: this.#choices.timeoutMs,
      storageError: this.#storageError,
      receipt: this.#receipt(),
    });
  }

  #noteStorage(error: KvError): void {
    if (error.code === "STORAGE_FULL" || error.code === "STORAGE_FAILED") this.#storageError ??= error;
  }

  #fail(error: unknown): void {
    if (this.#settled) {
      // A broken invariant is nobody's late reply: it stops the node through the unhandled rejection.
      if (!(error instanceof KvError)) throw error;
      return;
    }
    this.#settle();
    this.#reject(error as KvError);
  }

  #settle(): void {
    this.#settled = true;
    this.#timer?.cancel();
  }

  #receipt(): Receipt {
    return receiptOf(this.#tally.weakest, this.#durability ?? this.#parts.durability);
  }
}

/** The zone that a stand-in's copy is in for as long as it counts: when its home is back it moves there, and is gone from here. */
function lastingZone(home: RingMember | undefined, standIn: RingMember): string | undefined {
  return home?.zone === standIn.zone ? standIn.zone : undefined;
}

function unset(): never {
  throw new Error("a write was settled before it ran");
}
