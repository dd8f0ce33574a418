/** Opens a LevelDB directory, and says in a person's words why it does not open. */
import { ClassicLevel } from "classic-level";
import { KvError } from "../../core/errors.ts";
import { isLocked, storageError } from "./errors.ts";

export type Level = ClassicLevel<Uint8Array, Uint8Array>;

/**
 * LevelDB writes a table block by block, one system call each, and opens, merges and deletes whole tables. Pairs here
 * are up to 10 KiB: with its defaults (4 KiB and 2 MiB) compaction took two fifths of a write's CPU at 100,000 pairs.
 */
const BLOCK_BYTES = 16 * 1024;
const TABLE_BYTES_MAX = 8 * 1024 * 1024;

/**
 * Replays the log into tables and starts a fresh one.
 *
 * @param directory Created when missing.
 * @param options `cacheBytes` of uncompressed blocks; `writeBufferBytes` of log, and of the table in memory.
 * @throws {KvError} STORAGE_FAILED: another process holds the directory, or it is damaged or not writable;
 *   STORAGE_FULL: no space to replay the log into.
 */
export async function openLevel(
  directory: string,
  options: { readonly cacheBytes: number; readonly writeBufferBytes: number },
): Promise<Level> {
  const level: Level = new ClassicLevel(directory, {
    keyEncoding: "view",
    valueEncoding: "view",
    compression: true,
    cacheSize: options.cacheBytes,
    writeBufferSize: options.writeBufferBytes,
    blockSize: BLOCK_BYTES,
    maxFileSize: TABLE_BYTES_MAX,
  });
  try {
    await level.open();
    return level;
  } catch (error) {
    if (!isLocked(error)) throw storageError(`open the store in ${directory}`, error);
    throw new KvError(
      "STORAGE_FAILED",
      `Cannot open the store in ${directory}: another process holds it. ` +
        "Stop that process, or give each node a data directory of its own.",
      { cause: error },
    );
  }
}
