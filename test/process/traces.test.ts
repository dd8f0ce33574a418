/** Traces across three real nodes, as a collector gets them. */
import assert from "node:assert/strict";
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { type Collector, startCollector } from "../adapters/collector.ts";
import { LocalCluster } from "../bench/cluster.ts";
import { ask } from "./http.ts";

const TRACE_ID = "0af7651916cd43dd8448eb211c80319c";
const CLIENT_SPAN_ID = "b7ad6b7169203331";

let collector: Collector;
let cluster: LocalCluster;

beforeAll(async () => {
  collector = await startCollector();
  cluster = await LocalCluster.start({
    settings: {
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint,
      OTEL_TRACES_SAMPLER: "parentbased_always_off",
      OTEL_METRIC_EXPORT_INTERVAL: "500",
    },
  });
}, 60_000);
afterAll(async () => {
  await collector.stop();
}, 60_000);

describe("a traced request", () => {
  it("is one tree of spans over all nodes, and what is not sampled leaves none", async () => {
    const [first] = cluster.nodes;
    assert(first !== undefined);
    await ask(first, "PUT", "untraced", { body: "value" });
    const traceparent = `00-${TRACE_ID}-${CLIENT_SPAN_ID}-01`;
    const answer = await ask(first, "PUT", "traced?w=3", { body: "value", headers: { traceparent } });
    expect(answer.status).toBe(204);
    // A stop sends what is still here.
    expect(await cluster.stop()).toEqual([]);
    const { spans } = collector;
    expect(new Set(spans.map(({ traceId }) => traceId))).toEqual(new Set([TRACE_ID]));
    const [request] = spans.filter(({ name }) => name.startsWith("PUT"));
    expect(request).toMatchObject({ parentSpanId: CLIENT_SPAN_ID, instance: first.name });
    const calls = spans.filter(({ kind }) => kind === 3);
    expect(calls.map(({ about }) => about.get("server.address")).toSorted()).toEqual(
      cluster.nodes.map(({ name }) => name).toSorted(),
    );
    for (const { parentSpanId, instance } of calls) {
      expect([parentSpanId, instance]).toEqual([request?.spanId, first.name]);
    }
    const served = spans.filter(({ kind, name }) => kind === 2 && !name.startsWith("PUT"));
    expect(served.map(({ instance }) => instance).toSorted()).toEqual(
      cluster.nodes
        .map(({ name }) => name)
        .filter((name) => name !== first.name)
        .toSorted(),
    );
    for (const { parentSpanId, instance } of served) {
      const call = calls.find(({ spanId }) => spanId === parentSpanId);
      expect(call?.about.get("server.address")).toBe(instance);
    }
  });

  it("left the metrics of every node with the collector, too", () => {
    const names = new Set(collector.sendings.flat().map(({ name }) => name));
    expect([...names]).toEqual(
      expect.arrayContaining(["http.server.request.duration", "annulus.quorum.duration", "process.cpu.time"]),
    );
  });
});
