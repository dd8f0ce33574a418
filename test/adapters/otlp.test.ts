/** What is sent to a collector, as one that speaks OTLP over HTTP gets it. */
import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "@jest/globals";
import { diag } from "@opentelemetry/api";
import { Figures } from "../../node/adapters/telemetry/figures.ts";
import { exportMetrics } from "../../node/adapters/telemetry/otlp.ts";
import { createTraces, type Traces } from "../../node/adapters/telemetry/traces.ts";
import { type Collector, startCollector } from "./collector.ts";

const ABOUT = { "service.name": "annulus", "service.instance.id": "n1" };
const PARENT = "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331";

let collector: Collector;

beforeEach(async () => {
  collector = await startCollector();
});
afterEach(() => collector.stop());

const tracesBy = (sampler: string, ratio = 1): Traces =>
  createTraces(ABOUT, { endpoint: collector.endpoint, sampler, ratio });

describe("metrics by OTLP", () => {
  it("go to /v1/metrics by OpenTelemetry's names and units, the last ones at the end", async () => {
    const figures = new Figures();
    figures.count("annulus.read.hedges", 3);
    figures.observe("annulus.commit.flush.duration", 500);
    await exportMetrics(figures, ABOUT, { endpoint: `${collector.endpoint}/`, exportIntervalMs: 3_600_000 })();
    const metrics = new Map(collector.sendings.flat().map((metric) => [metric.name, metric]));
    assert.equal(metrics.get("annulus.read.hedges")?.sum?.dataPoints[0]?.asDouble, 3);
    assert.equal(metrics.get("annulus.read.hedges")?.sum?.isMonotonic, true);
    assert.equal(metrics.get("annulus.commit.flush.duration")?.unit, "s");
    const [point] = metrics.get("annulus.commit.flush.duration")?.histogram?.dataPoints ?? [];
    assert.deepEqual([point?.count, point?.sum], [1, 0.5]);
  });

  it("say so when the collector is away", async () => {
    const { endpoint } = collector;
    await collector.stop();
    const said: string[] = [];
    const say = (text: string) => said.push(text);
    diag.setLogger({ error: say, warn: say, info() {}, debug() {}, verbose() {} });
    await exportMetrics(new Figures(), ABOUT, { endpoint, exportIntervalMs: 1_000 })();
    diag.disable();
    assert.match(said.join(), /timed out|ECONNREFUSED/);
    collector = await startCollector();
  });
});

describe("a trace", () => {
  it("has a span for the request, under the client's, one for each replica asked, and one at the replica", async () => {
    const traces = tracesBy("parentbased_always_off");
    const request = traces.tracer.receive("PUT", `00-${PARENT}-01`);
    assert(request !== undefined);
    const call = traces.tracer.begin("client", "merge", request.context, "n2");
    const served = traces.tracer.begin("server", "merge", call.context, "n1");
    served.end();
    call.end({ "error.type": "TIMED_OUT" });
    request.end({ "http.response.status_code": 204 });
    await traces.close();
    const [put, merge, atReplica] = ["PUT /v1/kv/{key}", "merge n2", "merge"].map((name) =>
      collector.spans.find((span) => span.name === name),
    );
    assert.deepEqual(new Set(collector.spans.map(({ traceId }) => traceId)), new Set([PARENT.split("-")[0]]));
    assert.equal(put?.parentSpanId, PARENT.split("-")[1]);
    assert.equal(merge?.parentSpanId, put?.spanId);
    assert.equal(atReplica?.parentSpanId, merge?.spanId);
    assert.equal(put?.about.get("http.response.status_code"), 204);
    assert.equal(merge?.about.get("server.address"), "n2");
    assert.deepEqual([put?.status.code, merge?.status.code], [0, 2]);
  });

  it.each([
    ["parentbased_traceidratio", 1, "00", false],
    ["parentbased_traceidratio", 0, "01", true],
    ["parentbased_always_off", 1, "01", true],
    ["always_on", 1, "00", true],
    ["traceidratio", 0, "01", false],
    ["traceidratio", 1, "00", true],
  ] as const)(
    "by %s with %d is sampled as it should be where the client's says %s",
    async (sampler, ratio, flags, isSampled) => {
      const traces = tracesBy(sampler, ratio);
      assert.equal(traces.tracer.receive("GET", `00-${PARENT}-${flags}`) !== undefined, isSampled);
      await traces.close();
    },
  );

  it.each([
    ["parentbased_traceidratio", 0, 0, 0],
    ["parentbased_traceidratio", 0.5, 350, 650],
    ["parentbased_traceidratio", 1, 1_000, 1_000],
    ["parentbased_always_on", 0, 1_000, 1_000],
    ["parentbased_always_off", 1, 0, 0],
  ] as const)(
    "by %s with %d begins for %d to %d of a thousand requests without a client's",
    async (sampler, ratio, least, most) => {
      const traces = tracesBy(sampler, ratio);
      let begun = 0;
      for (let i = 0; i < 1_000; i++) if (traces.tracer.receive("GET", undefined) !== undefined) begun += 1;
      assert(begun >= least && begun <= most, `${begun}`);
      await traces.close();
    },
  );

  it("is begun anew where what the client sent is none", async () => {
    const traces = tracesBy("parentbased_always_on");
    const span = traces.tracer.receive("GET", "not a traceparent");
    span?.end();
    await traces.close();
    assert.equal(collector.spans.length, 1);
    assert.equal(collector.spans[0]?.parentSpanId ?? "", "");
  });
});
