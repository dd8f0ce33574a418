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
import { Tally } from "../core/quorum/tally.ts";
import { StandIns, stampOrder } from "../core/quorum/targets.ts";
import type { RingMember } from "../core/ring/document.ts";
import type { Ring } from "../core/ring/ring.ts";
import type { EventName, MergeRequest, StampRequest, WriteBase, WriteContent } from "../messages.ts";
import type { Random, Telemetry, Time, Timer } from "../ports.ts";
import { HandOffs } from "./hand-off.ts";
import { type Choices, receiptOf } from "./options.ts";
import type { StampResult } from "./replica.ts";
import type { Replicas } from "./replicas.ts";

export type WriteParts = {
  readonly replicas: Replicas;
  readonly isUp: (member: string) => boolean;
  readonly time: Time;
  readonly random: Random;
  readonly telemetry: Telemetry;
  readonly durability: Durability;
};

export type WriteCommand = {
  readonly ring: Ring;
  readonly key: Uint8Array;
  readonly base: WriteBase;
  readonly content: WriteContent;
  readonly event: EventName | undefined;
};

/** What became of a write that was acknowledged; `context` is the encoded context of the client's token. */
export type WriteResult = { readonly context: Uint8Array; readonly receipt: Receipt };

/** Share of the time left that a home may take to stamp while another home could do it instead. */
const STAMP_PATIENCE = 0.4;
/** Share of the time left that a home may take to acknowledge before a stand-in is asked, in sloppy mode. */
const HOME_PATIENCE = 0.4;
const FORWARD_ID_BYTES = 8;

const NOBODY: readonly RingMember[] = [];

/** Errors that another home replica would answer with too: the client is told at once. */
const FINAL_CODES: ReadonlySet<string> = new Set(["CONFLICT", "INVALID_CONTEXT", "INVALID_REQUEST", "TOO_LARGE"]);

