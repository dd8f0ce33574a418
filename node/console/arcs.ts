/** Geometry of the ring's picture: rings cut into as many sectors as there are partitions. Pure. */

/** Between two radii, in the units of the picture. */
export type Track = { readonly inner: number; readonly outer: number };

const FULL = 2 * Math.PI;

function point(centre: number, radius: number, turn: number): string {
  const angle = turn * FULL - Math.PI / 2;
  return `${(centre + radius * Math.cos(angle)).toFixed(2)} ${(centre + radius * Math.sin(angle)).toFixed(2)}`;
}

/**
 * The outline of some sectors of a ring, as an SVG path. Neighbours become one outline.
 *
 * @param sectors Indexes, ascending, of `count` equal sectors, clockwise from the top.
 */
export function sectorsPath(
  sectors: readonly number[],
  { count, centre, track }: { readonly count: number; readonly centre: number; readonly track: Track },
): string {
  return runsOf(sectors)
    .map(({ from, until }) => {
      // A whole turn begins where it ends, and an arc between equal points is none: it is drawn as two halves.
      if (until - from >= count) return [half(0, 0.5), half(0.5, 1)].join("");
      return half(from / count, until / count);
    })
    .join("");

  function half(start: number, end: number): string {
    const isLarge = end - start > 0.5 ? 1 : 0;
    const { inner, outer } = track;
    return (
      `M${point(centre, outer, start)}A${outer} ${outer} 0 ${isLarge} 1 ${point(centre, outer, end)}` +
      `L${point(centre, inner, end)}A${inner} ${inner} 0 ${isLarge} 0 ${point(centre, inner, start)}Z`
    );
  }
}

/** Ascending indexes as runs of neighbours. */
export function runsOf(indexes: readonly number[]): readonly { readonly from: number; readonly until: number }[] {
  const runs: { from: number; until: number }[] = [];
  for (const index of indexes) {
    const last = runs.at(-1);
    if (last !== undefined && last.until === index) last.until = index + 1;
    else runs.push({ from: index, until: index + 1 });
  }
  return runs;
}

/** The sector of `count` in which a point lies, seen from the centre. */
export function sectorAt(dx: number, dy: number, count: number): number {
  const turn = (Math.atan2(dy, dx) + Math.PI / 2) / FULL;
  return Math.floor(((turn % 1) + 1) * count) % count;
}

/** A line of figures as the `points` of an SVG polyline in a box; undefined figures are left out. */
export function linePoints(
  figures: readonly (number | undefined)[],
  { width, height, most }: { readonly width: number; readonly height: number; readonly most: number },
): string {
  const step = figures.length < 2 ? 0 : width / (figures.length - 1);
  return figures
    .flatMap((figure, index) =>
      figure === undefined
        ? []
        : [`${(index * step).toFixed(1)},${(height - (most > 0 ? figure / most : 0) * height).toFixed(1)}`],
    )
    .join(" ");
}
