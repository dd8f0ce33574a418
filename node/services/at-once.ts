/** Tasks that run at once as far as there is room for what they bring. */
import { KvError } from "../core/errors.ts";

/**
 * Runs tasks at once. Those that are refused as OVERLOADED, since large answers to the others left no room on the way or
 * before the disk, run again when those have ended, one by one.
 *
 * @returns What they give, in their order. Rejects, once all have ended, with what another error says, or the same again.
 */
export async function atOnceOrInTurn<T>(tasks: readonly (() => Promise<T>)[]): Promise<T[]> {
  const outcomes = await Promise.allSettled(tasks.map((task) => task()));
  const results: T[] = [];
  for (const outcome of outcomes) if (outcome.status === "rejected" && !isCrowded(outcome.reason)) throw outcome.reason;
  for (const [index, task] of tasks.entries()) {
    const outcome = outcomes[index];
    results.push(outcome?.status === "fulfilled" ? outcome.value : await task());
  }
  return results;
}

function isCrowded(reason: unknown): boolean {
  return reason instanceof KvError && reason.code === "OVERLOADED";
}
