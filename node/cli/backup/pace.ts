/** Holds a stream of bytes to a rate, and says how far it is. */
import { setTimeout as sleep } from "node:timers/promises";
import { CommandError, EXIT } from "../exit.ts";

const MIB = 1_048_576;

/** Waits as long as the bytes so far are ahead of the rate. */
export type BytePace = (bytes: number) => Promise<void>;

/** @param bytesPerSecond Undefined: as fast as the other side takes or gives. */
export function createBytePace(bytesPerSecond: number | undefined): BytePace {
  const startMs = performance.now();
  let total = 0;
  return async (bytes) => {
    if (bytesPerSecond === undefined) return;
    total += bytes;
    const aheadMs = (total * 1_000) / bytesPerSecond - (performance.now() - startMs);
    if (aheadMs > 0) await sleep(aheadMs);
  };
}

/** The rate of an option in MiB/s, as bytes a second. */
export function parseRate(text: string): number {
  const rate = Number(text);
  if (Number.isFinite(rate) && rate > 0) return rate * MIB;
  throw new CommandError(`Cannot use the rate "${text}": expected MiB a second, more than 0`, EXIT.usage);
}
