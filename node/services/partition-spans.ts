/** Partitions that lie side by side, and so are one range of storage keys. */

/** Partitions of `from` .. `until` − 1. */
export type Span = { readonly from: number; readonly until: number };

/** Partitions as spans of adjacent ones, ascending. */
export function spansOf(partitions: Iterable<number>): Span[] {
  const spans: Span[] = [];
  for (const partition of [...partitions].sort((a, b) => a - b)) {
    const last = spans.at(-1);
    if (last?.until === partition) spans.splice(-1, 1, { from: last.from, until: partition + 1 });
    else spans.push({ from: partition, until: partition + 1 });
  }
  return spans;
}
