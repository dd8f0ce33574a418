/** Coordinates one client request: who is asked, what counts, when to answer. */
import { KvError, type Receipt } from "../core/errors.ts";
import type { AdaptiveLimit, RequestEnd } from "../core/overload/adaptive-limit.ts";
import type { Mode } from "../core/ring/document.ts";
import type { Ring } from "../core/ring/ring.ts";
import { findByDot } from "../core/version/closure.ts";
import { decodeContext, decodeToken, encodeContext, encodeToken } from "../core/version/context-codec.ts";
import { type CausalContext, isEvent, type Sibling, type WriteEvent } from "../core/version/record.ts";
import { decodeRecord } from "../core/version/record-codec.ts";
import { type RecordView, viewRecord } from "../core/version/view.ts";
import type { EventName, TraceContext, WriteBase } from "../messages.ts";
import { type Choices, resolveOptions } from "./options.ts";
import { type ReadParts, runRead } from "./read.ts";
import { RingChanged, type WriteSoFar } from "./ring-changed.ts";
import { runWrite, type WriteCommand, type WriteParts } from "./write.ts";

/** Per-request choices; what is undefined comes from the ring document and the configuration. */
export type RequestOptions = {
  /** Replies that a read waits for, 1 .. N. */
  readonly readQuorum?: number | undefined;
  /** Acknowledgements that a write waits for, 1 .. N. */
  readonly writeQuorum?: number | undefined;
  readonly mode?: Mode | undefined;
  /** The acknowledgements that count must come from at least this many zones. */
  readonly zones?: number | undefined;
  readonly timeoutMs?: number | undefined;
  /** Under which span of a sampled trace this is done. */
  readonly trace?: TraceContext | undefined;
};

/** What a write replaces. A context is the token as the client sent it. */
export type Base = { readonly context: string } | "overwrite" | "sibling";

export type PutCommand = {
  readonly key: Uint8Array;
  /** Owned by the callee from here on. */
  readonly value: Uint8Array;
  readonly contentType: string;
  readonly base: Base;
  readonly ttlS?: number | undefined;
  /** Client's Idempotency-Key, 1 .. 64 bytes. */
  readonly idempotencyKey?: Uint8Array | undefined;
  /** Nothing was sent under this `idempotencyKey` before: it need not be looked for. */
  readonly isFirstAttempt?: boolean | undefined;
  /** `If-None-Match: *`. */
  readonly onlyIfAbsent?: boolean | undefined;
};

export type DeleteCommand = {
  readonly key: Uint8Array;
  /** Undefined is a blind delete: it deletes what a read would see now. */
  readonly context?: string | undefined;
  readonly idempotencyKey?: Uint8Array | undefined;
};

export type ReadAnswer = {
  /**
   * What a client is shown, in the order that is the same on every node: empty when the key was never written;
   * only tombstones (or one) when it is deleted; equal concurrent values once.
   */
  readonly siblings: readonly Sibling[];
  /** Token of everything the read saw; undefined when the key was never written. */
  readonly context: string | undefined;
  readonly receipt: Receipt;
};

export type WriteAnswer = {
  /** Token that covers exactly what was written and what it replaced. */
  readonly context: string;
  readonly receipt: Receipt;
};

/** The data API behind HTTP. Every method rejects with a `KvError` and with nothing else but a failed assertion. */
export type Coordinator = {
  get(key: Uint8Array, options: RequestOptions): Promise<ReadAnswer>;
  put(command: PutCommand, options: RequestOptions): Promise<WriteAnswer>;
  delete(command: DeleteCommand, options: RequestOptions): Promise<WriteAnswer>;
  /** Whether a request would be refused at once, for too many are in work. Asked before anything is read of it. */
  isFull(kind: "read" | "write"): boolean;
};

export type CoordinatorParts = WriteParts &
  ReadParts & {
    readonly ring: () => Ring;
    /** Is told how long each quorum took that was reached, in ms: background work gives way when clients wait longer. */
    readonly served: (latencyMs: number) => void;
    /** How many requests may be in work. Requests of peers are not counted: one node's wait may not be another's. */
    readonly limits: { readonly reads: AdaptiveLimit; readonly writes: AdaptiveLimit };
  };

/**
 * @param parts Where the ring, the replicas, time and randomness come from.
 * @param defaults `timeoutMs`: how long a client waits when it does not say.
 */
