/**
 * What LevelDB reports, as the errors of this project.
 *
 * classic-level passes the text of LevelDB's status on ("IO error: /path/000007.log: No space left on device") and
 * sets a code only for a few cases, so a full disk is told by its text, anywhere in the chain of causes.
 */
import { KvError, type Outcome } from "../../core/errors.ts";

const FULL_DISK = /No space left|ENOSPC|Disk quota exceeded|EDQUOT/;

/** Whether an error, or what caused it, is a disk or a quota without space. */
export function isFullDisk(error: unknown): boolean {
  for (const cause of causes(error)) {
    if (FULL_DISK.test(`${cause.code ?? ""} ${cause.message}`)) return true;
  }
  return false;
}

/** Whether the directory is open already, in this process or another. */
export function isLocked(error: unknown): boolean {
  for (const cause of causes(error)) {
    if (cause.code === "LEVEL_LOCKED") return true;
  }
  return false;
}

/** The text of the error at the bottom of the chain: what LevelDB itself said. */
export function reason(error: unknown): string {
  let text = String(error);
  for (const cause of causes(error)) text = cause.message;
  return text;
}

/**
 * @param what What could not be done, for example "write".
 * @param outcome "unknown" when LevelDB was given a write and may bring it back at the next start.
 */
export function storageError(what: string, error: unknown, outcome: Outcome = "none"): KvError {
  if (error instanceof KvError) return error;
  if (isFullDisk(error)) {
    return new KvError("STORAGE_FULL", `Cannot ${what}: the disk is full (${reason(error)}).`, {
      outcome,
      cause: error,
    });
  }
  return new KvError("STORAGE_FAILED", `Cannot ${what}: the store failed (${reason(error)}).`, {
    outcome,
    cause: error,
  });
}

type Cause = { readonly message: string; readonly code?: unknown; readonly cause?: unknown };

function* causes(error: unknown): Generator<Cause> {
  let current = error;
  // Bounded, because a chain of causes may be a ring.
  for (let depth = 0; depth < 8 && isCause(current); depth++) {
    yield current;
    current = current.cause;
  }
}

/** By its shape: native code makes errors of the realm it was loaded in, which need not be the caller's. */
function isCause(value: unknown): value is Cause {
  return typeof value === "object" && value !== null && "message" in value && typeof value.message === "string";
}
