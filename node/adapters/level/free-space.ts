/**
 * Stops writes before the disk is full (design §6).
 *
 * LevelDB needs space to give space back: a compaction writes its result before it deletes its input. So writes of
 * data end while a reserve is left, out of which deletions, compactions and the node's own small records still live.
 * The file system is asked at most once per interval and once per share of the reserve written, and between two
 * answers the bytes written since are counted double (once for the log, once for the table made of it), so the
 * estimate errs on the full side and is then replaced by a fresh answer before anybody is refused.
 */
import { KvError } from "../../core/errors.ts";
import { MEBIBYTE } from "./figures.ts";

/** How old an answer of the file system may be, in ms: others write to the same disk too. */
const ANSWER_AGE_MAX_MS = 1_000;
/** The same once writes are refused, so that they are taken again soon after space has come back. */
const REFUSING_ANSWER_AGE_MAX_MS = 100;
/** A fresh answer is wanted at the latest after this share of the reserve was written. */
const RESERVE_SHARE = 8;

export type FreeSpaceOptions = {
  /** Bytes that are kept free; 0 leaves it to LevelDB to hit the end of the disk. */
  readonly reserveBytes: number;
  /** Asks the file system for the bytes this process may still write. */
  readonly freeBytes: () => Promise<number>;
  /** Is told why the file system gave no answer, once until it gives one again. */
  readonly onUnknown: (error: unknown) => void;
  /** Milliseconds since an arbitrary start. */
  readonly monotonicMs: () => number;
};

export type FreeSpace = {
  /**
   * Resolves when `bytes` more may be written, and counts them.
   * @throws {KvError} STORAGE_FULL: the reserve would be touched.
   */
  admit(bytes: number): Promise<void>;
  /** Counts bytes that are written whatever the space. */
  count(bytes: number): void;
  /** Asks the file system now; who asks while a question is on its way shares its answer. */
  ask(): Promise<number>;
  /**
   * Asks when the last answer is old: for figures, which somebody looks at also while nobody writes. That there was no
   * answer is no error here: `onUnknown` is told.
   */
  refresh(): Promise<void>;
  /** The last answer less what was written since; undefined before the first, and since the file system gives none. */
  estimateBytes(): number | undefined;
  /**
   * Whether the last write of data was refused, and would be by what was heard since; or the file system gives no answer,
   * as where the directory is gone, and no write of data is admitted without one.
   */
  isRefusing(): boolean;
};

/** Knows nothing of the space until it has asked for the first time. */
export function createFreeSpace(options: FreeSpaceOptions): FreeSpace {
  const { reserveBytes, freeBytes, onUnknown, monotonicMs } = options;
  let answeredBytes: number | undefined;
  let answeredAtMs = Number.NEGATIVE_INFINITY;
  /** When the file system last gave no answer; undefined while it gives them. */
  let unansweredAtMs: number | undefined;
  let writtenBytes = 0;
  let refusing = false;

  let asking: Promise<number> | undefined;

  function ask(): Promise<number> {
    asking ??= askAnew().finally(() => {
      asking = undefined;
    });
    return asking;
  }

  async function askAnew(): Promise<number> {
    // What is written while the question is on its way is counted twice rather than not at all.
    const writtenBeforeBytes = writtenBytes;
    try {
      const bytes = await freeBytes();
      answeredBytes = bytes;
      answeredAtMs = monotonicMs();
      unansweredAtMs = undefined;
      writtenBytes -= writtenBeforeBytes;
      return bytes;
    } catch (error) {
      const isNew = unansweredAtMs === undefined;
      answeredBytes = undefined;
      answeredAtMs = Number.NEGATIVE_INFINITY;
      unansweredAtMs = monotonicMs();
      if (isNew) onUnknown(error);
      throw error;
    }
  }

  /** Figures need not ask anew at once what was not answered just now; who wants to write does. */
  function isDueForFigures(): boolean {
    if (unansweredAtMs === undefined) return isStale();
    return monotonicMs() - unansweredAtMs > REFUSING_ANSWER_AGE_MAX_MS;
  }

  function estimateBytes(): number | undefined {
    return answeredBytes === undefined ? undefined : Math.max(0, answeredBytes - 2 * writtenBytes);
  }

  function isStale(): boolean {
    const ageMs = monotonicMs() - answeredAtMs;
    return ageMs > (refusing ? REFUSING_ANSWER_AGE_MAX_MS : ANSWER_AGE_MAX_MS);
  }

  function fits(bytes: number): boolean {
    if (reserveBytes === 0) return true;
    const estimate = estimateBytes();
    return estimate !== undefined && estimate - 2 * bytes >= reserveBytes;
  }

  return {
    async admit(bytes) {
      const dueForAnswer =
        isStale() || (!refusing && ((reserveBytes > 0 && writtenBytes > reserveBytes / RESERVE_SHARE) || !fits(bytes)));
      if (dueForAnswer) await ask();
      refusing = !fits(bytes);
      if (refusing) {
        throw new KvError(
          "STORAGE_FULL",
          `Cannot write: ${reserveBytes} bytes of the disk are kept free, ${estimateBytes()} are left. ` +
            "Enlarge the volume or add members.",
        );
      }
      writtenBytes += bytes;
    },
    count(bytes) {
      writtenBytes += bytes;
    },
    ask,
    async refresh() {
      if (!isDueForFigures()) return;
      try {
        await ask();
        refusing &&= !fits(0);
      } catch {
        // Told by `onUnknown`, and by `isRefusing` from now on.
      }
    },
    estimateBytes,
    isRefusing: () => refusing || unansweredAtMs !== undefined,
  };
}

/**
 * Room for the largest compaction that may still be due, for its input is deleted only when its output is written:
 * twelve tables of a write buffer each, the most that LevelDB lets gather in level 0, and what they overlap in level 1.
 */
export function defaultReserveBytes(writeBufferBytes: number): number {
  return Math.max(64 * MEBIBYTE, 16 * writeBufferBytes);
}
