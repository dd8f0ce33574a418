/** What is told to who adds a hint while those on the disk are not counted. */
import { KvError } from "../core/errors.ts";

/** @param cause What the disk said of the last write that was tried. */
export function takesNoWrites(cause: KvError): KvError {
  return new KvError(cause.code, `Cannot keep the hint: the disk takes no writes (${cause.message})`, {
    details: { retryAfterS: 1 },
    cause,
  });
}

/** @param waitMs How long the count was waited for. */
export function stillCounting(waitMs: number): KvError {
  return new KvError(
    "OVERLOADED",
    `Cannot keep the hint: those on the disk are still being counted, after ${Math.round(waitMs)} ms.`,
    { details: { retryAfterS: 1 } },
  );
}
