/**
 * Traces, through OpenTelemetry's SDK: one span for each sampled request of a client, one for each replica that it asks,
 * one at each replica that answers; sent to a collector in batches, by OTLP over HTTP.
 *
 * A request that comes without a `traceparent` is drawn for before anything is made of it, so that one that is not sampled
 * costs a random number. Between members a place in a trace is 25 bytes; see `TraceContext`.
 */
import {
  type Attributes,
  ROOT_CONTEXT,
  type SpanContext,
  SpanKind,
  SpanStatusCode,
  TraceFlags,
  trace,
} from "@opentelemetry/api";
import { parseTraceParent } from "@opentelemetry/core";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { resourceFromAttributes } from "@opentelemetry/resources";
import {
  AlwaysOnSampler,
  BasicTracerProvider,
  BatchSpanProcessor,
  SamplingDecision,
  TraceIdRatioBasedSampler,
} from "@opentelemetry/sdk-trace-base";
import type { Span, Tracer } from "../../ports.ts";
import { signalUrl } from "./otlp.ts";

/** How traces are sampled, by the names of `OTEL_TRACES_SAMPLER`. */
export type Sampling = { readonly sampler: string; readonly ratio: number };

export type Traces = {
  readonly tracer: Tracer;
  /** Sends what is still here and ends. A collector that does not take it is told of through `diag`. */
  close(): Promise<void>;
};

const METHODS: ReadonlySet<string> = new Set(["GET", "HEAD", "PUT", "DELETE"]);
const TRACE_ID_BYTES = 16;
const FLAGS_AT = 24;
const CONTEXT_BYTES = 25;

/**
 * Makes the decision on a client's request, before anything is made of it. With `parentbased_` one that comes with a
 * `traceparent` is traced if that says so; whatever is left is drawn for, or decided by its trace id as everywhere else.
 */
function decider({ sampler, ratio }: Sampling): (parent: SpanContext | undefined) => boolean {
  const isByRatio = sampler.endsWith("traceidratio");
  const share = isByRatio ? ratio : sampler.endsWith("_on") ? 1 : 0;
  const byTraceId = new TraceIdRatioBasedSampler(share);
  const followsParent = sampler.startsWith("parentbased_");
  return (parent) => {
    if (parent === undefined) return share > 0 && (share >= 1 || Math.random() < share);
    if (followsParent) return (parent.traceFlags & TraceFlags.SAMPLED) !== 0;
    return byTraceId.shouldSample(ROOT_CONTEXT, parent.traceId).decision === SamplingDecision.RECORD_AND_SAMPLED;
  };
}

function packed({ traceId, spanId, traceFlags }: SpanContext): Uint8Array {
  const bytes = new Uint8Array(CONTEXT_BYTES);
  bytes.set(Buffer.from(traceId + spanId, "hex"));
  bytes[FLAGS_AT] = traceFlags;
  return bytes;
}

function unpacked(bytes: Uint8Array): SpanContext {
  const hex = Buffer.from(bytes.buffer, bytes.byteOffset, FLAGS_AT).toString("hex");
  const traceId = hex.slice(0, 2 * TRACE_ID_BYTES);
  return { traceId, spanId: hex.slice(2 * TRACE_ID_BYTES), traceFlags: bytes[FLAGS_AT] ?? 0, isRemote: true };
}

/**
 * Begins to trace.
 *
 * @param about Attributes of the process.
 */
export function createTraces(
  about: Readonly<Record<string, string>>,
  { endpoint, ...sampling }: Sampling & { readonly endpoint: string },
): Traces {
  const provider = new BasicTracerProvider({
    resource: resourceFromAttributes(about),
    // What comes here was decided on before.
    sampler: new AlwaysOnSampler(),
    spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter({ url: signalUrl(endpoint, "traces") }))],
  });
  const tracer = provider.getTracer("annulus");
  const isSampled = decider(sampling);

  function begin(name: string, kind: SpanKind, parent: SpanContext | undefined, attributes: Attributes): Span {
    const context = parent === undefined ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, parent);
    const span = tracer.startSpan(name, { kind, attributes }, context);
    return {
      context: packed(span.spanContext()),
      end(last = {}) {
        span.setAttributes(last);
        const status = last["http.response.status_code"];
        const isFailed = last["error.type"] !== undefined || (typeof status === "number" && status >= 500);
        if (isFailed) span.setStatus({ code: SpanStatusCode.ERROR });
        span.end();
      },
    };
  }

  return {
    tracer: {
      receive(method, traceparent) {
        const parent = traceparent === undefined ? undefined : (parseTraceParent(traceparent) ?? undefined);
        if (!isSampled(parent)) return undefined;
        const known = METHODS.has(method) ? method : "_OTHER";
        const attributes = { "http.request.method": known, "http.route": "/v1/kv/{key}" };
        const remote = parent === undefined ? undefined : { ...parent, traceFlags: TraceFlags.SAMPLED, isRemote: true };
        return begin(`${known} /v1/kv/{key}`, SpanKind.SERVER, remote, attributes);
      },
      begin(kind, operation, parent, member) {
        const asked = kind === "client";
        const attributes = {
          "db.system.name": "annulus",
          "db.operation.name": operation,
          [asked ? "server.address" : "client.address"]: member,
        };
        const name = asked ? `${operation} ${member}` : operation;
        return begin(name, asked ? SpanKind.CLIENT : SpanKind.SERVER, unpacked(parent), attributes);
      },
    },
    close: () => provider.shutdown(),
  };
}
