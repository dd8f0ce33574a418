/** Work whose failure is an answer like others. */
import { KvError } from "../core/errors.ts";

/** What it failed with; undefined where it did not. Rejects with whatever is no `KvError`. */
export async function asError(sending: Promise<unknown>): Promise<KvError | undefined> {
  try {
    await sending;
    return undefined;
  } catch (error) {
    if (error instanceof KvError) return error;
    throw error;
  }
}
