/**
 * The outside world of a node, on one page: time, randomness, network, disk, telemetry.
 *
 * Services see only these types. Production gives them timers, sockets and LevelDB (`adapters/`), the simulator
 * virtual time, a seeded generator, a faulty network and a faulty disk (`test/sim/`). Each port has one contract
 * suite in `test/contract/` that every implementation passes.
 */
import type { Durability } from "./core/errors.ts";
import type { MemberId } from "./core/ring/document.ts";
import type { Reply, Request, TraceContext } from "./messages.ts";

/** A pending call of `Time.after`. Cancelling one that has run, or twice, does nothing. */
export type Timer = { cancel(): void };

export type Time = {
  /** Milliseconds since an arbitrary start; never goes back. For durations and deadlines. */
  monotonicMs(): number;
  /** Milliseconds since 1970 by a clock that may jump. For what people read and for TTLs, never for ordering. */
  wallMs(): number;
  /**
   * Runs `run` once, no earlier than `delayMs` from now; with 0, once the other events of this instant (of this turn
   * of the event loop) have been handled. `run` must not throw.
   */
  after(delayMs: number, run: () => void): Timer;
};

export type Random = {
  /** Uniform over 0 .. 2^32 − 1. */
  uint32(): number;
  /** `count` fresh random bytes, owned by the caller. */
  bytes(count: number): Uint8Array;
};

/** One pair on disk. Both arrays belong to the caller and are never changed by the engine afterwards. */
export type Entry = { readonly key: Uint8Array; readonly value: Uint8Array };

export type EngineWrite =
  | { readonly kind: "put"; readonly key: Uint8Array; readonly value: Uint8Array }
  | { readonly kind: "delete"; readonly key: Uint8Array };

/** A half-open range of keys in bytewise order, read in pages. */
export type ScanRange = {
  /** First key that may be returned. */
  readonly from: Uint8Array;
  /** First key that may not be returned. */
  readonly until: Uint8Array;
  /** At most this many entries, 1 .. 10_000. */
  readonly limit: number;
};

/**
 * An ordered store of byte strings on one disk.
 *
 * Errors are `KvError` with code STORAGE_FULL (nothing of the batch was applied, or it cannot be told; no space) or
 * STORAGE_FAILED. After an error that may have torn the log the engine takes no writes until it has made sure that
 * later writes will survive a restart.
 */
export type Engine = {
  /** The value at `key`, or undefined. The array belongs to the caller. */
  get(key: Uint8Array): Promise<Uint8Array | undefined>;
  /**
   * Applies all writes or none, in order. Resolves when the log record is with the operating system, and with
   * `sync` when it is on the disk. The arrays may not be changed until then.
   */
  batch(writes: readonly EngineWrite[], options: { readonly sync: boolean }): Promise<void>;
  /** One page of a range in ascending order; an empty or short page ends it. */
  scan(range: ScanRange): Promise<readonly Entry[]>;
  /**
   * Makes everything that was written so far survive the loss of power. A `sync` batch says that only of itself:
   * earlier batches without `sync` may lie in an older log, which a sync of the newest does not reach.
   */
  flush(): Promise<void>;
  /** Releases the disk after the calls in flight have ended. Every call after it is rejected. */
  close(): Promise<void>;
};

/** A member as the transport needs it. */
export type PeerAddress = {
  readonly name: MemberId;
  /** `host:port` of its peer listener. */
  readonly address: string;
};

/** What a peer said of itself in the handshake, checked against the cluster id and the protocol version. */
export type PeerIdentity = {
  readonly name: MemberId;
  /** 32 hex digits: the id of its data directory. */
  readonly actor: string;
  readonly incarnation: number;
  /** When a write counts as durable there; undefined where its release does not say. */
  readonly durability?: Durability | undefined;
};

/**
 * Answers one request of a peer. A rejection with a `KvError` is sent back as a failure reply. `budgetMs` is how long
 * the peer still waits. A handler may not itself wait for an answer of the same peer: that one could stand behind it.
 */
export type RequestHandler = (from: PeerIdentity, request: Request, budgetMs: number) => Promise<Reply>;

/**
 * Requests and replies between members over one persistent connection per pair.
 *
 * `request` rejects with a `KvError`: PEER_UNREACHABLE with outcome "none" when the request surely was not
 * delivered (no link, queue full: OVERLOADED), with outcome "unknown" when the link broke after it was sent;
 * TIMED_OUT (outcome "unknown") when no reply came in time; or whatever error the peer answered with.
 */
export type Transport = {
  /** Starts to listen and to answer with `handler`. */
  start(handler: RequestHandler): Promise<void>;
  /** The peers to keep links with; links to others are closed when idle. */
  setPeers(peers: readonly PeerAddress[]): void;
  /** Sends one request; the peer is told how much of `timeoutMs` is left and drops work that came too late. */
  request(to: MemberId, request: Request, timeoutMs: number): Promise<Reply>;
  /** Asks a peer that is known by address only (a seed), over a short-lived link. */
  ask(address: string, request: Request, timeoutMs: number): Promise<Reply>;
  /** Whether a handshaken link to the member stands. */
  isLinked(to: MemberId): boolean;
  /** What the member said of itself when it was last linked, or undefined. */
  identityOf(member: MemberId): PeerIdentity | undefined;
  /** Stops listening, answers what is in flight, closes all links. */
  stop(): Promise<void>;
};

export type LogLevel = "debug" | "info" | "warn" | "error";

/** What a gauge shows: one number, or one for each value of an attribute, for instance for each member. */
export type GaugeReading = number | ReadonlyMap<string, number>;

/**
 * Metrics and logs. Names are those of `docs/operations.md`. `count` and `observe` are called on the hot
 * path: an implementation adds to a number and does the rest when it is asked for the figures.
 */
/** Something that takes time, as one line of a trace. */
export type Span = {
  /** What goes to whoever works for it. Never changed. */
  readonly context: TraceContext;
  /** @param attributes What is known at its end. `error.type` marks it as failed. */
  end(attributes?: Readonly<Record<string, string | number>>): void;
};

/** Traces, where they are on. Nothing that decides depends on them; ids and sampling are the implementation's. */
export type Tracer = {
  /** Begins the span of a client's request, unless it is not sampled: then there is nothing more to do for it. */
  receive(method: string, traceparent: string | undefined): Span | undefined;
  /** Begins a span under another: `client` asks a replica, `server` is the replica. */
  begin(kind: "client" | "server", operation: string, parent: TraceContext, member: string): Span;
};

export type Telemetry = {
  /** Undefined while traces are off: that is all that they cost then. */
  readonly tracer?: Tracer | undefined;
  /**
   * Adds to a counter that only grows.
   *
   * @param name A path of words, with attributes in braces where the figure has any: `path.of.words{attribute=value}`.
   */
  count(name: string, amount?: number): void;
  /** Records one value of a distribution, for example a duration in ms. */
  observe(name: string, value: number): void;
  /** Registers a figure that is read when metrics are collected. */
  gauge(name: string, read: () => GaugeReading): void;
  log(level: LogLevel, event: string, fields?: Readonly<Record<string, unknown>>): void;
};

/** All that a node needs of the world. */
export type Ports = {
  readonly time: Time;
  readonly random: Random;
  readonly engine: Engine;
  readonly transport: Transport;
  readonly telemetry: Telemetry;
};
