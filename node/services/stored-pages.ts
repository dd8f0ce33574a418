/**
 * Reads a range of storage keys page by page, so that no more than a page is in memory and others get their turn between
 * two. What is written meanwhile behind the position is seen, what is written before it is not.
 *
 * A page is bounded by its bytes as well: of values of many MiB each, a hundred are no page.
 */
import { successor } from "../core/bytes.ts";
import type { StorageRange } from "../core/keyspace.ts";
import type { Engine, Entry, ScanRange } from "../ports.ts";

/** Bytes of keys and values from which a page takes no more; larger: fewer reads of small pages, more memory. */
export const PAGE_BYTES = 1 << 20;
/** Entries that are read before anything is known of their sizes. */
const FIRST_ENTRIES = 8;
/** How many times as many may follow as were read, at most: their sizes are only expected to be like those. */
const GROWTH = 4;

export type StoredPage = {
  readonly entries: readonly Entry[];
  /** Whether the range ends with it. */
  readonly isLast: boolean;
};

/**
 * One page of a range, read by as many goes as it takes to know how large its values are.
 *
 * @param bytesMax Where its entries come to this, it ends, though some that were read with the last one may pass it.
 */
export async function boundedPage(
  engine: Pick<Engine, "scan">,
  { from, until, limit }: ScanRange,
  bytesMax: number,
): Promise<StoredPage> {
  const entries: Entry[] = [];
  let bytes = 0;
  let asked = Math.min(limit, FIRST_ENTRIES);
  for (let next = from; ; ) {
    const part = await engine.scan({ from: next, until, limit: asked });
    for (const entry of part) {
      entries.push(entry);
      bytes += entry.key.length + entry.value.length;
    }
    const last = part.at(-1);
    if (last === undefined || part.length < asked) return { entries, isLast: true };
    if (entries.length >= limit || bytes >= bytesMax) return { entries, isLast: false };
    next = successor(last.key);
    asked = Math.min(limit - entries.length, likelyFitting({ entries: entries.length, bytes }, bytesMax - bytes));
  }
}

/** How many entries are to be read next, to come to some bytes: by the size of those before them; one at least. */
export function likelyFitting(read: { readonly entries: number; readonly bytes: number }, bytesMax: number): number {
  return Math.min(read.entries * GROWTH, Math.ceil((bytesMax * read.entries) / read.bytes));
}

/**
 * @param limit Entries of a page, at most.
 * @returns Pages in the order of the keys, none of them empty. Rejects with the engine's error.
 */
export async function* pagesOf(
  engine: Pick<Engine, "scan">,
  range: StorageRange,
  limit: number,
): AsyncGenerator<readonly Entry[]> {
  let { from } = range;
  for (;;) {
    const { entries, isLast } = await boundedPage(engine, { from, until: range.until, limit }, PAGE_BYTES);
    const last = entries.at(-1);
    if (last === undefined) return;
    yield entries;
    if (isLast) return;
    from = successor(last.key);
  }
}
