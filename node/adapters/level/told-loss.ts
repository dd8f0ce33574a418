/**
 * What LevelDB told of a lost part of its log. Where a log is damaged it goes on behind the damage, deletes the log, and says
 * so only in the file that it makes anew at each opening, be it one that fails: LOG, which is LOG.old then until the next. So
 * the line is kept beside the store, before each opening, until it is marked in the store (losses.ts).
 */
import { open, rm } from "node:fs/promises";
import { join } from "node:path";
import { storageError } from "./errors.ts";

/** What LevelDB writes of a record of its log that it leaves out because it is damaged, and of nothing else. */
const LEFT_OUT = /^.*ignoring error.*$/im;

/** What an opening meets is at the head of the file; what follows may be months of compactions. */
const HEAD_BYTES = 65_536;

/** LevelDB leaves files alone whose names are none of its own. */
const KEPT_NAME = "annulus-loss";

/**
 * Keeps what the last two openings told of a loss, for who could not mark it. To be called before each opening.
 *
 * @throws {KvError} STORAGE_FAILED, STORAGE_FULL: it cannot be read or kept. An opening would have it forgotten.
 */
export async function keepToldLoss(directory: string): Promise<void> {
  try {
    const told = await newestOf(directory, ["LOG", "LOG.old"]);
    if (told !== undefined && told !== (await newestOf(directory, [KEPT_NAME]))) await keep(directory, told);
  } catch (error) {
    throw storageError(`open the store in ${directory}`, error);
  }
}

async function keep(directory: string, told: string): Promise<void> {
  const file = await open(join(directory, KEPT_NAME), "w");
  try {
    await file.writeFile(told);
    await file.datasync();
  } finally {
    await file.close();
  }
  const entries = await open(directory, "r");
  try {
    await entries.sync();
  } finally {
    await entries.close();
  }
}

/**
 * What LevelDB left out when it opened a store that is open now, in its own words; undefined when nothing. Of several
 * openings, which may all be unmarked, the last: who marked that has marked what was told before. The line begins with the
 * time, so that no two losses have the same. The end of a log that was torn by a kill, or by a disk without space, is no
 * damage: nobody was told that what was in it is written.
 *
 * @throws {KvError} STORAGE_FAILED: the file cannot be read.
 */
export async function toldLoss(directory: string): Promise<string | undefined> {
  try {
    return await newestOf(directory, ["LOG", "LOG.old", KEPT_NAME]);
  } catch (error) {
    throw storageError("read what the store says of its log", error);
  }
}

/**
 * Forgets what was kept, which is marked.
 *
 * @throws {KvError} STORAGE_FAILED: it is there still.
 */
export async function dropToldLoss(directory: string): Promise<void> {
  try {
    await rm(join(directory, KEPT_NAME), { force: true });
  } catch (error) {
    throw storageError("forget what the store said of its log", error);
  }
}

/** @param names The newest first. */
async function newestOf(directory: string, names: readonly string[]): Promise<string | undefined> {
  for (const name of names) {
    const line = LEFT_OUT.exec(await headOf(join(directory, name)))?.[0];
    if (line !== undefined) return line;
  }
  return undefined;
}

/** The first lines of a file; of one that is not there, none. */
async function headOf(path: string): Promise<string> {
  try {
    const file = await open(path, "r");
    try {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(HEAD_BYTES), 0, HEAD_BYTES, 0);
      return buffer.toString("utf8", 0, bytesRead);
    } finally {
      await file.close();
    }
  } catch (error) {
    // A store that was opened once has no file of the time before, and one that lost nothing has nothing kept.
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return "";
    throw error;
  }
}
