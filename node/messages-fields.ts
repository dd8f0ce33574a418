/**
 * Fields of a message on their way in: each is what it should be, or the message is refused.
 */
import { KvError } from "./core/errors.ts";

/** The byte string of a field. */
export function toBytes(value: unknown, bytesMin: number, bytesMax: number, name: string): Uint8Array {
  if (value instanceof Uint8Array && value.length >= bytesMin && value.length <= bytesMax) return value;
  throw invalid(name, `${bytesMin}..${bytesMax} bytes`, value);
}

/** The whole number of a field. */
export function toCount(value: unknown, name: string): number {
  // Negative zero would pass `>= 0` and then compare unlike the zero that was meant.
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0) return value === 0 ? 0 : value;
  throw invalid(name, "a whole number from 0 to 2^53 - 1", value);
}

/** The string of a field; its length is in UTF-16 units. */
export function toText(value: unknown, lengthMax: number, name: string): string {
  if (typeof value === "string" && value.length <= lengthMax) return value;
  throw invalid(name, `a string of at most ${lengthMax}`, value);
}

/** A field that is not what it should be. */
export function invalid(name: string, expected: string, found: unknown): KvError {
  return new KvError("INVALID_REQUEST", `Cannot read a peer's ${name}: expected ${expected}, found ${describe(found)}`);
}

/** Never shows content: a log line may not carry a user's bytes. */
function describe(value: unknown): string {
  if (typeof value === "number") return `the number ${value}`;
  if (value instanceof Uint8Array) return `${value.length} bytes`;
  if (typeof value === "string") return `a string of ${value.length}`;
  if (Array.isArray(value)) return `an array of ${value.length}`;
  return value === null ? "nothing" : `a value of type ${typeof value}`;
}
