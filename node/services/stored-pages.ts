/**
 * Reads a range of storage keys page by page, so that no more than a page is in memory and others get their turn between
 * two. What is written meanwhile behind the position is seen, what is written before it is not.
 */
import { successor } from "../core/bytes.ts";
import type { StorageRange } from "../core/keyspace.ts";
import type { Engine, Entry } from "../ports.ts";

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
    const page = await engine.scan({ from, until: range.until, limit });
    const last = page.at(-1);
    if (last === undefined) return;
    yield page;
    if (page.length < limit) return;
    from = successor(last.key);
  }
}
