/**
 * Composition root of `annulus salvage`: opens a data directory with its node stopped, and writes out what it holds.
 */
import { once } from "node:events";
import { join } from "node:path";
import type { Writable } from "node:stream";
import { exportLine } from "./adapters/http/export-stream.ts";
import { createLevelEngine } from "./adapters/level/engine.ts";
import { viewRecord } from "./core/version/view.ts";
import type { Telemetry } from "./ports.ts";
import { type SalvageCounts, salvage } from "./services/salvage.ts";

const CACHE_BYTES = 8 << 20;
const WRITE_BUFFER_BYTES = 4 << 20;
const SILENT: Telemetry = { count() {}, observe() {}, gauge() {}, log() {} };

export type Salvaged = SalvageCounts & {
  /** Parts of the store that could not be read, which may have held any number of records. */
  unreadable: number;
  /** Why the last of them could not. */
  why: string;
};

/**
 * Writes every record, and every hint, as a line of `GET /v1/export`.
 *
 * @param dataDirectory A node's `ANNULUS_DATA_DIR`.
 * @param toLine Makes the line to be written out of one of `GET /v1/export`; undefined leaves it out.
 * @throws {KvError} STORAGE_FAILED: a node has it open, or it cannot be opened.
 */
export async function salvageDirectory(
  dataDirectory: string,
  output: Writable,
  toLine: (exported: string) => string | undefined,
): Promise<Salvaged> {
  const counts: Salvaged = { records: 0, hints: 0, damaged: 0, unreadable: 0, why: "" };
  const engine = await createLevelEngine(
    { telemetry: SILENT },
    {
      directory: join(dataDirectory, "store"),
      cacheBytes: CACHE_BYTES,
      writeBufferBytes: WRITE_BUFFER_BYTES,
      reserveBytes: 0,
      onUnreadable(why) {
        counts.unreadable += 1;
        counts.why = why;
      },
    },
  );
  if (engine.lostAtOpen !== undefined) {
    counts.unreadable += 1;
    counts.why = engine.lostAtOpen;
  }
  try {
    for await (const { key, record } of salvage(engine, counts)) {
      const { siblings } = viewRecord(record, Date.now());
      const line = toLine(exportLine({ key, context: "", siblings }));
      if (line !== undefined && !output.write(`${line}\n`)) await once(output, "drain");
    }
  } finally {
    await engine.close();
  }
  return counts;
}
