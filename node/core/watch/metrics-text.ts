/** A node's metrics page as figures, as far as `top`, `doctor` and the console look at it: Prometheus text, format 0.0.4. */

/** One line of the page. */
export type Sample = {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
};

const LINE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)/;

/** Reads a page; lines that are no samples are passed over. */
export function parseMetrics(text: string): readonly Sample[] {
  return text.split("\n").flatMap((line) => {
    const [, name, labels = "", value = ""] = LINE.exec(line) ?? [];
    if (name === undefined) return [];
    const pairs = [...labels.matchAll(/(?:^|,)([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g)].map(
      ([, label = "", text = ""]) => [label, text],
    );
    return [{ name, labels: Object.fromEntries(pairs) as Record<string, string>, value: numberOf(value) }];
  });
}

function numberOf(text: string): number {
  return text === "+Inf" ? Number.POSITIVE_INFINITY : Number(text);
}

/** The sum of all samples of a name that fit; undefined when there is none. */
export function sumOf(
  samples: readonly Sample[],
  name: string,
  fits: (labels: Sample["labels"]) => boolean = () => true,
): number | undefined {
  const fitting = samples.filter((sample) => sample.name === name && fits(sample.labels));
  return fitting.length === 0 ? undefined : fitting.reduce((sum, { value }) => sum + value, 0);
}

/** How many samples of a distribution were at most so large, by the bounds of its buckets, ascending. */
export type Buckets = ReadonlyMap<number, number>;

/** The buckets of a distribution, summed over the series that fit. */
export function bucketsOf(
  samples: readonly Sample[],
  name: string,
  fits: (labels: Sample["labels"]) => boolean,
): Buckets {
  const buckets = new Map<number, number>();
  for (const { name: found, labels, value } of samples) {
    if (found !== `${name}_bucket` || !fits(labels)) continue;
    const bound = numberOf(labels.le ?? "");
    buckets.set(bound, (buckets.get(bound) ?? 0) + value);
  }
  return new Map([...buckets].sort(([a], [b]) => a - b));
}

/**
 * A quantile of what came between two looks at a distribution, within a bucket by proportion.
 *
 * @param share 0 .. 1.
 * @returns In the distribution's unit; undefined when nothing came. Above the last bound: that bound.
 */
export function quantile(before: Buckets, after: Buckets, share: number): number | undefined {
  const counts = [...after].map(([bound, count]) => ({ bound, count: count - (before.get(bound) ?? 0) }));
  const total = counts.at(-1)?.count ?? 0;
  if (total <= 0) return undefined;
  let lower = { bound: 0, count: 0 };
  for (const upper of counts) {
    if (upper.count >= share * total) {
      if (upper.bound === Number.POSITIVE_INFINITY || upper.count === lower.count) return lower.bound;
      const part = (share * total - lower.count) / (upper.count - lower.count);
      return lower.bound + Math.max(0, part) * (upper.bound - lower.bound);
    }
    lower = upper;
  }
  return lower.bound;
}
