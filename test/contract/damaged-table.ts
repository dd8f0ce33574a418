/** A disk that gave some bytes back wrong, where LevelDB notices: for the tests of what it makes of that. */
import assert from "node:assert/strict";
import { open, readdir } from "node:fs/promises";
import { join } from "node:path";

/** Overwrites some bytes in the middle of a closed store's only table. */
export async function damageTable(directory: string): Promise<void> {
  const [table, ...others] = (await readdir(directory)).filter((name) => name.endsWith(".ldb"));
  assert(table !== undefined && others.length === 0, "the store has one table");
  const file = await open(join(directory, table), "r+");
  const { size } = await file.stat();
  await file.write(new Uint8Array(64).fill(0xff), 0, 64, Math.floor(size / 2));
  await file.close();
}
