/**
 * Applies collection horizons: looks at every record of a partition once its horizon was raised, and removes what that
 * collects. Afterwards nothing collectable comes in any more (replica.ts), so that once is enough.
 *
 * Until a partition has been gone through its tree says that it is not ready, so that one home that is half through
 * neither differs from the others nor is given back what it has just collected.
 */
import { KvError } from "../core/errors.ts";
import { parsePartitionedKey, partitionRange } from "../core/keyspace.ts";
import type { Engine, Telemetry, Time, Timer } from "../ports.ts";
import type { Budget } from "./budget.ts";
import type { Horizons } from "./horizons.ts";
import type { Replica } from "./replica.ts";
import { createSetbacks } from "./setbacks.ts";
import { pagesOf } from "./stored-pages.ts";

export type Collector = {
  /** Begins with what is unsettled, and goes on with what comes to be. */
  start(): void;
  /** Resolves when nothing of it is under way any more. */
  stop(): Promise<void>;
};

const PAGE_RECORDS = 128;
const RETRY_MS = 1_000;

/** @param parts The horizons to apply, and the replica whose records they are. */
export function createCollector(parts: {
  readonly horizons: Horizons;
  readonly replica: Replica;
  readonly engine: Engine;
  readonly budget: Budget;
  readonly time: Time;
  readonly telemetry: Telemetry;
}): Collector {
  const { horizons, replica, engine, budget, time, telemetry } = parts;
  const setbacks = createSetbacks(time);
  let stopped = true;
  let running: Promise<void> | undefined;
  let timer: Timer | undefined;

  async function apply(partition: number): Promise<void> {
    const digest = horizons.digest(partition);
    for await (const page of pagesOf(engine, partitionRange(partition), PAGE_RECORDS)) {
      await Promise.all(page.map(({ key }) => replica.collect(partition, parsePartitionedKey(key).key)));
      await budget.spend(page.reduce((sum, { key, value }) => sum + key.length + value.length, 0));
      if (stopped) break;
    }
    // Where the horizon was raised meanwhile, this changes nothing, and the partition is gone through again.
    if (!stopped) await horizons.settle(partition, digest);
  }

  /** A partition that cannot be read, for a damaged block say, holds up no other one. */
  async function work(): Promise<void> {
    for (;;) {
      const partition = horizons.unsettled().find(setbacks.isDue);
      if (partition === undefined || stopped) return;
      try {
        await apply(partition);
        setbacks.forget(partition);
      } catch (error) {
        // A broken invariant stops the node through the unhandled rejection.
        if (!(error instanceof KvError)) throw error;
        setbacks.failed(partition);
        telemetry.log("warn", "collector.failed", { partition, reason: error.message });
      }
    }
  }

  function kick(): void {
    if (stopped || running !== undefined) return;
    timer?.cancel();
    running = work().then(() => {
      running = undefined;
      const unsettled = horizons.unsettled();
      if (unsettled.some(setbacks.isDue)) kick();
      else if (unsettled.length > 0 && !stopped) timer = time.after(RETRY_MS, kick);
    });
  }
  horizons.onUnsettled(kick);

  return {
    start() {
      stopped = false;
      kick();
    },
    async stop() {
      stopped = true;
      timer?.cancel();
      await running;
    },
  };
}
