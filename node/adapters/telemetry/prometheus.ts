/** The figures as Prometheus text, through OpenTelemetry's reader and serializer. */
import { PrometheusExporter, PrometheusSerializer } from "@opentelemetry/exporter-prometheus";
import { resourceFromAttributes } from "@opentelemetry/resources";
import type { Figures } from "./figures.ts";
import { FigureProducer } from "./producer.ts";

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
  reader.setMetricProducer(new FigureProducer(figures, resourceFromAttributes(about), "prometheus"));
  const serializer = new PrometheusSerializer("", false, undefined, false, true);
  return async () => {
    const { resourceMetrics, errors } = await reader.collect();
    for (const error of errors) reportError(error);
    return serializer.serialize(resourceMetrics);
  };
}
