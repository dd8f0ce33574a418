/**
 * The figures as Prometheus text, through OpenTelemetry.
 *
 * `FigureProducer` hands the plain numbers to OpenTelemetry as finished data points whenever a reader collects: the
 * SDK's own instruments would cost the hot path a hash of attributes per value. Any other OpenTelemetry reader (an
 * OTLP exporter) can be given the same producer.
 */
import { ValueType } from "@opentelemetry/api";
import { PrometheusExporter, PrometheusSerializer } from "@opentelemetry/exporter-prometheus";
import { type Resource, resourceFromAttributes } from "@opentelemetry/resources";
import {
  AggregationTemporality,
  type CollectionResult,
  DataPointType,
  type MetricData,
  type MetricProducer,
} from "@opentelemetry/sdk-metrics";
import { describeFigure } from "./catalogue.ts";
import type { Figures, Histogram } from "./figures.ts";

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

/** Turns figures into OpenTelemetry's data points. */
class FigureProducer implements MetricProducer {
  readonly #figures: Figures;
  readonly #resource: Resource;
  readonly #startTime = instant(Date.now());

  constructor(figures: Figures, resource: Resource) {
    this.#figures = figures;
    this.#resource = resource;
  }

  async collect(): Promise<CollectionResult> {
    const endTime = instant(Date.now());
    const errors: unknown[] = [];
    const metrics: MetricData[] = [];
    for (const [name, { total }] of this.#figures.counters) metrics.push(this.#sum(name, total, endTime));
    for (const [name, histogram] of this.#figures.histograms) metrics.push(this.#histogram(name, histogram, endTime));
    for (const [name, read] of this.#figures.gauges) {
      attempt(errors, () => metrics.push(this.#gauge(name, read(), endTime)));
    }
    for (const [name, read] of this.#figures.totals) {
      attempt(errors, () => metrics.push(this.#sum(name, read(), endTime)));
    }
    metrics.sort((a, b) => (a.descriptor.name < b.descriptor.name ? -1 : 1));
    const scopeMetrics = [{ scope: { name: "annulus" }, metrics }];
    return { resourceMetrics: { resource: this.#resource, scopeMetrics }, errors };
  }

  #common<T>(name: string, value: T, endTime: Instant) {
    const { description, unit } = describeFigure(name) ?? { description: name, unit: "" };
    return {
      descriptor: { name, description, unit, valueType: ValueType.DOUBLE },
      aggregationTemporality: AggregationTemporality.CUMULATIVE,
      dataPoints: [{ startTime: this.#startTime, endTime, attributes: {}, value }],
    };
  }

  #sum(name: string, value: number, endTime: Instant): MetricData {
    return { ...this.#common(name, value, endTime), dataPointType: DataPointType.SUM, isMonotonic: true };
  }

  #gauge(name: string, value: number, endTime: Instant): MetricData {
    return { ...this.#common(name, value, endTime), dataPointType: DataPointType.GAUGE };
  }

  #histogram(name: string, histogram: Histogram, endTime: Instant): MetricData {
    const counts = [...histogram.counts];
    const value = {
      buckets: { boundaries: [...histogram.bounds], counts },
      sum: histogram.sum,
      count: counts.reduce((total, count) => total + count, 0),
    };
    return { ...this.#common(name, value, endTime), dataPointType: DataPointType.HISTOGRAM };
  }
}

/**
 * Makes the function that collects all figures and writes them in Prometheus' text format.
 *
 * @param about Attributes of the process, shown as `target_info`.
 * @param reportError Is told of a gauge that threw; the other figures are shown all the same.
 */
export function prometheusText(
  figures: Figures,
  about: Readonly<Record<string, string>>,
  reportError: (error: unknown) => void,
): () => Promise<string> {
  const reader = new PrometheusExporter({ preventServerStart: true });
  reader.setMetricProducer(new FigureProducer(figures, resourceFromAttributes(about)));
  const serializer = new PrometheusSerializer("", false, undefined, false, true);
  return async () => {
    const { resourceMetrics, errors } = await reader.collect();
    for (const error of errors) reportError(error);
    return serializer.serialize(resourceMetrics);
  };
}
