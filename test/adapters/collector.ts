/** A collector that keeps what it is sent by OTLP over HTTP, in OTLP's JSON form. */
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";

type Attribute = {
  readonly key: string;
  readonly value: { readonly stringValue?: string; readonly intValue?: number };
};
export type CollectedSpan = {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly kind: number;
  readonly status: { readonly code?: number };
  /** By name. */
  readonly about: ReadonlyMap<string, string | number>;
  /** The `service.instance.id` of the process that it is of. */
  readonly instance: string;
};
export type CollectedMetric = {
  readonly name: string;
  readonly unit: string;
  readonly sum?: { readonly dataPoints: readonly { readonly asDouble: number }[]; readonly isMonotonic: boolean };
  readonly histogram?: { readonly dataPoints: readonly { readonly count: number; readonly sum: number }[] };
};
type Resource = { readonly attributes: readonly Attribute[] };
type Spans = { readonly resourceSpans: readonly { resource: Resource; scopeSpans: readonly { spans: RawSpan[] }[] }[] };
type RawSpan = Omit<CollectedSpan, "about" | "instance"> & { readonly attributes: readonly Attribute[] };
type Metrics = { readonly resourceMetrics: readonly { scopeMetrics: readonly { metrics: CollectedMetric[] }[] }[] };

export type Collector = {
  readonly endpoint: string;
  readonly spans: CollectedSpan[];
  /** The metrics of each sending. */
  readonly sendings: (readonly CollectedMetric[])[];
  stop(): Promise<void>;
};

const aboutOf = (attributes: readonly Attribute[]) =>
  new Map(attributes.map(({ key, value }) => [key, value.stringValue ?? Number(value.intValue)] as const));

async function bodyOf(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return JSON.parse(Buffer.concat(chunks).toString()) as unknown;
}

/** Starts one on loopback. */
export async function startCollector(): Promise<Collector> {
  const spans: CollectedSpan[] = [];
  const sendings: (readonly CollectedMetric[])[] = [];
  const take = (path: string | undefined, body: unknown) => {
    if (path === "/v1/traces") {
      for (const { resource, scopeSpans } of (body as Spans).resourceSpans) {
        const instance = String(aboutOf(resource.attributes).get("service.instance.id"));
        for (const { attributes, ...span } of scopeSpans.flatMap((scope) => scope.spans))
          spans.push({ ...span, about: aboutOf(attributes), instance });
      }
    }
    if (path === "/v1/metrics") {
      sendings.push(
        (body as Metrics).resourceMetrics.flatMap(({ scopeMetrics }) => scopeMetrics.flatMap(({ metrics }) => metrics)),
      );
    }
  };
  const server = createServer((request, response) => {
    bodyOf(request).then(
      (body) => {
        take(request.url, body);
        response.setHeader("content-type", "application/json").end("{}");
      },
      () => response.destroy(),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    spans,
    sendings,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
