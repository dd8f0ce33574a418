/**
 * A partition as JSON Lines: one key a line, and a last line that says that the export is whole.
 *
 * Read in pages and written with back-pressure, so that a slow reader costs one page of memory. An error after the
 * first page breaks the connection: whoever misses the last line knows that the rest is missing.
 */
import type { ServerResponse } from "node:http";
import { KvError } from "../../core/errors.ts";
import type { ExportEntry } from "./admin-api.ts";
import { formatKey } from "./parse-key.ts";
import { formatInstant, siblingView } from "./respond.ts";

const PAGE_ENTRIES = 100;

/** One line: the key percent-encoded as in `/v1/kv/{key}`, siblings as in a `300`, an expiry where there is one. */
export function exportLine({ key, context, siblings }: ExportEntry): string {
  const views = siblings.map((sibling) =>
    sibling.expiresAtMs === undefined
      ? siblingView(sibling)
      : { ...siblingView(sibling), expiresAt: formatInstant(sibling.expiresAtMs) },
  );
  return JSON.stringify({ key: formatKey(key), context, siblings: views });
}

/** Where the lines come from: pages of a partition, and the line of each entry. */
export type Streamed<Entry> = {
  readonly page: (
    partition: number,
    after: Uint8Array | undefined,
    entriesMax: number,
  ) => Promise<{ readonly entries: readonly Entry[]; readonly done: boolean; readonly epoch: number }>;
  readonly line: (entry: Entry) => string;
  /** Throws once the caller has the right no more; asked before each page but the first. */
  readonly stillMay: () => void;
};

/**
 * Streams one partition.
 *
 * @param after Key behind which to start, or undefined.
 * @throws {KvError} From `page`; before the first byte was written for all that the request itself is wrong in.
 */
export async function streamPartition<Entry extends { readonly key: Uint8Array }>(
  response: ServerResponse,
  { page: pageOf, line, stillMay }: Streamed<Entry>,
  { partition, after }: { readonly partition: number; readonly after: Uint8Array | undefined },
): Promise<void> {
  let page = await pageOf(partition, after, PAGE_ENTRIES);
  response.setHeader("Content-Type", "application/jsonl");
  response.setHeader("Cache-Control", "no-store");
  for (;;) {
    for (const entry of page.entries) {
      if (!(await writeLine(response, line(entry)))) return;
    }
    if (page.done) break;
    const last = page.entries.at(-1)?.key;
    if (last === undefined) {
      throw new KvError("STALE_RING", `Cannot go on with partition ${partition}: a page had no end and no entries.`);
    }
    stillMay();
    page = await pageOf(partition, last, PAGE_ENTRIES);
  }
  response.end(`${JSON.stringify({ epoch: page.epoch, partition, complete: true })}\n`);
}

/**
 * Writes a line, and waits while the client has enough to read.
 *
 * @returns Whether the client is still there.
 */
export async function writeLine(response: ServerResponse, text: string): Promise<boolean> {
  if (!response.write(`${text}\n`)) await drained(response);
  return !response.destroyed;
}

/** Waits until the client took what was written, or left. */
function drained(response: ServerResponse): Promise<void> {
  if (response.destroyed) return Promise.resolve();
  return new Promise((resolve) => {
    const settle = () => {
      response.removeListener("drain", settle);
      response.removeListener("close", settle);
      resolve();
    };
    response.on("drain", settle);
    response.on("close", settle);
  });
}
