/**
 * The ring, drawn: one circle for each place of the preference lists, cut into partitions, each in the colour of its owner.
 *
 * Outermost, while a change is under way, the partitions that get a new home. Members that are down are hatched, suspects
 * dotted. One path for each member, so that 4,096 partitions are no more elements than 16.
 */
import { sectorAt, sectorsPath, type Track } from "./arcs.ts";
import { type Colour, paint } from "./colours.ts";
import { setAttributes, shape } from "./dom.ts";
import { homesOf, movingPartitions, type RingAnswer } from "./ring-answer.ts";

const SIZE = 440;
const CENTRE = SIZE / 2;
const MOVES: Track = { inner: 206, outer: 216 };
const OUTER = 202;
const INNER = 92;
const GAP = 3;

export type RingPicture = {
  /** Draws anew; cheap when only health or the choice changed. */
  show(ring: RingAnswer, colours: ReadonlyMap<string, Colour>): void;
  mark(health: ReadonlyMap<string, string>, chosen: { readonly member: string | undefined; partition: number }): void;
};

/** @param onPoint Told of the partition under the pointer. */
export function createRingPicture(parent: Element, onPoint: (partition: number) => void): RingPicture {
  const svg = shape("svg", {
    viewBox: `0 0 ${SIZE} ${SIZE}`,
    role: "img",
    class: "ring-svg",
    "aria-label": "The ring is not known yet.",
  });
  const slices = shape("g");
  const moves = shape("path", { class: "moves-track" });
  const needle = shape("path", { class: "needle" });
  const title = shape("text", { x: CENTRE, y: CENTRE - 8, class: "ring-title" });
  const subtitle = shape("text", { x: CENTRE, y: CENTRE + 16, class: "ring-subtitle" });
  const quorum = shape("text", { x: CENTRE, y: CENTRE + 36, class: "ring-subtitle" });
  svg.append(patterns(), slices, moves, needle, title, subtitle, quorum);
  parent.append(svg);
  let drawn:
    | { readonly ring: RingAnswer; readonly members: ReadonlyMap<string, readonly SVGPathElement[]> }
    | undefined;
  svg.addEventListener("pointermove", (event) => {
    if (drawn === undefined) return;
    const { left, top, width, height } = svg.getBoundingClientRect();
    onPoint(sectorAt(event.clientX - left - width / 2, event.clientY - top - height / 2, drawn.ring.partitions));
  });

  return {
    show(ring, colours) {
      const paths = new Map<string, readonly SVGPathElement[]>();
      for (const [name, places] of homesOf(ring.preferenceLists)) {
        const outline = places
          .map((sectors, place) =>
            sectorsPath(sectors, { count: ring.partitions, centre: CENTRE, track: trackOf(place, ring.n) }),
          )
          .join("");
        const slice = shape("path", { d: outline, class: "slice" });
        paint(slice, colours.get(name));
        paths.set(name, [slice, shape("path", { d: outline, class: "overlay" })]);
      }
      slices.replaceChildren(...[...paths.values()].flat());
      const moving = movingPartitions(ring);
      setAttributes(moves, { d: sectorsPath(moving, { count: ring.partitions, centre: CENTRE, track: MOVES }) });
      title.textContent = `epoch ${ring.epoch}`;
      subtitle.textContent = `${ring.partitions} partitions`;
      quorum.textContent = `n ${ring.n}  r ${ring.r}  w ${ring.w}  ${ring.mode}`;
      const summary = `The ring: ${ring.partitions} partitions with ${ring.n} homes each; the table of members tells how many each has.`;
      const change = moving.length === 0 ? "" : ` ${moving.length} partitions get a new home.`;
      setAttributes(svg, { "aria-label": summary + change });
      drawn = { ring, members: paths };
    },
    mark(health, chosen) {
      if (drawn === undefined) return;
      for (const [name, [slice, overlay]] of drawn.members) {
        slice?.classList.toggle("faded", chosen.member !== undefined && chosen.member !== name);
        if (overlay !== undefined) setAttributes(overlay, { "data-health": health.get(name) ?? "up" });
      }
      const track = { inner: INNER - 6, outer: MOVES.outer };
      setAttributes(needle, {
        d: sectorsPath([chosen.partition], { count: drawn.ring.partitions, centre: CENTRE, track }),
      });
    },
  };
}

/** The first home is outermost. */
function trackOf(place: number, count: number): Track {
  const thickness = (OUTER - INNER) / count;
  return { outer: OUTER - place * thickness, inner: OUTER - (place + 1) * thickness + GAP };
}

function patterns(): SVGDefsElement {
  return shape(
    "defs",
    {},
    shape(
      "pattern",
      { id: "hatched", width: 6, height: 6, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" },
      shape("rect", { width: 3.5, height: 6, class: "hatch" }),
    ),
    shape(
      "pattern",
      { id: "dotted", width: 7, height: 7, patternUnits: "userSpaceOnUse" },
      shape("circle", { cx: 3.5, cy: 3.5, r: 1.8, class: "hatch" }),
    ),
  );
}
