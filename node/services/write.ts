/**
 * One write from stamp to answer.
 *
 *     choose stamper ── stamp (own store first, or one hop) ── merge to the other homes ── W acknowledgements
 *            └── refused or surely not delivered: the next home, as the same event
 *
 * The stamping replica gives the write its dot and its acknowledgement; this node counts and answers, whether or not
 * it is a home. A write that is passed on carries an event name (the client's Idempotency-Key, or a random id), so
 * that trying the next home after silence makes the same event and not a second sibling (basho/riak_kv#1754).
 * Source: DeCandia et al. 2007, §4.5; design §4 and §5.
 */
import { type Durability, KvError, type Receipt } from "../core/errors.ts";
import { Tally } from "../core/quorum/tally.ts";
import { stampOrder } from "../core/quorum/targets.ts";
import type { RingMember } from "../core/ring/document.ts";
import type { Ring } from "../core/ring/ring.ts";
import type { EventName, MergeRequest, StampRequest, WriteBase, WriteContent } from "../messages.ts";
import type { Random, Telemetry, Time, Timer } from "../ports.ts";
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
const FORWARD_ID_BYTES = 8;

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
  #event: EventName | undefined;
  #context: Uint8Array | undefined;
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
      this.#timer = this.#parts.time.after(this.#choices.timeoutMs, () => this.#expire());
      this.#stamp().catch((error: unknown) => this.#fail(error));
    });
  }

  /** A write that the detector already knows to fall short is refused before anything is sent. */
  #refuseUnsent(): KvError | undefined {
    const { isUp } = this.#parts;
    const zones: string[] = [];
    let up = 0;
    for (const home of this.#homes) {
      if (!isUp(home.name)) continue;
      up += 1;
      if (!zones.includes(home.zone)) zones.push(home.zone);
    }
    const { writeQuorum, zones: zonesRequired } = this.#choices;
    if (up >= writeQuorum && zones.length >= zonesRequired) return undefined;
    return new KvError(
      "QUORUM_UNAVAILABLE",
      `Cannot write: ${writeQuorum} of ${this.#homes.length} home replicas in ${zonesRequired} zone(s) are needed, ${up} in ${zones.length} zone(s) are up. Nothing was sent.`,
      { details: { required: writeQuorum, acknowledged: 0, retryAfterS: 1, receipt: this.#receipt() } },
    );
  }

  /** Has one home give the write its dot: the best one, or the next when that one surely did not or stays silent. */
  async #stamp(): Promise<void> {
    const { replicas, isUp, time, telemetry } = this.#parts;
    const { base } = this.#command;
    const order = stampOrder(this.#homes, { self: replicas.self, isUp, blindOverwrite: base.kind === "overwrite" });
    let firstError: KvError | undefined;
    for (let i = 0; i < order.length && !this.#settled; i++) {
      const member = order[i] as RingMember;
      const request = this.#stampRequest(member.name !== replicas.self);
      const leftMs = this.#deadlineMs - time.monotonicMs();
      const next = order[i + 1];
      const patienceMs = next !== undefined && isUp(next.name) ? leftMs * STAMP_PATIENCE : leftMs;
      this.#stampInFlight = true;
      try {
        const result = await replicas.stamp(member.name, this.#partition, request, patienceMs);
        this.#spread(member, result);
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

  /** The request to one home; a write that leaves this node has a name from then on, the same for every home. */
  #stampRequest(leavesThisNode: boolean): StampRequest {
    const { base, content, key, ring } = this.#command;
    if (this.#event === undefined && leavesThisNode) {
      this.#event = { kind: "forward", id: this.#parts.random.bytes(FORWARD_ID_BYTES) };
    }
    return { kind: "stamp", epoch: ring.epoch, key, base, content, event: this.#event };
  }

  /** Sends the stamped record to every other home at once. */
  #spread(stampedBy: RingMember, { record, context }: StampResult): void {
    const { replicas } = this.#parts;
    const { key, ring } = this.#command;
    this.#context = context;
    this.#tally.ask();
    this.#tally.acked(stampedBy.zone);
    const request: MergeRequest = { kind: "merge", epoch: ring.document.epoch, key, record };
    // Not what is left of the client's patience: a replica that is slow today still gets the write.
    const timeoutMs = this.#choices.timeoutMs;
    for (const home of this.#homes) {
      if (home === stampedBy) continue;
      this.#tally.ask();
      replicas.merge(home.name, this.#partition, request, timeoutMs).then(
        () => {
          this.#tally.acked(home.zone);
          this.#decide();
        },
        (error: unknown) => {
          this.#parts.telemetry.count("annulus.write.replicas_missed");
          if (!(error instanceof KvError)) return this.#fail(error);
          this.#tally.failed(error.outcome);
          this.#noteStorage(error);
          this.#decide();
        },
      );
    }
    this.#decide();
  }

  #decide(): void {
    if (this.#settled) return;
    const verdict = this.#tally.verdict();
    if (verdict === "pending") return;
    if (verdict === "lost" || this.#context === undefined) return this.#fail(this.#shortfall());
    this.#settle();
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

function unset(): never {
  throw new Error("a write was settled before it ran");
}
