/**
 * Makes writes durable in groups: all that arrived during the last flush go into one engine batch (design §5).
 *
 * One batch is in flight at a time and batches go in the order of arrival, so the disk always holds a prefix of what
 * was submitted. A flush starts at the end of the present turn of the event loop, which lets everything that one
 * round of network reads brought share it: an engine call costs far more than a write within it.
 *
 * Later writes are computed on top of earlier ones that are still on their way. So when a batch fails, everything
 * behind it fails too, and listeners hear of it first, to forget what was pending; writes submitted after that start
 * afresh. What failed with an unknown outcome may surface when the engine opens its store anew, and somebody may read it there
 * before the next batch: so that opening is asked for with a batch of nothing, listeners hear of it, and what was computed before
 * it is refused. All writes of a group share one promise: nothing is allocated per write.
 *
 * On a full disk removals still go through, and are what frees it: for a while after a refusal nothing that needs room is
 * taken, for a removal in the same group, or behind it, would fail with it, and under load all of them did.
 */
import { KvError } from "../core/errors.ts";
import { isMetaKey, metaKey } from "../core/keyspace.ts";
import type { Engine, EngineWrite, Telemetry, Time } from "../ports.ts";

/** Changes nothing, whether it goes through or not: written to learn that the store takes writes. */
export const NOTHING: EngineWrite = { kind: "delete", key: metaKey("nothing") };

export type GroupCommitOptions = {
  /** Whether a write is durable only once it is on the disk, rather than with the operating system. */
  readonly sync: boolean;
  /**
   * While writes come quickly, flushes begin at least this many ms apart: each costs the same trip through a thread
   * pool whether it carries one write or fifty. Larger: less CPU for each write, later acknowledgements under load. A
   * write that comes alone never waits for it.
   */
  readonly intervalMs: number;
  /** Bytes of keys and values from which a group takes no more writes; larger: fewer flushes, longer ones. */
  readonly batchBytesMax: number;
  /** Bytes that may wait or be in flight; a write beyond is refused. At least `batchBytesMax`. */
  readonly queueBytesMax: number;
  /**
   * While the oldest write has waited longer than this, in ms, further ones are refused: they would wait as long, and
   * whoever sent them would not. How many bytes that is depends on the disk.
   */
  readonly queueMsMax: number;
};

export type GroupCommit = {
  /**
   * Submits one write, or several that reach the disk together or not at all. The arrays are the callee's until the
   * promise settles. Resolves once durable.
   *
   * Rejects with STORAGE_FULL or STORAGE_FAILED: the batch failed (outcome as the engine says), or one before it did, or the
   * store was opened anew after that (outcome "none").
   *
   * @throws {KvError} At once and not as a rejection, so that nobody may build upon the write. OVERLOADED: too much waits, or
   *   has for too long. STORAGE_FULL: the disk was full a moment ago, and the write needs room.
   */
  write(writes: EngineWrite | readonly EngineWrite[]): Promise<void>;
  /** Calls `listener` when a batch failed, before any write is told and before any further one is taken. */
  onFailure(listener: () => void): void;
  /**
   * Calls `listener` when the store is open anew after a failure of unknown outcome, before anybody is told: what failed has
   * surfaced by then, or never will.
   */
  onRecovery(listener: () => void): void;
  /** Resolves when everything submitted so far has ended, well or not. */
  drain(): Promise<void>;
  /** Takes no more writes (they throw NOT_READY, at once) and resolves as `drain`. */
  close(): Promise<void>;
};

type Group = {
  readonly writes: EngineWrite[];
  bytes: number;
  readonly firstMs: number;
  readonly promise: Promise<void>;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
};

