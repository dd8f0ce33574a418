/** Figures at a glance, each with the course of the last minutes where it has one. */
import type { ConsoleLook } from "../core/watch/console-look.ts";
import { linePoints } from "./arcs.ts";
import { element, setAttributes, setText, shape } from "./dom.ts";
import { bytesText, countText, durationText, msText, numberText } from "./words.ts";

/** Looks that a line shows: two minutes at one a second. */
const LOOKS_MAX = 120;
const LINE = { width: 120, height: 28 };

type Tile = {
  readonly name: string;
  readonly value: (look: ConsoleLook) => string;
  readonly about: (look: ConsoleLook) => string;
  /** What its line follows. */
  readonly figure?: (look: ConsoleLook) => number | undefined;
};

const hintsOf = ({ cluster }: ConsoleLook) => cluster.hints.waiting.reduce((sum, { count }) => sum + count, 0);
const present = ({ cluster }: ConsoleLook) => cluster.members.filter(({ state }) => state !== "left");

const TILES: readonly Tile[] = [
  {
    name: "Members up",
    value: (look) => `${present(look).filter(({ health }) => health === "up").length} / ${present(look).length}`,
    about: (look) => countText(new Set(present(look).map(({ zone }) => zone)).size, "zone"),
  },
  {
    name: "Reads",
    value: ({ load }) => `${numberText(load?.readsPerSecond)} /s`,
    about: () => "asked of this node",
    figure: ({ load }) => load?.readsPerSecond,
  },
  {
    name: "Writes",
    value: ({ load }) => `${numberText(load?.writesPerSecond)} /s`,
    about: () => "asked of this node",
    figure: ({ load }) => load?.writesPerSecond,
  },
  {
    name: "Latency, p99",
    value: ({ load }) => msText(load?.p99Ms),
    about: ({ load }) => `p50 ${msText(load?.p50Ms)}`,
    figure: ({ load }) => load?.p99Ms,
  },
  {
    name: "Hints waiting",
    value: (look) => numberText(hintsOf(look)),
    about: ({ cluster }) =>
      cluster.hints.waiting.length === 0
        ? "kept here for nobody"
        : `for ${cluster.hints.waiting.map(({ target }) => target).join(", ")}`,
    figure: hintsOf,
  },
  {
    name: "Repair",
    value: ({ cluster }) => (cluster.repair.running ? "comparing" : "resting"),
    about: ({ cluster: { repair }, at }) =>
      repair.oldest === undefined
        ? `${countText(repair.rounds, "round")}; not all found equal yet`
        : `all found equal ${durationText(Date.parse(at) - Date.parse(repair.oldest))} ago`,
  },
  {
    name: "Disk of this node",
    value: ({ freeBytes }) => bytesText(freeBytes),
    about: ({ usedBytes }) => `free; ${bytesText(usedBytes)} in tables`,
  },
];

/** Makes the tiles; what it returns shows a look and remembers its figures. */
export function createTiles(parent: Element): (look: ConsoleLook) => void {
  const tiles = TILES.map((tile) => {
    const line = shape("polyline", { class: "line" });
    const picture = shape(
      "svg",
      { viewBox: `0 -1 ${LINE.width} ${LINE.height + 2}`, preserveAspectRatio: "none" },
      line,
    );
    const value = element("dd", { class: "value" });
    const about = element("dd", { class: "quiet" });
    const box = element("dl", { class: "tile" }, element("dt", {}, tile.name), value, about);
    // The figure beside it says what matters of the line.
    if (tile.figure !== undefined) box.append(element("dd", { class: "course", "aria-hidden": "true" }, picture));
    parent.append(box);
    return { ...tile, line, values: [] as (number | undefined)[], valueCell: value, aboutCell: about };
  });
  return (look) => {
    for (const tile of tiles) {
      setText(tile.valueCell, tile.value(look));
      setText(tile.aboutCell, tile.about(look));
      if (tile.figure === undefined) continue;
      tile.values.push(tile.figure(look));
      if (tile.values.length > LOOKS_MAX) tile.values.shift();
      const most = Math.max(0, ...tile.values.flatMap((value) => value ?? []));
      setAttributes(tile.line, { points: linePoints(tile.values, { ...LINE, most }) });
    }
  };
}
