/**
 * Reads one page of a range from LevelDB, whole or not at all.
 *
 * LevelDB passes over a block that it cannot read, and its iterator says so only once it is at its end: a full page would
 * lack what was there, and nobody would hear of it. So each page is read until the iterator says that it was whole.
 */
import type { Entry, ScanRange } from "../../ports.ts";
import { reason, storageError } from "./errors.ts";
import type { Level } from "./open.ts";

/** What LevelDB reads ahead for a scan in one go; the page is filled by as many goes as it takes. */
const CHUNK_BYTES = 256 * 1_024;

/** `nextv` asks for no more than the limit, and never meets it. What lies below it, which stores implement, does. */
type ToItsEnd = { _nextv(size: number): Promise<readonly unknown[]> };

/** One page. Rejects with STORAGE_FAILED when a part of it cannot be read. */
export async function scanPage(level: Level, { from, until, limit }: ScanRange): Promise<readonly Entry[]> {
  const entries: Entry[] = [];
  try {
    const iterator = level.iterator({ gte: from, lt: until, limit, highWaterMarkBytes: CHUNK_BYTES });
    try {
      while (entries.length < limit) {
        const chunk = await iterator.nextv(limit - entries.length);
        if (chunk.length === 0) break;
        for (const [key, value] of chunk) entries.push({ key, value });
      }
      if (entries.length === limit) await (iterator as unknown as ToItsEnd)._nextv(1);
    } finally {
      await iterator.close();
    }
  } catch (error) {
    throw storageError("scan", error);
  }
  return entries;
}

/**
 * The same page, without what cannot be read of it.
 *
 * @param onUnreadable Is told why something was left out.
 */
export async function scanReadable(
  level: Level,
  range: ScanRange,
  onUnreadable: (why: string) => void,
): Promise<readonly Entry[]> {
  try {
    return await scanPage(level, range);
  } catch (error) {
    onUnreadable(reason(error));
  }
  const { from, until, limit } = range;
  const entries: Entry[] = [];
  const iterator = level.iterator({ gte: from, lt: until, limit });
  try {
    // One by one: the go that comes to the end is refused with all that it read.
    for (let chunk = await iterator.nextv(1); chunk.length > 0; chunk = await iterator.nextv(1)) {
      for (const [key, value] of chunk) entries.push({ key, value });
    }
  } catch {
    // The iterator's end: it says once more what was told above.
  } finally {
    await iterator.close();
  }
  return entries;
}