/** @param ports `time` gives a flush's start the end of the present turn: its delay of 0 must not be a whole ms. */
export function createGroupCommit(
  ports: { readonly engine: Engine; readonly time: Time; readonly telemetry: Telemetry },
  { sync, intervalMs, batchBytesMax, queueBytesMax, queueMsMax }: GroupCommitOptions,
): GroupCommit {
  const { engine, time, telemetry } = ports;
  const batchOptions = { sync };
  /** Groups that are not in flight, in order; the last one takes writes. */
  let waiting: Group[] = [];
  let inFlight: Group | undefined;
  let scheduled = false;
  let closed = false;
  let queuedBytes = 0;
  let listeners: readonly (() => void)[] = [];
  let recoveryListeners: readonly (() => void)[] = [];
  /** Something failed that may surface. */
  let isDoubtful = false;
  /** What a full disk said, and until when it is taken to be as full as that. */
  let full: KvError | undefined;
  let fullUntilMs = Number.NEGATIVE_INFINITY;
  telemetry.gauge("annulus.commit.queued_bytes", () => queuedBytes);

  let flushedMs = Number.NEGATIVE_INFINITY;
  let arrivedMs = Number.NEGATIVE_INFINITY;
  /** Running mean of the time between two writes. */
  let gapMs = Number.POSITIVE_INFINITY;

  function noteArrival(nowMs: number): void {
    const lastMs = Math.min(nowMs - arrivedMs, GAP_MS_MAX);
    gapMs = gapMs === Number.POSITIVE_INFINITY ? GAP_MS_MAX : gapMs + (lastMs - gapMs) * GAP_SHARE;
    arrivedMs = nowMs;
  }

  /** How long the next flush waits for company: not at all unless several more writes are likely to come meanwhile. */
  function patienceMs(nowMs: number): number {
    if (gapMs * COMPANY_MIN > intervalMs) return 0;
    return Math.max(0, flushedMs + intervalMs - nowMs);
  }

  function schedule(): void {
    if (scheduled || inFlight !== undefined) return;
    scheduled = true;
    time.after(patienceMs(time.monotonicMs()), flush);
  }

  function flush(): void {
    scheduled = false;
    const group = waiting.shift();
    if (group === undefined) return;
    inFlight = group;
    flushedMs = time.monotonicMs();
    if (!isDoubtful) return begin(group, flushedMs);
    engine.batch([NOTHING], batchOptions).then(
      () => surface(group),
      (error: unknown) => fail(group, error),
    );
  }

  function begin(group: Group, startMs: number): void {
    engine.batch(group.writes, batchOptions).then(
      () => succeed(group, startMs),
      (error: unknown) => fail(group, error),
    );
  }

  /** The store is open anew, and what failed is there or never will be: what was computed before would replace it unseen. */
  function surface(group: Group): void {
    isDoubtful = false;
    const refused = waiting;
    waiting = [];
    inFlight = undefined;
    queuedBytes = 0;
    // What the node keeps for itself is computed from nothing that is stored.
    if (group.writes.every(({ key }) => isMetaKey(key))) {
      inFlight = group;
      queuedBytes = group.bytes;
    } else refused.unshift(group);
    for (const listener of listeners) listener();
    for (const listener of recoveryListeners) listener();
    for (const next of refused) next.reject(openedAnew());
    if (inFlight === group) begin(group, time.monotonicMs());
    else if (waiting.length > 0) schedule();
  }

  function succeed(group: Group, startMs: number): void {
    telemetry.observe("annulus.commit.flush.duration", time.monotonicMs() - startMs);
    telemetry.observe("annulus.commit.group_writes", group.writes.length);
    inFlight = undefined;
    queuedBytes -= group.bytes;
    if (waiting.length > 0) schedule();
    group.resolve();
  }

  function fail(group: Group, error: unknown): void {
    telemetry.count("annulus.commit.failures");
    const behind = waiting;
    inFlight = undefined;
    waiting = [];
    queuedBytes = 0;
    isDoubtful ||= !(error instanceof KvError) || error.outcome === "unknown";
    if (error instanceof KvError && error.code === "STORAGE_FULL") {
      full = error;
      fullUntilMs = time.monotonicMs() + FULL_PAUSE_MS;
    }
    for (const listener of listeners) listener();
    group.reject(error);
    for (const next of behind) next.reject(failedBefore(error));
  }

  /** How long the oldest write has been waiting. */
  function waitedMs(nowMs: number): number {
    const oldest = inFlight ?? waiting[0];
    return oldest === undefined ? 0 : nowMs - oldest.firstMs;
  }

  function groupFor(bytes: number, nowMs: number): Group {
    const last = waiting.at(-1);
    if (last !== undefined && last.bytes + bytes <= batchBytesMax) return last;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const group: Group = { writes: [], bytes: 0, firstMs: nowMs, promise, resolve, reject };
    waiting.push(group);
    return group;
  }

  async function drain(): Promise<void> {
    // Groups end in order, and a failure ends all of them: the last one's end is everybody's.
    await Promise.allSettled([(waiting.at(-1) ?? inFlight)?.promise]);
  }

  return {
    write(writes) {
      if (closed) throw new KvError("NOT_READY", "Cannot write: this node is stopping.");
      const bytes = "kind" in writes ? sizeOf(writes) : sizeOfAll(writes);
      const nowMs = time.monotonicMs();
      if (full !== undefined && nowMs < fullUntilMs && needsRoom(writes)) throw failedBefore(full);
      if (queuedBytes > 0 && (queuedBytes + bytes > queueBytesMax || waitedMs(nowMs) > queueMsMax)) {
        telemetry.count("annulus.commit.refused");
        throw queueFull(queuedBytes, waitedMs(nowMs));
      }
      noteArrival(nowMs);
      const group = groupFor(bytes, nowMs);
      if ("kind" in writes) group.writes.push(writes);
      else for (const write of writes) group.writes.push(write);
      group.bytes += bytes;
      queuedBytes += bytes;
      schedule();
      return group.promise;
    },
    onFailure(listener) {
      listeners = [...listeners, listener];
    },
    onRecovery(listener) {
      recoveryListeners = [...recoveryListeners, listener];
    },
    drain,
    close() {
      closed = true;
      return drain();
    },
  };
}

