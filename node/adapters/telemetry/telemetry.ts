/** The Telemetry port of the real machine: plain-number figures for Prometheus and OTLP, traces, pino logs. */
import { setTimeout as sleep } from "node:timers/promises";
import { type DiagLogger, DiagLogLevel, diag } from "@opentelemetry/api";
import type { LogLevel, Telemetry } from "../../ports.ts";
import { unlabelled } from "./catalogue.ts";
import { Figures } from "./figures.ts";
import { createLogger, type LogOptions } from "./logs.ts";
import { registerProcessFigures } from "./process-figures.ts";
import { prometheusText } from "./prometheus.ts";
import type { Sampling, Traces } from "./traces.ts";

/** How long the end of a process may wait for a collector. */
const LAST_SENDING_MS = 2_000;

export type TelemetryOptions = LogOptions & {
  /** Attributes of the process. */
  readonly about: Readonly<Record<string, string>>;
  /** Its counters and distributions are shown from the start: the first of something is a rise from 0, not a new series. */
  readonly program: "node" | "operator";
  /** Keeps no figures and makes no traces. */
  readonly isDisabled?: boolean;
  /** Where to send figures and traces; neither is sent when absent. */
  readonly collector?: Sampling & { readonly endpoint: string; readonly exportIntervalMs: number };
};

export type ProcessTelemetry = {
  readonly telemetry: Telemetry;
  /** All figures in Prometheus' text format. */
  metricsText(): Promise<string>;
  /** Sends what is still here, as far as the collector takes it, and ends what samples in the background; logs go on. */
  close(): Promise<void>;
};

/** Makes the telemetry of one process. */
export async function createTelemetry(options: TelemetryOptions): Promise<ProcessTelemetry> {
  const logger = createLogger(options);
  const log: Telemetry["log"] = (level, event, fields) => {
    if (fields === undefined) logger[level](event);
    else logger[level](fields, event);
  };
  if (options.isDisabled === true) {
    const telemetry = { count() {}, observe() {}, gauge() {}, log };
    return { telemetry, metricsText: async () => "", close: async () => {} };
  }
  const { about, collector } = options;
  const figures = new Figures();
  for (const [name, { kind }] of unlabelled(options.program)) {
    if (kind === "counter") figures.count(name, 0);
    if (kind === "distribution") figures.declare(name);
  }
  const stopSampling = registerProcessFigures(figures);
  // OpenTelemetry tells of a collector that is away here, and nowhere else.
  diag.setLogger(diagnostics(log), DiagLogLevel.WARN);
  const { traces, endExport } = collector === undefined ? {} : await beginSending(figures, about, collector);
  const telemetry: Telemetry = {
    tracer: traces?.tracer,
    count: (name, amount) => figures.count(name, amount),
    observe: (name, value) => figures.observe(name, value),
    gauge: (name, read) => figures.gauge(name, read),
    log,
  };
  const reportError = (error: unknown) => logger.error({ cause: error }, "metrics.gauge_failed");
  return {
    telemetry,
    metricsText: prometheusText(figures, about, reportError),
    async close() {
      stopSampling();
      const sent = Promise.allSettled([traces?.close(), endExport?.()]);
      for (const result of (await Promise.race([sent, sleep(LAST_SENDING_MS, [], { ref: false })])) ?? []) {
        if (result.status === "rejected") log("warn", "telemetry.not_sent", { cause: result.reason });
      }
    },
  };
}

/** The exporters are a sixth of what a node loads at its start, and are loaded only where there is somebody to send to. */
async function beginSending(
  figures: Figures,
  about: Readonly<Record<string, string>>,
  collector: NonNullable<TelemetryOptions["collector"]>,
): Promise<{ readonly traces?: Traces; readonly endExport?: () => Promise<void> }> {
  const [{ createTraces }, { exportMetrics }] = await Promise.all([import("./traces.ts"), import("./otlp.ts")]);
  const endExport = exportMetrics(figures, about, collector);
  return collector.sampler === "always_off" ? { endExport } : { endExport, traces: createTraces(about, collector) };
}

/** What OpenTelemetry says of itself, in our log. */
function diagnostics(log: Telemetry["log"]): DiagLogger {
  const at = (level: LogLevel) => (message: string) => log(level, "telemetry.exporter", { reason: message });
  return { error: at("warn"), warn: at("warn"), info: at("info"), debug: at("debug"), verbose: at("debug") };
}
