/** Waiting, in virtual time, for what a cluster's code promised. */
import assert from "node:assert/strict";
import { KvError } from "../../node/core/errors.ts";
import type { Simulator } from "./simulator.ts";

/**
 * Lets the world run until a promise has settled.
 *
 * @param withinMs Of virtual time; it fails when that was not enough.
 * @param what For the failure.
 */
export async function settled<T>(
  simulator: Simulator,
  asking: Promise<T>,
  { withinMs, what }: { readonly withinMs: number; readonly what: string },
): Promise<PromiseSettledResult<T>> {
  let outcome: PromiseSettledResult<T> | undefined;
  asking.then(
    (value) => {
      outcome = { status: "fulfilled", value };
    },
    (reason: unknown) => {
      outcome = { status: "rejected", reason };
    },
  );
  await simulator.runWhile(() => outcome === undefined, withinMs);
  assert(outcome !== undefined, what);
  return outcome;
}

/** As `settled`, with what the promise itself gives or throws. */
export async function answered<T>(simulator: Simulator, asking: Promise<T>, withinMs: number): Promise<T> {
  const outcome = await settled(simulator, asking, { withinMs, what: `an answer comes within ${withinMs} ms` });
  if (outcome.status === "rejected") throw outcome.reason;
  return outcome.value;
}

/** The answer, or the error that was told, of a request; anything else that is thrown is thrown on. */
export async function answerOf<T>(
  { simulator }: { readonly simulator: Simulator },
  asking: Promise<T>,
): Promise<T | KvError> {
  const outcome = await settled(simulator, asking, { withinMs: 10_000, what: "an answer comes" });
  if (outcome.status === "fulfilled") return outcome.value;
  if (outcome.reason instanceof KvError) return outcome.reason;
  throw outcome.reason;
}