/** Writes that have to be likely within an interval before a flush waits for them. */
const COMPANY_MIN = 2;
/** Weight of the newest gap in the running mean, and the longest gap that counts, in ms. */
const GAP_SHARE = 1 / 16;
const GAP_MS_MAX = 100;
/** How long a full disk belongs to the removals alone, in ms. Space that came back is used so much later at the most. */
const FULL_PAUSE_MS = 100;

function sizeOf(write: EngineWrite): number {
  return write.kind === "put" ? write.key.length + write.value.length : write.key.length;
}

function sizeOfAll(writes: readonly EngineWrite[]): number {
  let bytes = 0;
  for (const write of writes) bytes += sizeOf(write);
  return bytes;
}

/** Whether a full disk would refuse it; what the node itself needs has a reserve. */
function needsRoom(writes: EngineWrite | readonly EngineWrite[]): boolean {
  if ("kind" in writes) return writes.kind === "put" && !isMetaKey(writes.key);
  return writes.some((write) => write.kind === "put" && !isMetaKey(write.key));
}

function queueFull(queuedBytes: number, waitedMs: number): KvError {
  return new KvError(
    "OVERLOADED",
    `Cannot queue the write: too much waits for the disk, ${queuedBytes} bytes, the first for ${Math.round(waitedMs)} ms.`,
    { details: { retryAfterS: 1 } },
  );
}

function openedAnew(): KvError {
  return new KvError(
    "STORAGE_FAILED",
    "Cannot write: a write before it failed, and may be on the disk after all since the store was opened anew. Try again",
  );
}

/** A write that was never handed to the engine, because one that it may build on has failed. */
function failedBefore(error: unknown): unknown {
  if (!(error instanceof KvError)) return error;
  return new KvError(error.code, `Cannot write: a write before it failed (${error.message})`, { cause: error });
}
