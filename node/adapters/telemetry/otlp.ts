/**
 * The figures sent to a collector by OTLP over HTTP, through OpenTelemetry's own reader and exporter.
 *
 * A collector that is away costs a log line and that sending; the next one has the same totals.
 */
import { OTLPMetricExporter } from "@opentelemetry/exporter-metrics-otlp-http";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { PeriodicExportingMetricReader } from "@opentelemetry/sdk-metrics";
import type { Figures } from "./figures.ts";
import { FigureProducer } from "./producer.ts";

/** How long one sending may take, unless the interval is shorter. */
const EXPORT_TIMEOUT_MS = 10_000;

/** Where a signal goes under the collector's address, as OpenTelemetry lays it down. */
export function signalUrl(endpoint: string, signal: "metrics" | "traces"): string {
  return `${endpoint.replace(/\/$/, "")}/v1/${signal}`;
}

/**
 * Begins to send the figures.
 *
 * @param about Attributes of the process.
 * @returns Sends them once more and ends that. A collector that does not take them is told of through `diag`.
 */
export function exportMetrics(
  figures: Figures,
  about: Readonly<Record<string, string>>,
  { endpoint, exportIntervalMs }: { readonly endpoint: string; readonly exportIntervalMs: number },
): () => Promise<void> {
  const reader = new PeriodicExportingMetricReader({
    exporter: new OTLPMetricExporter({ url: signalUrl(endpoint, "metrics") }),
    exportIntervalMillis: exportIntervalMs,
    exportTimeoutMillis: Math.min(EXPORT_TIMEOUT_MS, exportIntervalMs),
  });
  reader.setMetricProducer(new FigureProducer(figures, resourceFromAttributes(about), "opentelemetry"));
  return () => reader.shutdown();
}
