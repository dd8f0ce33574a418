/** The Telemetry port of the real machine: plain-number figures, Prometheus text on request, pino logs. */
import type { Telemetry } from "../../ports.ts";
import { unlabelled } from "./catalogue.ts";
import { Figures } from "./figures.ts";
import { createLogger, type LogOptions } from "./logs.ts";
import { registerProcessFigures } from "./process-figures.ts";
import { prometheusText } from "./prometheus.ts";

export type ProcessTelemetry = {
  readonly telemetry: Telemetry;
  /** All figures in Prometheus' text format. */
  metricsText(): Promise<string>;
  /** Ends what samples in the background; figures and logs go on. */
  close(): void;
};

/**
 * Makes the telemetry of one process.
 *
 * @param options How to log, `about`: attributes of the process for `target_info`, and which program this is: its counters
 *   and distributions are shown from the start, for the first of something is a rise from 0 and not a series that begins.
 */
export function createTelemetry(
  options: LogOptions & { readonly about: Readonly<Record<string, string>>; readonly program: "node" | "operator" },
): ProcessTelemetry {
  const logger = createLogger(options);
  const figures = new Figures();
  for (const [name, { kind }] of unlabelled(options.program)) {
    if (kind === "counter") figures.count(name, 0);
    if (kind === "distribution") figures.declare(name);
  }
  const close = registerProcessFigures(figures);
  const telemetry: Telemetry = {
    count: (name, amount) => figures.count(name, amount),
    observe: (name, value) => figures.observe(name, value),
    gauge: (name, read) => figures.gauge(name, read),
    log(level, event, fields) {
      if (fields === undefined) logger[level](event);
      else logger[level](fields, event);
    },
  };
  const reportError = (error: unknown) => logger.error({ cause: error }, "metrics.gauge_failed");
  return { telemetry, metricsText: prometheusText(figures, options.about, reportError), close };
}