/**
 * Runs one write to its answer. Replicas that have not replied by then finish in the background.
 *
 * @returns The token's context and what the acknowledgement stands on.
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
  readonly #homes: readonly RingMember[];
  readonly #tally: Tally;
  readonly #deadlineMs: number;
  #timer: Timer | undefined;
  #resolve: (result: WriteResult) => void = unset;
  #reject: (error: KvError) => void = unset;
  #settled = false;
  #stampInFlight = false;
  /**
   * Of the homes by their place, one bit each: asked and not heard of; handed off to somebody else; counted, by what it
   * acknowledged itself or by its stand-in. Both would be one copy, for the stand-in's goes once the home has it.
   */
  #silent = 0;
  #missed = 0;
  #counted = 0;
  /** The patience of homes ended while the write was still being stamped. */
  #late = false;
  #handOffs: HandOffs | undefined;
  #event: EventName | undefined;
  #context: Uint8Array | undefined;
  #request: MergeRequest | undefined;
  #storageError: KvError | undefined;

  constructor(parts: WriteParts, command: WriteCommand, choices: Choices) {
    this.#parts = parts;
    this.#command = command;
    this.#event = command.event;
    this.#choices = choices;
    this.#partition = command.ring.partitionOf(command.key);
    this.#homes = command.ring.homes(this.#partition);
    this.#tally = new Tally(choices.writeQuorum, choices.zones);
    this.#deadlineMs = parts.time.monotonicMs() + choices.timeoutMs;
  }

  run(): Promise<WriteResult> {
    return new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
      const refusal = this.#refuseUnsent();
      if (refusal !== undefined) {
        reject(refusal);
        return;
      }
      const { mode, timeoutMs } = this.#choices;
      this.#wakeAfter(mode === "sloppy" ? timeoutMs * HOME_PATIENCE : timeoutMs);
      this.#stamp().catch((error: unknown) => this.#fail(error));
    });
  }

  /** A write that the detector already knows to fall short is refused before anything is sent. */
  #refuseUnsent(): KvError | undefined {
    const { isUp } = this.#parts;
    const { writeQuorum, zones: zonesRequired } = this.#choices;
    const zones: string[] = [];
    let up = 0;
    const count = (member: RingMember): void => {
      if (!isUp(member.name)) return;
      up += 1;
      if (!zones.includes(member.zone)) zones.push(member.zone);
    };
    for (const home of this.#homes) count(home);
    if (up >= writeQuorum && zones.length >= zonesRequired) return undefined;
    for (const member of this.#walk()) count(member);
    if (up >= writeQuorum && zones.length >= zonesRequired) return undefined;
    const who = this.#choices.mode === "sloppy" ? "home replicas and stand-ins" : "home replicas";
    return new KvError(
      "QUORUM_UNAVAILABLE",
      `Cannot write: ${writeQuorum} ${who} in ${zonesRequired} zone(s) are needed, ${up} in ${zones.length} zone(s) are up. Nothing was sent.`,
      { details: { required: writeQuorum, acknowledged: 0, retryAfterS: 1, receipt: this.#receipt() } },
    );
  }

  /** Who may stand in for a home: nobody in strict mode. */
  #walk(): readonly RingMember[] {
    return this.#choices.mode === "sloppy" ? this.#command.ring.standIns(this.#partition) : NOBODY;
  }

  /** Has one home give the write its dot: the best one, or the next when that one surely did not or stays silent. */
  async #stamp(): Promise<void> {
    const { replicas, isUp, time, telemetry } = this.#parts;
    const { base } = this.#command;
    let order = stampOrder(this.#homes, { self: replicas.self, isUp, blindOverwrite: base.kind === "overwrite" });
    let standIns = this.#walk();
    const isUpAt = (i: number): boolean => {
      const member = order[i];
      return member !== undefined && isUp(member.name);
    };
    let firstError: KvError | undefined;
    for (let i = 0; !this.#settled; i++) {
      if (standIns.length > 0 && !isUpAt(i)) {
        // No home that is up is left: stand-ins come before those thought down, which cost a timeout each.
        const free = new StandIns(standIns, isUp).free.slice(0, this.#homes.length);
        order = [...order.slice(0, i), ...free, ...order.slice(i)];
        standIns = NOBODY;
      }
      const member = order[i];
      if (member === undefined) break;
      const request = this.#stampRequest(member);
      const leftMs = this.#deadlineMs - time.monotonicMs();
      const isLast = !isUpAt(i + 1) && !standIns.some(({ name }) => isUp(name));
      this.#stampInFlight = true;
      try {
        const patienceMs = isLast ? leftMs : leftMs * STAMP_PATIENCE;
        const result = await replicas.stamp(member.name, this.#partition, request, patienceMs);
        this.#spread(member, request.hintFor, result);
        return;
      } catch (error) {
        if (!(error instanceof KvError)) throw error;
        if (error.outcome === "unknown") this.#tally.noteUnknown();
        if (FINAL_CODES.has(error.code)) throw this.#tally.outcome === "unknown" ? this.#shortfall() : error;
        this.#noteStorage(error);
        firstError ??= error;
        telemetry.count("annulus.write.stamp_retries");
        // Without a name for the event a second stamp would be a second write.
        if (error.outcome === "unknown" && request.event === undefined) break;
      } finally {
        this.#stampInFlight = false;
      }
    }
    throw this.#tally.outcome === "none" && firstError !== undefined && isOwnWord(firstError)
      ? firstError
      : this.#shortfall();
  }

  /** The request to one member; a write that leaves this node has a name from then on, the same for every member. */
  #stampRequest(member: RingMember): StampRequest {
    const { base, content, key, ring } = this.#command;
    if (this.#event === undefined && member.name !== this.#parts.replicas.self) {
      this.#event = { kind: "forward", id: this.#parts.random.bytes(FORWARD_ID_BYTES) };
    }
    const request: StampRequest = { kind: "stamp", epoch: ring.epoch, key, base, content, event: this.#event };
    if (this.#homes.includes(member)) return request;
    const home = this.#homes.find(({ zone }) => zone === member.zone) ?? (this.#homes[0] as RingMember);
    return { ...request, hintFor: home.name };
  }

  /**
   * Sends the stamped record to every other home at once.
   *
   * @param hintFor The home that the stamping member stands in for, if it does.
   */
  #spread(stampedBy: RingMember, hintFor: string | undefined, { record, context }: StampResult): void {
    const { replicas, isUp } = this.#parts;
    const { key, ring } = this.#command;
    this.#context = context;
    this.#tally.ask();
    if (hintFor === undefined) this.#tally.acked(stampedBy.zone);
    else this.#tally.hint(stampedBy.zone);
    const request: MergeRequest = { kind: "merge", epoch: ring.document.epoch, key, record };
    this.#request = request;
    // Not what is left of the client's patience: a replica that is slow today still gets the write.
    const timeoutMs = this.#choices.timeoutMs;
    let down = 0;
    for (let place = 0; place < this.#homes.length; place++) {
      const home = this.#homes[place] as RingMember;
      if (home === stampedBy) continue;
      const bit = 1 << place;
      this.#silent |= bit;
      if (!isUp(home.name)) down |= bit;
      if (home.name === hintFor) {
        this.#missed |= bit;
        this.#counted |= bit;
      }
      this.#tally.ask();
      replicas.merge(home.name, this.#partition, request, timeoutMs).then(
        () => {
          this.#silent &= ~bit;
          if ((this.#counted & bit) === 0) this.#tally.acked(home.zone);
          else this.#tally.repeated();
          this.#counted |= bit;
          this.#decide();
        },
        (error: unknown) => {
          this.#parts.telemetry.count("annulus.write.replicas_missed");
          if (!(error instanceof KvError)) return this.#fail(error);
          this.#silent &= ~bit;
          this.#noteStorage(error);
          this.#handOff(bit);
          this.#tally.failed(error.outcome);
          this.#decide();
        },
      );
    }
    if (hintFor !== undefined) this.#handOffsMade().exclude(stampedBy);
    if (this.#choices.mode === "sloppy") {
      if (down !== 0) this.#handOff(down);
      if (this.#late) this.#wakeAfter(this.#leftMs() * HOME_PATIENCE);
    }
    this.#decide();
  }

  /** The homes of these bits missed the write, or are as good as that: somebody else keeps it for them. */
  #handOff(bits: number): void {
    const missed = bits & ~this.#missed;
    this.#missed |= bits;
    const handOffs = missed === 0 ? this.#handOffs : this.#handOffsMade();
    if (handOffs === undefined) return;
    const hopeful = bitCount(this.#silent & ~this.#missed);
    if (this.#tally.acks + hopeful < this.#choices.writeQuorum) handOffs.count();
    for (let place = 0; place < this.#homes.length; place++) {
      if ((missed & (1 << place)) !== 0) handOffs.add(this.#homes[place] as RingMember);
    }
  }

  #handOffsMade(): HandOffs {
    this.#handOffs ??= new HandOffs(this.#parts, {
      partition: this.#partition,
      walk: this.#walk(),
      request: this.#request as MergeRequest,
      tally: this.#tally,
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
    const bit = 1 << this.#homes.indexOf(home);
    if ((this.#counted & bit) === 0) this.#tally.hint(standIn.zone);
    else this.#tally.repeated();
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
    if (verdict === "lost" || this.#context === undefined) return this.#fail(this.#shortfall());
    this.#settle();
    if (this.#tally.hinted > 0) this.#parts.telemetry.count("annulus.write.hinted");
    this.#resolve({ context: this.#context, receipt: this.#receipt() });
  }

  #expire(): void {
    if (this.#settled) return;
    if (this.#stampInFlight) this.#tally.noteUnknown();
    this.#tally.expire();
    this.#fail(this.#shortfall("TIMED_OUT"));
  }

  /** What is said of a write that did not reach its quorum. A full disk is named, for waiting will not help. */
  #shortfall(code: "QUORUM_LOST" | "TIMED_OUT" = "QUORUM_LOST"): KvError {
    const { acks, outcome, required, zones, zonesRequired } = this.#tally;
    const full = this.#storageError?.code === "STORAGE_FULL";
    const why = code === "TIMED_OUT" ? `within ${this.#choices.timeoutMs} ms` : "and no further reply can come";
    const zonesPart = zonesRequired > 1 ? `, from ${zones} of ${zonesRequired} zones` : "";
    return new KvError(
      full ? "STORAGE_FULL" : code,
      `Cannot confirm the write: ${acks} of ${required} acknowledgements${zonesPart} came ${why}.${full ? " A home replica has no disk space." : ""} Repeat it with the same context or Idempotency-Key.`,
      {
        outcome,
        details: { required, acknowledged: acks, retryAfterS: 1, receipt: this.#receipt() },
        cause: this.#storageError,
      },
    );
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
    return receiptOf(this.#tally, this.#parts.durability);
  }
}

/** Errors of a replica that say more to the client than "too few replicas". */
function isOwnWord(error: KvError): boolean {
  return error.code === "STORAGE_FULL" || error.code === "STORAGE_FAILED" || error.code === "OVERLOADED";
}

function bitCount(bits: number): number {
  let count = 0;
  for (let left = bits; left !== 0; left &= left - 1) count += 1;
  return count;
}

function unset(): never {
  throw new Error("a write was settled before it ran");
}
