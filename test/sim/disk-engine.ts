/** The handle on a simulated disk: what a node's store does with it, call by call, in virtual time. See disk.ts. */
import { KvError } from "../../node/core/errors.ts";
import { isMetaKey } from "../../node/core/keyspace.ts";
import type { Engine, EngineWrite, Entry, ScanRange, Time, Timer } from "../../node/ports.ts";
import type { DiskContents } from "./disk-contents.ts";
import type { DiskCounters, DiskFaults, DurationRangeMs } from "./disk-faults.ts";
import { inherit } from "./disk-records.ts";
import type { SeededRandom } from "./random.ts";

/** How long the store takes no writes after one failed, in ms of virtual time; as the real engine. */
const REOPEN_INTERVAL_MS = 1_000;

/** What the disk and the handle on it share. */
export type SharedDisk = {
  readonly time: Time;
  readonly random: SeededRandom;
  readonly counters: DiskCounters;
  contents: DiskContents;
  faults: DiskFaults;
  capacityBytes: number;
  writesToFail: number;
  readsToFail: number;
  /** A batch that failed and may surface when the store is opened again. */
  torn: readonly EngineWrite[] | undefined;
  inNextBatch: (() => void) | undefined;
  /** Ends of calls that wait while the disk hangs; undefined while it does not. */
  hung: (() => void)[] | undefined;
};

/** What opening a store does: a batch that failed half-way is found whole in the log, or dropped. */
export function replayLogs(shared: SharedDisk): void {
  const { torn } = shared;
  shared.torn = undefined;
  if (torn !== undefined && shared.random.chance([1, 2])) {
    shared.contents.apply(torn, { logBytesMax: Number.POSITIVE_INFINITY, atMs: shared.time.monotonicMs() });
    shared.counters.failedWritesSurfaced++;
  }
  shared.contents.syncAll();
}

/** One at a time and in order, as in the real engine. */
type Job = {
  readonly kind: "batch" | "flush";
  readonly writes: readonly EngineWrite[];
  readonly sync: boolean;
  readonly resolve: () => void;
  readonly reject: (error: KvError) => void;
  /** The disk has done it, or refused to; the process has not heard of it yet. */
  isOver: boolean;
};

/**
 * One open handle.
 *
 * What the disk does is done in its own time, also under a process that is held up; what the process hears of it comes in the
 * process's own, or never. As in the real engine, the next batch goes to the disk once the process has heard of the last.
 */
export class SimulatedEngine implements Engine {
  readonly #shared: SharedDisk;
  /** Of the process that holds the handle. */
  readonly #own: Time;
  readonly #released: () => void;
  readonly #timers = new Set<Timer>();
  /** The first is being done. */
  #jobs: Job[] = [];
  #dead = false;
  #callsInFlight = 0;
  #readsInFlight = 0;
  #readsWaiting: (() => void)[] = [];
  #whenIdle: (() => void) | undefined;
  #closing: Promise<void> | undefined;
  #failedAtMs: number | undefined;

  /** @param own Time of the process that holds the handle: it hears of nothing while that stands still. */
  constructor(shared: SharedDisk, own: Time, released: () => void) {
    this.#shared = shared;
    this.#own = own;
    this.#released = released;
  }

  get(key: Uint8Array): Promise<Uint8Array | undefined> {
    const wanted = new Uint8Array(key);
    return this.#read("read", () => this.#shared.contents.get(wanted));
  }

  scan(range: ScanRange): Promise<readonly Entry[]> {
    return this.#read("scan", () => this.#shared.contents.scan(range));
  }

