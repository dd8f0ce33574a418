/**
 * Reads everything once in a while: a slow pass over this node's partitions that checks the checksum of every record
 * and counts every leaf anew (design §6).
 *
 * A damaged record is set aside by the replica, under a new incarnation; the tree then lacks it, and anti-entropy brings
 * it back from a peer. A sum that was wrong is a bug or a flipped bit in memory: it is corrected and counted.
 */
import { KvError } from "../core/errors.ts";
import type { Telemetry, Time, Timer } from "../ports.ts";
import type { Budget } from "./budget.ts";
import type { Trees } from "./trees.ts";

export type Scrub = {
  start(): void;
  close(): void;
};

/** Between two looks when there is nothing to go over yet. */
const IDLE_MS = 60_000;

/**
 * @param parts `partitions`: those of this node now.
 * @param options `intervalMs`: time that one pass over everything takes; larger: damage is found later, at less load.
 */
export function createScrub(
  parts: {
    readonly partitions: () => readonly number[];
    readonly trees: Trees;
    readonly budget: Budget;
    readonly time: Time;
    readonly telemetry: Telemetry;
  },
  { intervalMs }: { readonly intervalMs: number },
): Scrub {
  const { trees, budget, time, telemetry } = parts;
  let timer: Timer | undefined;
  let closed = false;
  let last = -1;

  /** The partition after the last one, in ascending order and round again. */
  function next(partitions: readonly number[]): number | undefined {
    return partitions.find((partition) => partition > last) ?? partitions[0];
  }

  async function step(): Promise<void> {
    const partition = next(parts.partitions());
    if (partition !== undefined && trees.ready(partition) !== undefined) {
      try {
        const wrong = await trees.verify(partition, budget);
        telemetry.count("annulus.scrub.partitions");
        if (wrong > 0) telemetry.log("warn", "scrub.leaves_corrected", { partition, leaves: wrong });
      } catch (error) {
        // It comes round again.
        if (!(error instanceof KvError)) throw error;
        telemetry.count("annulus.scrub.failures");
      }
      last = partition;
    } else if (partition !== undefined) last = partition;
    wait();
  }

  function wait(): void {
    if (closed) return;
    const { length } = parts.partitions();
    timer = time.after(length === 0 ? Math.min(IDLE_MS, intervalMs) : intervalMs / length, () => void step());
  }

  return {
    start: wait,
    close() {
      closed = true;
      timer?.cancel();
    },
  };
}