export function createCoordinator(parts: CoordinatorParts, defaults: { readonly timeoutMs: number }): Coordinator {
  const { time, telemetry } = parts;
  const { reads, writes } = parts.limits;
  telemetry.gauge("annulus.coordinator.reads_in_flight", () => reads.inFlight);
  telemetry.gauge("annulus.coordinator.reads_limit", () => reads.limit);
  telemetry.gauge("annulus.coordinator.writes_in_flight", () => writes.inFlight);
  telemetry.gauge("annulus.coordinator.writes_limit", () => writes.limit);

  function enter(limit: AdaptiveLimit): void {
    if (limit.tryEnter()) return;
    telemetry.count("annulus.coordinator.refused");
    throw OVERLOADED;
  }

  function leave(limit: AdaptiveLimit, startedMs: number, names: DurationNames, error: unknown): void {
    const nowMs = time.monotonicMs();
    const end = endOf(error);
    limit.leave(startedMs, nowMs, end);
    telemetry.observe(end === "served" ? names.served : names.failed(error), nowMs - startedMs);
    if (end === "served") parts.served(nowMs - startedMs);
  }

  /** What a request asks for, by this ring. A later one may be unable to give that, and what was begun is there all the same. */
  function choicesBy(ring: Ring, options: RequestOptions, soFar: WriteSoFar | undefined): Choices {
    try {
      return resolveOptions(ring, options, defaults);
    } catch (cause) {
      const mayBeThere = soFar !== undefined && (soFar.isUnknown || soFar.stamped !== undefined);
      if (!(cause instanceof KvError) || !mayBeThere) throw cause;
      throw new KvError("QUORUM_LOST", `Cannot confirm the write: the ring has changed meanwhile. ${cause.message}`, {
        outcome: "unknown",
        details: { retryAfterS: 1 },
        cause,
      });
    }
  }

  /** Runs a request by the ring in force, and again by a later one that it meets, within its time. */
  async function byTheLatestRing<Result>(
    options: RequestOptions,
    run: (ring: Ring, choices: Choices, soFar: WriteSoFar | undefined) => Promise<Result>,
  ): Promise<Result> {
    const startedMs = parts.time.monotonicMs();
    let left = options;
    let soFar: WriteSoFar | undefined;
    for (;;) {
      const ring = parts.ring();
      const choices = choicesBy(ring, left, soFar);
      try {
        return await run(ring, choices, soFar);
      } catch (error) {
        if (!(error instanceof RingChanged)) throw error;
        soFar = error.soFar;
        left = lessTime(options, startedMs);
      }
    }
  }

  async function read(key: Uint8Array, options: RequestOptions): Promise<Seen> {
    enter(reads);
    const startedMs = time.monotonicMs();
    let failure: unknown;
    try {
      const { record, receipt } = await byTheLatestRing(options, (ring, choices) => runRead(parts, ring, key, choices));
      const decoded = record === undefined ? undefined : decodeRecord(record);
      const view = viewRecord(decoded, time.wallMs());
      telemetry.observe("annulus.read.siblings", view.siblings.length);
      const { siblings = [], events = [] } = decoded ?? {};
      return { view, everWritten: decoded !== undefined, siblings, events, receipt };
    } catch (error) {
      failure = error;
      throw error;
    } finally {
      leave(reads, startedMs, DURATION.get, failure);
    }
  }

  async function write(command: Omit<WriteCommand, "ring">, options: RequestOptions): Promise<WriteAnswer> {
    enter(writes);
    const startedMs = time.monotonicMs();
    let failure: unknown;
    try {
      const { context, receipt } = await byTheLatestRing(options, (ring, choices, soFar) =>
        runWrite(parts, { ...command, ring, soFar }, choices),
      );
      return { context: encodeToken(decodeContext(context), command.key), receipt };
    } catch (error) {
      failure = error;
      throw error;
    } finally {
      leave(writes, startedMs, command.content.value === undefined ? DURATION.delete : DURATION.put, failure);
    }
  }

  /**
   * A blind overwrite whose first try may have been acknowledged. The home that stamps it may have missed that, and would
   * stamp it once more over what came after it; so others are asked first whether it is known. Where too few answer, a
   * strict write is refused, and a sloppy one, which may be new, goes on.
   */
  async function overwriteOnce(
    { key, content, event }: Omit<WriteCommand, "ring" | "base"> & { readonly event: EventName },
    options: RequestOptions,
  ): Promise<WriteAnswer> {
    const startedMs = time.monotonicMs();
    const isSloppy = (options.mode ?? parts.ring().document.mode) === "sloppy";
    const timeoutMs = (options.timeoutMs ?? defaults.timeoutMs) * LOOKING_SHARE;
    const known = await (isSloppy ? read(key, { ...options, timeoutMs }).catch(unlessUnheard) : read(key, options));
    const earlier = known && stampedBefore(known.events, event);
    const left = lessTime(options, startedMs);
    if (known === undefined || earlier === undefined)
      return write({ key, base: writeBase("overwrite", key), content, event }, left);
    // Where it is stamped again it has the life that it was given first.
    const first = findByDot(known.siblings, earlier.dot);
    const again = first === undefined ? content : { ...content, expiresAtMs: first.expiresAtMs };
    return write({ key, base: baseAgain(earlier), content: again, event }, left);
  }

  /** What is left for the write after a read that came first took its part of the client's patience. */
  function lessTime(options: RequestOptions, startedMs: number): RequestOptions {
    const timeoutMs = (options.timeoutMs ?? defaults.timeoutMs) - (parts.time.monotonicMs() - startedMs);
    return { ...options, timeoutMs: Math.max(1, timeoutMs) };
  }

  return {
    isFull: (kind) => (kind === "read" ? reads : writes).isFull,

    async get(key, options) {
      const { view, everWritten, receipt } = await read(key, options);
      const context = everWritten ? encodeToken(view.context, key) : undefined;
      return { siblings: view.siblings, context, receipt };
    },

    async put(command, options) {
      const { key, value, contentType, idempotencyKey } = command;
      const expiresAtMs = command.ttlS === undefined ? undefined : parts.time.wallMs() + command.ttlS * 1000;
      const content = { value, contentType, expiresAtMs };
      const event = clientEvent(idempotencyKey);
      const base = writeBase(command.base, key);
      if (command.onlyIfAbsent !== true) {
        const mayBeRepeated = event !== undefined && base.kind === "overwrite" && command.isFirstAttempt !== true;
        if (mayBeRepeated) return overwriteOnce({ key, content, event }, options);
        return write({ key, base, content, event }, options);
      }
      const startedMs = parts.time.monotonicMs();
      const { view, events, receipt } = await read(key, options);
      // Under its name this may be the very write that made the key: it is acknowledged once more then, and not stamped again.
      const earlier = stampedBefore(events, event);
      if (earlier === undefined && view.siblings.some((sibling) => sibling.value !== undefined)) {
        throw new KvError("PRECONDITION_FAILED", "Cannot write: If-None-Match is *, and the key has a value.", {
          details: { receipt },
        });
      }
      // On what was read and nothing else: of two writers that race here, neither replaces the other unseen.
      const seen = earlier === undefined ? contextBase(view.context) : baseAgain(earlier);
      return write({ key, base: base.kind === "context" ? base : seen, content, event }, lessTime(options, startedMs));
    },

    async delete({ key, context, idempotencyKey }, options) {
      const content = { value: undefined, contentType: "", expiresAtMs: undefined };
      const event = clientEvent(idempotencyKey);
      if (context !== undefined) return write({ key, base: writeBase({ context }, key), content, event }, options);
      const startedMs = parts.time.monotonicMs();
      const { view, events } = await read(key, options);
      // Under its name it may have been stamped before: what it shows now may have come after it, and stays.
      const earlier = stampedBefore(events, event);
      const base = earlier === undefined ? contextBase(view.context) : baseAgain(earlier);
      return write({ key, base, content, event }, lessTime(options, startedMs));
    },
  };
}

