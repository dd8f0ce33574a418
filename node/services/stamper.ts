/**
 * Has one home give a write its dot: the best one, or the next when that one surely did not or stays silent; where no
 * home that is up is left, a stand-in.
 *
 * A write that leaves this node carries an event name from then on, the same for every member that it is sent to, so that
 * trying the next one after silence makes the same event (basho/riak_kv#1754). Design §4: the dot is made by a home replica.
 */
import { KvError } from "../core/errors.ts";
import { StandIns, stampOrder } from "../core/quorum/targets.ts";
import type { WriteTally } from "../core/quorum/write-tally.ts";
import type { RingMember } from "../core/ring/document.ts";
import type { EventName, StampRequest, TraceContext } from "../messages.ts";
import { underTrace } from "./options.ts";
import type { StampResult } from "./replica.ts";
import type { WriteCommand, WriteParts } from "./write.ts";

export type StamperOptions = {
  readonly command: WriteCommand;
  readonly partition: number;
  /** Who may stand in, in order; nobody in strict mode. */
  readonly walk: readonly RingMember[];
  readonly deadlineMs: number;
  /** Is told when a member that was asked may have stamped. */
  readonly tally: WriteTally;
  /** Whether the client has its answer. */
  readonly isOver: () => boolean;
  /** Is told of every refusal. */
  readonly refused: (error: KvError) => void;
  /** Whether a member that refused goes by a later ring, by which the write begins again. */
  readonly isChanged: (member: RingMember) => Promise<boolean>;
  /** What the client is told when nobody stamped. */
  readonly shortfall: () => KvError;
  /** Under which span the stamping member is asked. */
  readonly trace: TraceContext | undefined;
};

export type Stamped = {
  readonly by: RingMember;
  /** The home that it stands in for, if it does. */
  readonly hintFor: string | undefined;
  readonly result: StampResult;
};

/** Share of the time left that a home may take to stamp while another home could do it instead. */
const STAMP_PATIENCE = 0.4;
const FORWARD_ID_BYTES = 8;
const NOBODY: readonly RingMember[] = [];

/** Errors that another home replica would answer with too: the client is told at once. */
const FINAL_CODES: ReadonlySet<string> = new Set(["CONFLICT", "INVALID_CONTEXT", "INVALID_REQUEST", "TOO_LARGE"]);

/** The stamping of one write, from the first member asked to the one that did it. */
export class Stamper {
  readonly #parts: WriteParts;
  readonly #options: StamperOptions;
  readonly #homes: readonly RingMember[];
  #event: EventName | undefined;
  #isInFlight = false;

  constructor(parts: WriteParts, options: StamperOptions) {
    const { ring, soFar, event } = options.command;
    this.#parts = parts;
    this.#options = options;
    this.#homes = ring.homes(options.partition);
    this.#event = soFar?.event ?? event;
  }

  /** The write's name, once it has one. */
  get event(): EventName | undefined {
    return this.#event;
  }

  /** Whether somebody is being asked now. */
  get isInFlight(): boolean {
    return this.#isInFlight;
  }

  /**
   * @returns Who stamped; undefined when the write is over meanwhile.
   * @throws {KvError} What the client is to be told.
   */
  async run(): Promise<Stamped | undefined> {
    const { replicas, isUp, time, telemetry } = this.#parts;
    const { command, partition, deadlineMs, tally } = this.#options;
    const blindOverwrite = command.base.kind === "overwrite";
    let order = stampOrder(this.#homes, { self: replicas.self, isUp, blindOverwrite });
    let standIns = this.#options.walk;
    const isUpAt = (i: number): boolean => {
      const member = order[i];
      return member !== undefined && isUp(member.name);
    };
    let firstError: KvError | undefined;
    for (let i = 0; !this.#options.isOver(); i++) {
      if (standIns.length > 0 && !isUpAt(i)) {
        // No home that is up is left: stand-ins come before those thought down, which cost a timeout each.
        const free = new StandIns(standIns, isUp).free.slice(0, this.#homes.length);
        order = [...order.slice(0, i), ...free, ...order.slice(i)];
        standIns = NOBODY;
      }
      const member = order[i];
      if (member === undefined) break;
      const request = this.#requestTo(member);
      const leftMs = deadlineMs - time.monotonicMs();
      const isLast = !isUpAt(i + 1) && !standIns.some(({ name }) => isUp(name));
      this.#isInFlight = true;
      try {
        const patienceMs = isLast ? leftMs : leftMs * STAMP_PATIENCE;
        const result = await replicas.stamp(member.name, partition, request, patienceMs);
        return { by: member, hintFor: request.hintFor, result };
      } catch (error) {
        if (!(error instanceof KvError)) throw error;
        if (error.outcome === "unknown") tally.noteUnknown();
        if (error.code === "STALE_RING" && (await this.#options.isChanged(member))) return undefined;
        if (FINAL_CODES.has(error.code)) throw tally.outcome === "unknown" ? this.#options.shortfall() : error;
        this.#options.refused(error);
        firstError ??= error;
        telemetry.count("annulus.write.stamp_retries");
        // Without a name for the event a second stamp would be a second write.
        if (error.outcome === "unknown" && request.event === undefined) break;
      } finally {
        this.#isInFlight = false;
      }
    }
    throw tally.outcome === "none" && firstError !== undefined && isOwnWord(firstError)
      ? firstError
      : this.#options.shortfall();
  }

  #requestTo(member: RingMember): StampRequest {
    const { base, content, key, ring } = this.#options.command;
    if (this.#event === undefined && member.name !== this.#parts.replicas.self) {
      this.#event = { kind: "forward", id: this.#parts.random.bytes(FORWARD_ID_BYTES) };
    }
    const request: StampRequest = { kind: "stamp", epoch: ring.epoch, key, base, content, event: this.#event };
    const traced = underTrace(request, this.#options.trace);
    if (this.#homes.includes(member)) return traced;
    const home = this.#homes.find(({ zone }) => zone === member.zone) ?? (this.#homes[0] as RingMember);
    return { ...traced, hintFor: home.name };
  }
}

/** Errors of a replica that say more to the client than "too few replicas". */
function isOwnWord(error: KvError): boolean {
  return error.code === "STORAGE_FULL" || error.code === "STORAGE_FAILED" || error.code === "OVERLOADED";
}
