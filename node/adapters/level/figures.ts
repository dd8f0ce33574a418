/** What LevelDB says of itself, as numbers for metrics. All of it is answered from memory. */
import type { Level } from "./open.ts";

export type LevelFigures = {
  /** `failed`: takes no writes until the disk has space and the store was reopened. */
  readonly state: "open" | "failed" | "closed";
  /** What the file system had free when it was last asked, less what was written since; undefined when it gave no answer. */
  readonly freeBytes: number | undefined;
  /** The file system's size when it was last asked; 0 where that is not known. */
  readonly diskBytes: number;
  /** Whether writes of data are refused, to keep the reserve or because nobody tells what is left. */
  readonly refusing: boolean;
  /** Sum of all tables, rounded to whole MiB a level, without the log. */
  readonly tableBytes: number;
  /** Block cache and tables in memory. */
  readonly memoryBytes: number;
  /** The levels that hold tables, and level 0; bytes rounded to whole MiB. */
  readonly levels: readonly LevelSize[];
};

export type LevelSize = { readonly level: string; readonly files: number; readonly bytes: number };
type Sizes = Pick<LevelFigures, "tableBytes" | "memoryBytes" | "levels">;

export const MEBIBYTE = 1_024 * 1_024;

/** Sizes of an open database; zeros where there is none. */
export function sizesOf(level: Level | undefined): Sizes {
  if (level?.status !== "open") return { tableBytes: 0, memoryBytes: 0, levels: [] };
  const levels: LevelSize[] = [];
  for (const line of level.getProperty("leveldb.stats").split("\n")) {
    // Columns: level, files, size in MiB, and times that do not matter here.
    const [, number, files, size] = /^\s*(\d+)\s+(\d+)\s+(\d+)/.exec(line) ?? [];
    if (number === undefined) continue;
    levels.push({ level: number, files: Number(files), bytes: Number(size) * MEBIBYTE });
  }
  // LevelDB lists only levels that hold something.
  if (levels[0]?.level !== "0") levels.unshift({ level: "0", files: 0, bytes: 0 });
  return {
    tableBytes: levels.reduce((sum, { bytes }) => sum + bytes, 0),
    memoryBytes: Number(level.getProperty("leveldb.approximate-memory-usage")),
    levels,
  };
}
