/** What pairs of runs say: the median of their ratios, and how sure that is. */

/** Medians that are drawn anew for an interval. */
const DRAWS = 2_000;

/** How much more than 1 a ratio is. */
export const percent = (ratio: number) => `${ratio >= 1 ? "+" : ""}${((ratio - 1) * 100).toFixed(1)} %`;

/** The middle of the values; the mean of the two in the middle where they are even in number. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1
    ? (sorted[middle] as number)
    : ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2;
}

/** Bootstrap of the median: the interval that holds this share of the medians of values drawn anew. */
export function interval(values: readonly number[], share: number, uniform: () => number): [number, number] {
  const medians = Array.from({ length: DRAWS }, () =>
    median(values.map(() => values[Math.floor(uniform() * values.length)] as number)),
  ).sort((a, b) => a - b);
  const tail = Math.round(((1 - share) / 2) * DRAWS);
  return [medians[tail] as number, medians[DRAWS - 1 - tail] as number];
}
