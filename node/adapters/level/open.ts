/** Opens a LevelDB directory, and says in a person's words why it does not open, or would not. */
import { open, unlink } from "node:fs/promises";
import { join } from "node:path";
import { ClassicLevel } from "classic-level";
import { KvError } from "../../core/errors.ts";
import { isLocked, storageError } from "./errors.ts";
import { keepToldLoss } from "./told-loss.ts";

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
 * @param options `cacheBytes` of uncompressed blocks; `writeBufferBytes` of log, and of the table in memory;
 *   `createIfMissing`: makes the directory and an empty store in it where there is none.
 * @throws {KvError} STORAGE_FAILED: another process holds the directory, or it is damaged or not writable;
 *   STORAGE_FULL: no space to replay the log into.
 */
export async function openLevel(
  directory: string,
  options: { readonly cacheBytes: number; readonly writeBufferBytes: number; readonly createIfMissing: boolean },
): Promise<Level> {
  // Before there is a handle, which opens by itself.
  await keepToldLoss(directory);
  const level: Level = new ClassicLevel(directory, {
    keyEncoding: "view",
    valueEncoding: "view",
    createIfMissing: options.createIfMissing,
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

/** LevelDB leaves files alone whose names are none of its own. */
const PROBE_NAME = "annulus-probe";
const PROBE = new Uint8Array(4_096).fill(1);

/**
 * Finds out whether a store that is open would open again: it is where it was, and new files can be written beside it and
 * synced. A file system that met an error of its disk is often read-only from then on: what is open can be read for as
 * long as it is not closed.
 *
 * @throws {KvError} STORAGE_FAILED, STORAGE_FULL: it would not.
 */
export async function assertOpensAgain(directory: string): Promise<void> {
  try {
    await (await open(join(directory, "CURRENT"), "r")).close();
    const path = join(directory, PROBE_NAME);
    const probe = await open(path, "w");
    try {
      await probe.writeFile(PROBE);
      await probe.datasync();
    } finally {
      await probe.close();
      await unlink(path);
    }
  } catch (error) {
    throw storageError(`open the store in ${directory} again`, error);
  }
}
