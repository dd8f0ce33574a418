/**
 * The figures as OpenTelemetry's data points, made whenever a reader collects: the SDK's own instruments would cost the
 * hot path a hash of attributes per value. Each reader (Prometheus, OTLP) has a producer of its own.
 */
import { ValueType } from "@opentelemetry/api";
import type { Resource } from "@opentelemetry/resources";
import {
  AggregationTemporality,
  type CollectionResult,
  DataPointType,
  type MetricData,
  type MetricProducer,
} from "@opentelemetry/sdk-metrics";
import type { Figures, Histogram } from "./figures.ts";
import { prometheusName, type Shown, shownFigure } from "./metric-names.ts";

/** Seconds since 1970 and nanoseconds, as OpenTelemetry counts. */
type Instant = [seconds: number, nanoseconds: number];

function instant(wallMs: number): Instant {
  const seconds = Math.floor(wallMs / 1000);
  return [seconds, Math.round((wallMs - seconds * 1000) * 1_000_000)];
}

/** Runs one reader of somebody else's figure: that it throws must not hide the other figures. */
function attempt(errors: unknown[], run: () => void): void {
  try {
    run();
  } catch (error) {
    errors.push(error);
  }
}

type Kind = "sum" | "gauge" | "histogram";
type Point = { readonly attributes: Readonly<Record<string, string>>; readonly value: unknown };
type Family = { readonly kind: Kind; readonly shown: Shown; readonly points: Point[] };

/** Turns figures into OpenTelemetry's data points. */
export class FigureProducer implements MetricProducer {
  readonly #figures: Figures;
  readonly #resource: Resource;
  readonly #names: "opentelemetry" | "prometheus";
  readonly #startTime = instant(Date.now());

  /** @param names By whose rules the metrics are called. */
  constructor(figures: Figures, resource: Resource, names: "opentelemetry" | "prometheus") {
    this.#figures = figures;
    this.#resource = resource;
    this.#names = names;
  }

  async collect(): Promise<CollectionResult> {
    const endTime = instant(Date.now());
    const errors: unknown[] = [];
    const families = new Map<string, Family>();
    const { counters, histograms, gauges, totals } = this.#figures;
    for (const [name, { total }] of counters) add(families, "sum", name, (scale) => total * scale);
    for (const [name, histogram] of histograms) add(families, "histogram", name, (scale) => scaled(histogram, scale));
    for (const [name, read] of totals) attempt(errors, () => add(families, "sum", name, (scale) => read() * scale));
    for (const [name, read] of gauges) attempt(errors, () => addGauge(families, name, read()));
    const metrics = [...families.values()].map((family) => this.#metric(family, endTime));
    metrics.sort((a, b) => (a.descriptor.name < b.descriptor.name ? -1 : 1));
    const scopeMetrics = [{ scope: { name: "annulus" }, metrics }];
    return { resourceMetrics: { resource: this.#resource, scopeMetrics }, errors };
  }

  #metric({ kind, shown, points }: Family, endTime: Instant): MetricData {
    const { description, unit } = shown;
    const name = this.#names === "prometheus" ? prometheusName(shown.name, unit) : shown.name;
    const common = {
      descriptor: { name, description, unit, valueType: ValueType.DOUBLE },
      aggregationTemporality: AggregationTemporality.CUMULATIVE,
      dataPoints: points.map(({ attributes, value }) => ({ startTime: this.#startTime, endTime, attributes, value })),
    };
    if (kind === "sum") return { ...common, dataPointType: DataPointType.SUM, isMonotonic: true } as MetricData;
    const dataPointType = kind === "gauge" ? DataPointType.GAUGE : DataPointType.HISTOGRAM;
    return { ...common, dataPointType } as MetricData;
  }
}

function familyOf(families: Map<string, Family>, kind: Kind, shown: Shown): Family {
  const known = families.get(shown.name);
  if (known !== undefined) return known;
  const family: Family = { kind, shown, points: [] };
  families.set(shown.name, family);
  return family;
}

function add(families: Map<string, Family>, kind: Kind, name: string, value: (scale: number) => unknown): void {
  const shown = shownFigure(name);
  const point = { attributes: shown.attributes, value: value(shown.scale) };
  familyOf(families, kind, shown).points.push(point);
}

function addGauge(families: Map<string, Family>, name: string, reading: number | ReadonlyMap<string, number>): void {
  if (typeof reading === "number") return add(families, "gauge", name, (scale) => reading * scale);
  const shown = shownFigure(name);
  const { points } = familyOf(families, "gauge", shown);
  for (const [which, value] of reading) {
    points.push({ attributes: { [shown.readingsBy ?? "of"]: which }, value: value * shown.scale });
  }
}

function scaled(histogram: Histogram, scale: number) {
  const counts = [...histogram.counts];
  const toSeconds = scale !== 1;
  return {
    // Divided, not multiplied: 0.003 and not 0.003000…1 is what people write in a query.
    buckets: { boundaries: histogram.bounds.map((bound) => (toSeconds ? bound / 1_000 : bound)), counts },
    sum: histogram.sum * scale,
    count: counts.reduce((total, count) => total + count, 0),
  };
}