/** What a read found, before it is shaped for a client. */
type Seen = {
  readonly view: RecordView;
  readonly everWritten: boolean;
  /** All that are held, also those whose life has ended. */
  readonly siblings: readonly Sibling[];
  readonly events: readonly WriteEvent[];
  readonly receipt: Receipt;
};

/** Of a sloppy write's time, what may go by while it is looked for under its name. */
const LOOKING_SHARE = 0.5;

/** Undefined where too few replicas answered in time; any other failure is one. */
function unlessUnheard(error: unknown): undefined {
  const isUnheard =
    error instanceof KvError &&
    (error.code === "QUORUM_UNAVAILABLE" || error.code === "QUORUM_LOST" || error.code === "TIMED_OUT");
  if (!isUnheard) throw error;
}

/** Made once: under overload an error with its stack would be the dearest part of saying no. */
const OVERLOADED = new KvError(
  "OVERLOADED",
  "Cannot take the request: as many are in work here as can be served in time; repeat it later or elsewhere.",
  { details: { retryAfterS: 1 } },
);

/** Names of `annulus.quorum.duration` with their attributes, ready to be used. */
type DurationNames = { readonly served: string; readonly failed: (error: unknown) => string };

function durationNames(operation: string): DurationNames {
  const name = (outcome: string) => `annulus.quorum.duration{operation=${operation},outcome=${outcome}}`;
  return {
    served: name("ok"),
    failed: (error) => name(error instanceof KvError ? error.code.toLowerCase() : "bug"),
  };
}

const DURATION = { get: durationNames("get"), put: durationNames("put"), delete: durationNames("delete") } as const;

function endOf(error: unknown): RequestEnd {
  if (error === undefined) return "served";
  return error instanceof KvError && error.code === "TIMED_OUT" ? "expired" : "refused";
}

function clientEvent(id: Uint8Array | undefined): EventName | undefined {
  return id === undefined ? undefined : { kind: "client", id };
}

/** What a write was stamped as before under its name; undefined where it was not, or has none. */
function stampedBefore(events: readonly WriteEvent[], event: EventName | undefined): WriteEvent | undefined {
  return event === undefined ? undefined : events.find((held) => isEvent(held, event));
}

/**
 * What a write that was stamped before replaces where it is stamped again, at a home that may have missed that: what it had
 * replaced, and nothing that came after it. That is forgotten once its value is replaced; then the new stamp falls with it.
 */
function baseAgain({ past }: WriteEvent): WriteBase {
  return past === undefined ? { kind: "sibling" } : contextBase(past);
}

function writeBase(base: Base, key: Uint8Array): WriteBase {
  return typeof base === "string" ? { kind: base } : contextBase(decodeToken(base.context, key));
}

function contextBase(context: CausalContext): WriteBase {
  return { kind: "context", context: encodeContext(context) };
}
