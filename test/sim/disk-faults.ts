/** The faults of a simulated disk: what is asked for, and how often each was met. */
import type { Ratio } from "./random.ts";

/** Lowest and highest of a range to draw from, in ms of virtual time. */
export type DurationRangeMs = readonly [min: number, max: number];

export type DiskFaults = {
  /** How long each call takes. */
  readonly latencyMs: DurationRangeMs;
  /** Between what it did of a batch and the moment its process hears of that; readers see it meanwhile. */
  readonly toldMs: DurationRangeMs;
  /** Batches of which the process, with other things to do first, hears only after `toldLateMs`. */
  readonly toldLate: Ratio;
  readonly toldLateMs: DurationRangeMs;
  /** What a batch takes longer for its size. */
  readonly bytesPerMs: number;
  /** Reads that are done at once; the others wait for their turn. */
  readonly readsAtOnce: number;
  /** How long it takes to turn a full log into a table; until then a loss of power may take its end. */
  readonly tableMs: DurationRangeMs;
  /** A log is full with this many bytes of keys and values: some hundred batches, of which a loss of power takes the end. */
  readonly logBytesMax: number;
  /** Batches that fail. */
  readonly writeErrors: Ratio;
  /** Reads and scans that fail. */
  readonly readErrors: Ratio;
};

export const HEALTHY_DISK: DiskFaults = {
  latencyMs: [0, 2],
  toldMs: [0, 1],
  toldLate: [1, 32],
  toldLateMs: [1, 30],
  bytesPerMs: Number.POSITIVE_INFINITY,
  readsAtOnce: Number.POSITIVE_INFINITY,
  tableMs: [5, 200],
  logBytesMax: 96 * 1_024,
  writeErrors: [0, 1],
  readErrors: [0, 1],
};

/** How often each fault was really met. A run that asked for faults and met none proves nothing. */
export type DiskCounters = {
  batches: number;
  reads: number;
  processCrashes: number;
  machineCrashes: number;
  /** Batches that were in flight at a crash: applied and not. */
  appliedAtCrash: number;
  droppedAtCrash: number;
  /** Calls that the disk had done with at a crash, and whose end the process never heard of. */
  untoldAtCrash: number;
  /** Batches that were applied and lost with the machine's power. */
  batchesLost: number;
  /** Of these, what a process had written that was gone by then. */
  batchesLostWhileDown: number;
  writeErrors: number;
  /** Failed batches that came back when the store was opened again. */
  failedWritesSurfaced: number;
  readErrors: number;
  fullDiskRefusals: number;
  bitsFlipped: number;
  wipes: number;
  /** How often all calls had to wait. */
  hangs: number;
};

/** Counters of a disk that nothing has happened to yet. */
export function noFaultsMet(): DiskCounters {
  return {
    batches: 0,
    reads: 0,
    processCrashes: 0,
    machineCrashes: 0,
    appliedAtCrash: 0,
    droppedAtCrash: 0,
    untoldAtCrash: 0,
    batchesLost: 0,
    batchesLostWhileDown: 0,
    writeErrors: 0,
    failedWritesSurfaced: 0,
    readErrors: 0,
    fullDiskRefusals: 0,
    bitsFlipped: 0,
    wipes: 0,
    hangs: 0,
  };
}
