/**
 * A simulated disk with a store on it: the `Engine` port in virtual time, with every fault that a disk is known for.
 *
 * The disk outlives the node: `open` gives a node its engine, `crash` ends it as a dead process or a dead machine
 * would, and the next `open` shows what survived (see `disk-contents.ts`). A handle that crashed never settles what
 * was asked of it and leaves no timer behind. Everything that is left to chance comes from the seeded stream.
 *
 * A write that an error was injected into is treated as LevelDB does a torn log: the engine takes no writes for a
 * while, then reopens the store, and what failed surfaces or does not.
 */
import assert from "node:assert/strict";
import { KvError } from "../../node/core/errors.ts";
import type { Engine, Entry, ScanRange, Time } from "../../node/ports.ts";
import { createDiskContents, type LostValue } from "./disk-contents.ts";
import { replayLogs, type SharedDisk, SimulatedEngine } from "./disk-engine.ts";
import { type DiskCounters, type DiskFaults, HEALTHY_DISK, noFaultsMet } from "./disk-faults.ts";
import type { SeededRandom } from "./random.ts";

export type SimulatedDisk = {
  readonly counters: DiskCounters;
  /**
   * The node's store. Throws STORAGE_FAILED while another handle is open.
   *
   * @param own Time of the node's process, which hears of nothing while it is held up; the disk's own when left out.
   */
  open(own?: Time): Engine;
  /**
   * Ends the open handle, if any: "process" loses nothing that was applied, "machine" what was not synced, by whichever
   * handle it was written: it lay in the operating system's memory.
   *
   * @returns The keys whose newest value is gone.
   */
  crash(kind: "process" | "machine"): readonly LostValue[];
  /** Whether it has done something that its node has not heard of yet: what the node knows then may be behind. */
  isTelling(): boolean;
  /** Calls back in the middle of the next batch, once: whoever crashes the node then leaves it to chance. */
  inNextBatch(run: () => void): void;
  setFaults(faults: Partial<DiskFaults>): void;
  /** No call ends any more until it goes on. */
  hang(): void;
  goOn(): void;
  /** The next batch fails. */
  failNextWrite(): void;
  /** The next read or scan fails. */
  failNextRead(): void;
  /** Puts of data beyond this many bytes of keys and values are refused; undefined is no limit. */
  setCapacityBytes(bytes: number | undefined): void;
  /** Damages the value stored at `key`. Returns whether there was one. */
  flipBit(key: Uint8Array): boolean;
  /** An empty disk in the old one's place. No handle may be open. */
  wipe(): void;
  /** What a reader would see now, for checkers, who only look: values are those stored, and no copies. */
  entries(range: ScanRange): readonly Entry[];
  /** The value stored at a key, itself and not a copy, for checkers. */
  peek(key: Uint8Array): Uint8Array | undefined;
  /** Keys and values that are stored now. */
  usedBytes(): number;
};

export function createSimulatedDisk(ports: {
  readonly time: Time;
  /** A stream of this disk's own. */
  readonly random: SeededRandom;
  readonly faults?: Partial<DiskFaults>;
}): SimulatedDisk {
  const shared: SharedDisk = {
    time: ports.time,
    random: ports.random,
    counters: noFaultsMet(),
    contents: createDiskContents(),
    faults: { ...HEALTHY_DISK, ...ports.faults },
    capacityBytes: Number.POSITIVE_INFINITY,
    writesToFail: 0,
    readsToFail: 0,
    torn: undefined,
    inNextBatch: undefined,
    hung: undefined,
  };
  const { counters } = shared;
  let handle: SimulatedEngine | undefined;
  return {
    counters,
    open(own = ports.time) {
      if (handle !== undefined) {
        throw new KvError("STORAGE_FAILED", "Cannot open the store: another process holds it.");
      }
      replayLogs(shared);
      handle = new SimulatedEngine(shared, own, () => {
        handle = undefined;
      });
      return handle;
    },
    crash(kind) {
      const wasOpen = handle !== undefined;
      handle?.die();
      handle = undefined;
      shared.inNextBatch = undefined;
      if (kind === "process") {
        counters.processCrashes++;
        return [];
      }
      counters.machineCrashes++;
      shared.torn = undefined;
      const lost = shared.contents.losePower(shared.random);
      counters.batchesLost += lost.batches;
      if (!wasOpen) counters.batchesLostWhileDown += lost.batches;
      return lost.values;
    },
    isTelling: () => handle?.isTelling === true,
    inNextBatch(run) {
      shared.inNextBatch = run;
    },
    setFaults(faults) {
      shared.faults = { ...shared.faults, ...faults };
    },
    hang() {
      shared.hung ??= [];
      counters.hangs++;
    },
    goOn() {
      const hung = shared.hung ?? [];
      shared.hung = undefined;
      for (const end of hung) end();
    },
    failNextWrite() {
      shared.writesToFail++;
    },
    failNextRead() {
      shared.readsToFail++;
    },
    setCapacityBytes(bytes) {
      shared.capacityBytes = bytes ?? Number.POSITIVE_INFINITY;
    },
    flipBit(key) {
      const flipped = shared.contents.flipBit(key, shared.random);
      if (flipped) counters.bitsFlipped++;
      return flipped;
    },
    wipe() {
      assert(handle === undefined, "a disk is exchanged while no node runs on it");
      shared.contents = createDiskContents();
      shared.hung = undefined;
      shared.torn = undefined;
      counters.wipes++;
    },
    entries: (range) => shared.contents.peekAll(range),
    peek: (key) => shared.contents.peek(key),
    usedBytes: () => shared.contents.usedBytes(),
  };
}
