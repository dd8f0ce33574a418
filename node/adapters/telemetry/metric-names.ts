/**
 * What a figure is called outside of this process.
 *
 * OpenTelemetry knows a metric by its path and its unit (`annulus.commit.flush.duration`, `s`); Prometheus has the unit
 * in the name (`annulus_commit_flush_duration_seconds`). Durations are kept in ms and shown in seconds. Source:
 * OpenTelemetry's "Prometheus and OpenMetrics compatibility", and what `promtool check metrics` asks for.
 */
import { CATALOGUE, describeFigure } from "./catalogue.ts";
import { attributesIn, baseName } from "./figures.ts";

/** A unit by OpenTelemetry's code, and as Prometheus writes it in a name. */
const SUFFIXES: Readonly<Record<string, string>> = { s: "seconds", By: "bytes", "By/s": "bytes_per_second" };

export type Shown = {
  readonly name: string;
  readonly attributes: Readonly<Record<string, string>>;
  readonly description: string;
  /** By OpenTelemetry's code; empty for plain numbers. */
  readonly unit: string;
  /** By what a kept value is multiplied. */
  readonly scale: number;
  /** The attribute that tells a gauge's readings apart, where it has one for each of something. */
  readonly readingsBy: string | undefined;
};

/** How a figure is shown to OpenTelemetry. */
export function shownFigure(figure: string): Shown {
  const base = baseName(figure);
  const about = describeFigure(base);
  if (about === undefined) {
    const attributes = attributesIn(figure);
    return { name: base, attributes, description: base, unit: "", scale: 1, readingsBy: undefined };
  }
  const isKeptInMs = about.unit === "ms";
  const common = {
    description: about.description,
    unit: isKeptInMs ? "s" : about.unit,
    scale: isKeptInMs ? 0.001 : 1,
    readingsBy: Object.keys(about.attributes)[0],
  };
  // `path.*` in the catalogue stands for many figures: the last word of each is its attribute's value.
  if (base.endsWith(".*")) return { ...common, name: withoutLastWord(base), attributes: {} };
  if (CATALOGUE[base] !== undefined) {
    return { ...common, name: base, attributes: { ...about.constants, ...attributesIn(figure) } };
  }
  const attributes = { [common.readingsBy ?? "kind"]: base.slice(base.lastIndexOf(".") + 1) };
  return { ...common, name: withoutLastWord(base), attributes };
}

function withoutLastWord(name: string): string {
  return name.slice(0, name.lastIndexOf("."));
}

/** A metric's name on the metrics page, without the `_total` of a counter. */
export function prometheusName(name: string, unit: string): string {
  const plain = name.replaceAll(".", "_");
  const suffix = SUFFIXES[unit];
  return suffix === undefined || plain.endsWith(`_${suffix}`) ? plain : `${plain}_${suffix}`;
}

/** All metrics by the names that Prometheus shows, with what is known of them. */
export function shownCatalogue() {
  return Object.entries(CATALOGUE).map(([figure, about]) => {
    const { name, unit } = shownFigure(figure);
    const shown = prometheusName(name, unit) + (about.kind === "counter" ? "_total" : "");
    return { ...about, shown, unit: SUFFIXES[unit] ?? "" };
  });
}

/** The table of all figures in Markdown, under the names that Prometheus shows. */
export function figuresTable(): string {
  const rows = shownCatalogue().map(({ shown, kind, unit, attributes, description }) => {
    const names = Object.keys(attributes).map((name) => name.replaceAll(".", "_"));
    const labels = names.length === 0 ? "" : `{${names.join(", ")}}`;
    return `| \`${shown}${labels}\` | ${kind}${unit === "" ? "" : `, ${unit}`} | ${description} |`;
  });
  return ["| metric | kind | meaning |", "| --- | --- | --- |", ...rows, ""].join("\n");
}
