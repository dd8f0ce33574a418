/** Opens a LevelDB directory, and says in a person's words why it does not open. */
import { ClassicLevel } from "classic-level";
import { KvError } from "../../core/errors.ts";
import { isLocked, storageError } from "./errors.ts";

export type Level = ClassicLevel<Uint8Array, Uint8Array>;

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
