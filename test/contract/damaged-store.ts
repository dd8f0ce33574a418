/** A disk that gave some bytes back wrong, where LevelDB notices: for the tests of what it makes of that. */
import assert from "node:assert/strict";
import { open, readdir, truncate } from "node:fs/promises";
import { join } from "node:path";

/** Overwrites some bytes in the middle of a closed store's only table. */
export async function damageTable(directory: string): Promise<void> {
  const [table, ...others] = (await readdir(directory)).filter((name) => name.endsWith(".ldb"));
  assert(table !== undefined && others.length === 0, "the store has one table");
  await damage(join(directory, table), middle);
}

/** The same of its log. */
export async function damageLog(directory: string): Promise<void> {
  await damage(await logOf(directory), middle);
}

/** The same at its head: what was written first is gone, and what shares a block of 32 KiB with it. */
export async function damageLogHead(directory: string): Promise<void> {
  // Behind the first record's own length, which says where the next one is.
  await damage(await logOf(directory), () => 16);
}

/** Takes the end of a closed store's log away, in the middle of a record, as a kill may. */
export async function tearLog(directory: string): Promise<void> {
  const path = await logOf(directory);
  const file = await open(path, "r");
  const { size } = await file.stat();
  await file.close();
  await truncate(path, size - 10);
}

async function logOf(directory: string): Promise<string> {
  const [log, ...others] = (await readdir(directory)).filter((name) => name.endsWith(".log"));
  assert(log !== undefined && others.length === 0, "the store has one log");
  return join(directory, log);
}

const middle = (sizeBytes: number): number => Math.floor(sizeBytes / 2);

async function damage(path: string, where: (sizeBytes: number) => number): Promise<void> {
  const file = await open(path, "r+");
  const { size } = await file.stat();
  await file.write(new Uint8Array(64).fill(0xff), 0, 64, where(size));
  await file.close();
}