  batch(writes: readonly EngineWrite[], { sync }: { readonly sync: boolean }): Promise<void> {
    return this.#call("write", (resolve, reject) => {
      const copies = writes.map(copyOf);
      this.#enqueue({ kind: "batch", writes: copies, sync, resolve: () => resolve(undefined), reject, isOver: false });
    });
  }

  flush(): Promise<void> {
    return this.#call("flush", (resolve, reject) => {
      this.#enqueue({
        kind: "flush",
        writes: [],
        sync: true,
        resolve: () => resolve(undefined),
        reject,
        isOver: false,
      });
    });
  }

  close(): Promise<void> {
    if (this.#dead) return never();
    this.#closing ??= this.#closeWhenIdle();
    return this.#closing;
  }

  /** Whether the disk has done something that the process has not heard of yet. */
  get isTelling(): boolean {
    return this.#jobs[0]?.isOver === true;
  }

  /** The process is gone: a batch that was being written is on the disk or not, nobody is told anything. */
  die(): void {
    this.#dead = true;
    this.#cancelTimers();
    const [current] = this.#jobs;
    this.#jobs = [];
    const { counters, random, contents, faults } = this.#shared;
    if (current?.isOver === true) counters.untoldAtCrash++;
    if (current?.kind !== "batch" || current.isOver) return;
    const possible = this.#failedAtMs === undefined && this.#refusal(current) === undefined;
    if (possible && random.chance([1, 2])) {
      contents.apply(current.writes, { logBytesMax: faults.logBytesMax, atMs: this.#shared.time.monotonicMs() });
      counters.appliedAtCrash++;
    } else {
      counters.droppedAtCrash++;
    }
  }

  #read<T>(what: string, look: () => T): Promise<T> {
    return this.#call(what, (resolve, reject) => {
      const { counters, random } = this.#shared;
      counters.reads++;
      // LevelDB reads from a snapshot taken some time between the call and the answer.
      const early = random.chance([1, 2]) ? { seen: look() } : undefined;
      this.#inTurn(() => {
        this.#readsInFlight -= 1;
        this.#readsWaiting.shift()?.();
        if (this.#shared.readsToFail > 0 || random.chance(this.#shared.faults.readErrors)) {
          this.#shared.readsToFail = Math.max(0, this.#shared.readsToFail - 1);
          counters.readErrors++;
          reject(new KvError("STORAGE_FAILED", `Cannot ${what}: the simulated disk failed.`));
        } else {
          resolve(early === undefined ? look() : early.seen);
        }
      });
    });
  }

  /** Does what a read ends with, when its turn has come and its time is over. */
  #inTurn(end: () => void): void {
    const begin = () => {
      this.#readsInFlight += 1;
      // The snapshot may be as late as the answer, so nothing is left for the disk to do in a time of its own.
      this.#afterCall(this.#own, this.#shared.faults.latencyMs, end);
    };
    if (this.#readsInFlight < this.#shared.faults.readsAtOnce) begin();
    else this.#readsWaiting.push(begin);
  }

  #enqueue(job: Job): void {
    this.#jobs.push(job);
    if (this.#jobs.length === 1) this.#doNext();
  }

  #doNext(): void {
    const [job] = this.#jobs;
    if (job === undefined) return;
    const { latencyMs, tableMs, bytesPerMs } = this.#shared.faults;
    const sizeMs = sizeOf(job.writes) / bytesPerMs;
    const { inNextBatch } = this.#shared;
    if (job.kind === "batch" && inNextBatch !== undefined) {
      this.#shared.inNextBatch = undefined;
      this.#after(this.#shared.time, [0, 0], inNextBatch);
    }
    const done = () => {
      const error = this.#recovered() ?? this.#refusal(job) ?? this.#injectedError(job);
      if (error === undefined) this.#do(job);
      job.isOver = true;
      const { toldMs, toldLate, toldLateMs } = this.#shared.faults;
      this.#after(this.#own, this.#shared.random.chance(toldLate) ? toldLateMs : toldMs, () => this.#tell(job, error));
    };
    this.#afterCall(this.#shared.time, job.kind === "flush" ? tableMs : latencyMs, done, sizeMs);
  }

  /** The process hears how it went. */
  #tell(job: Job, error: KvError | undefined): void {
    if (error === undefined) job.resolve();
    else job.reject(error);
    this.#jobs.shift();
    this.#doNext();
  }

  #do({ kind, writes, sync }: Job): void {
    const { contents, counters, faults } = this.#shared;
    if (kind === "flush") return contents.syncAll();
    counters.batches++;
    const atMs = this.#shared.time.monotonicMs();
    if (contents.apply(writes, { logBytesMax: faults.logBytesMax, atMs }))
      this.#after(this.#shared.time, faults.tableMs, () => contents.syncOlderLog());
    if (sync) contents.syncNewestLog();
  }

  /** Opens the store again when a failure is long enough ago; else an error. */
  #recovered(): KvError | undefined {
    if (this.#failedAtMs === undefined) return undefined;
    if (this.#shared.time.monotonicMs() < this.#failedAtMs + REOPEN_INTERVAL_MS) {
      return new KvError("STORAGE_FAILED", "Cannot write: the simulated store has failed and is not open again yet.");
    }
    this.#failedAtMs = undefined;
    replayLogs(this.#shared);
    return undefined;
  }

  #refusal({ writes }: Job): KvError | undefined {
    let bytes = 0;
    let mayUseReserve = true;
    for (const write of writes) {
      if (write.kind === "delete") continue;
      bytes += write.key.length + write.value.length;
      mayUseReserve &&= isMetaKey(write.key);
    }
    if (mayUseReserve || this.#shared.contents.usedBytes() + bytes <= this.#shared.capacityBytes) return undefined;
    this.#shared.counters.fullDiskRefusals++;
    return new KvError("STORAGE_FULL", "Cannot write: the simulated disk is full.");
  }

  #injectedError({ writes }: Job): KvError | undefined {
    const { faults, random, time, counters } = this.#shared;
    if (this.#shared.writesToFail === 0 && !random.chance(faults.writeErrors)) return undefined;
    this.#shared.writesToFail = Math.max(0, this.#shared.writesToFail - 1);
    this.#shared.torn = writes;
    this.#failedAtMs = time.monotonicMs();
    counters.writeErrors++;
    return new KvError("STORAGE_FAILED", "Cannot write: the simulated disk failed.", { outcome: "unknown" });
  }

  #call<T>(what: string, start: (resolve: (value: T) => void, reject: (error: KvError) => void) => void): Promise<T> {
    if (this.#dead) return never();
    if (this.#closing !== undefined) {
      return Promise.reject(new KvError("STORAGE_FAILED", `Cannot ${what}: the store is closed.`));
    }
    this.#callsInFlight++;
    return new Promise<T>(start).finally(() => {
      this.#callsInFlight--;
      if (this.#callsInFlight === 0) this.#whenIdle?.();
    });
  }

  async #closeWhenIdle(): Promise<void> {
    if (this.#callsInFlight > 0) {
      await new Promise<void>((resolve) => {
        this.#whenIdle = resolve;
      });
    }
    if (this.#dead) return never();
    this.#cancelTimers();
    this.#released();
  }

  #cancelTimers(): void {
    for (const timer of this.#timers) timer.cancel();
    this.#timers.clear();
  }

  /** Runs what a call ends with when its time is over, and the disk does not hang. */
  #afterCall(time: Time, rangeMs: DurationRangeMs, end: () => void, longerMs = 0): void {
    const endUnlessHung = () => {
      if (this.#shared.hung === undefined) end();
      else this.#shared.hung.push(() => this.#dead || this.#after(time, [0, 0], endUnlessHung));
    };
    this.#after(time, rangeMs, endUnlessHung, longerMs);
  }

  #after(time: Time, [minMs, maxMs]: DurationRangeMs, run: () => void, longerMs = 0): void {
    const timer = time.after(this.#shared.random.between(minMs, maxMs) + longerMs, () => {
      this.#timers.delete(timer);
      run();
    });
    this.#timers.add(timer);
  }
}

function sizeOf(writes: readonly EngineWrite[]): number {
  return writes.reduce((sum, write) => sum + write.key.length + (write.kind === "put" ? write.value.length : 0), 0);
}

/** What a process that is gone has asked for is never answered. */
function never<T>(): Promise<T> {
  return new Promise<T>(() => undefined);
}

function copyOf(write: EngineWrite): EngineWrite {
  const key = new Uint8Array(write.key);
  if (write.kind === "delete") return { kind: "delete", key };
  return { kind: "put", key, value: inherit(new Uint8Array(write.value), write.value) };
}
