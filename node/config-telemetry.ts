/**
 * The settings of OpenTelemetry, under the names that its users know. What else the exporters read of the environment
 * (`OTEL_EXPORTER_OTLP_HEADERS`, `…_TIMEOUT`, `…_COMPRESSION`, certificates) is theirs.
 */
import { matching, oneOf, whole } from "./config-kinds.ts";

export const SAMPLERS = [
  "always_off",
  "always_on",
  "traceidratio",
  "parentbased_always_off",
  "parentbased_always_on",
  "parentbased_traceidratio",
] as const;
export type Sampler = (typeof SAMPLERS)[number];

/** Entries of the schema in `config.ts`. */
export const TELEMETRY_SETTINGS = {
  OTEL_SDK_DISABLED: oneOf(["true", "false"], "false", {
    meaning: "`true` keeps no metrics and makes no traces; logs go on.",
  }),
  OTEL_EXPORTER_OTLP_ENDPOINT: matching(/^https?:\/\/[^\s/]+(\/\S*)?$/, "a URL, `http://…` or `https://…`", {
    meaning:
      "Collector that takes OTLP over HTTP (usually port 4318): metrics are sent to it, and traces where they are sampled. Default: nothing is sent; `/metrics` is served all the same.",
  }).optional(),
  OTEL_METRIC_EXPORT_INTERVAL: whole(
    { min: 100, max: 3_600_000, preset: 60_000 },
    { unit: "ms", meaning: "Time between two sendings of the metrics.", growth: "fewer bytes; older figures" },
  ),
  OTEL_TRACES_SAMPLER: oneOf(SAMPLERS, "always_off", {
    meaning:
      "Which requests are traced: all, none, or the share of `OTEL_TRACES_SAMPLER_ARG`; with `parentbased_`, one that comes with a `traceparent` as that says. Off by default, unlike OpenTelemetry's own.",
  }),
  OTEL_TRACES_SAMPLER_ARG: matching(/^(0(\.\d{1,9})?|1(\.0{1,9})?)$/, "a share from 0 to 1", {
    meaning: "Share of the requests that the `traceidratio` samplers trace.",
  }).default("1"),
};

type TelemetryValues = {
  readonly OTEL_SDK_DISABLED: "true" | "false";
  readonly OTEL_EXPORTER_OTLP_ENDPOINT?: string | undefined;
  readonly OTEL_METRIC_EXPORT_INTERVAL: number;
  readonly OTEL_TRACES_SAMPLER: Sampler;
  readonly OTEL_TRACES_SAMPLER_ARG: string;
};

/** What is kept, sent and traced; see the settings. */
export type TelemetryConfig = {
  readonly isDisabled: boolean;
  readonly endpoint: string | undefined;
  readonly exportIntervalMs: number;
  readonly sampler: Sampler;
  readonly ratio: number;
};

/** The settings as values. */
export function toTelemetryConfig(settings: TelemetryValues): TelemetryConfig {
  return {
    isDisabled: settings.OTEL_SDK_DISABLED === "true",
    endpoint: settings.OTEL_EXPORTER_OTLP_ENDPOINT,
    exportIntervalMs: settings.OTEL_METRIC_EXPORT_INTERVAL,
    sampler: settings.OTEL_TRACES_SAMPLER,
    ratio: Number(settings.OTEL_TRACES_SAMPLER_ARG),
  };
}

/** What of these settings makes no sense together. */
export function telemetryContradictions({ endpoint, sampler }: TelemetryConfig): string[] {
  if (endpoint !== undefined || sampler === "always_off") return [];
  return [
    `OTEL_TRACES_SAMPLER: expected \`always_off\` where OTEL_EXPORTER_OTLP_ENDPOINT is not set, found "${sampler}"`,
  ];
}
