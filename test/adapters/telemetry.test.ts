import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { describe, it } from "@jest/globals";
import { CATALOGUE, describeFigure } from "../../node/adapters/telemetry/catalogue.ts";
import { Figures, seriesOfDistribution } from "../../node/adapters/telemetry/figures.ts";
import { figuresTable } from "../../node/adapters/telemetry/metric-names.ts";
import { registerProcessFigures } from "../../node/adapters/telemetry/process-figures.ts";
import { prometheusText } from "../../node/adapters/telemetry/prometheus.ts";

/** The sample lines of the metrics page, without comments, as name -> value. */
async function samples(figures: Figures, errors: unknown[] = []): Promise<Map<string, string>> {
  const text = await prometheusText(figures, { "service.name": "annulus" }, (error) => errors.push(error))();
  const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return new Map(lines.map((line) => [line.slice(0, line.lastIndexOf(" ")), line.slice(line.lastIndexOf(" ") + 1)]));
}

describe("the metrics page", () => {
  it("shows counters as totals, gauges as they are now and distributions as cumulative buckets", async () => {
    const figures = new Figures();
    figures.count("annulus.write.hedges");
    figures.count("annulus.write.hedges", 4);
    let level = 1;
    figures.gauge("annulus.queue.depth", () => level);
    level = 7;
    for (const value of [0.05, 0.1, 3, 20_000]) figures.observe("annulus.commit.flush.duration", value);
    const page = await samples(figures);
    assert.equal(page.get("annulus_write_hedges_total"), "5");
    assert.equal(page.get("annulus_queue_depth"), "7");
    assert.equal(page.get("annulus_commit_flush_duration_seconds_count"), "4");
    assert.equal(Number(page.get("annulus_commit_flush_duration_seconds_sum")).toFixed(6), "20.003150");
    assert.equal(page.get('annulus_commit_flush_duration_seconds_bucket{le="0.0001"}'), "2");
    assert.equal(page.get('annulus_commit_flush_duration_seconds_bucket{le="0.002"}'), "2");
    assert.equal(page.get('annulus_commit_flush_duration_seconds_bucket{le="0.003"}'), "3");
    assert.equal(page.get('annulus_commit_flush_duration_seconds_bucket{le="10"}'), "3");
    assert.equal(page.get('annulus_commit_flush_duration_seconds_bucket{le="+Inf"}'), "4");
    assert.equal(page.get('target_info{service_name="annulus"}'), "1");
  });

  it("shows attributes as labels: those in a name, those of a gauge for each member, and the last word of a code", async () => {
    const figures = new Figures();
    figures.observe("annulus.quorum.duration{operation=get,outcome=ok}", 2);
    figures.observe("annulus.quorum.duration{operation=put,outcome=timed_out}", 4);
    figures.gauge("annulus.hints.waiting_by_target", () => new Map([["sessions-0", 3]]));
    figures.count("annulus.http.errors.timed_out", 2);
    figures.total("process.cpu.time{cpu.mode=user}", () => 1.5);
    const page = await samples(figures);
    assert.equal(page.get('annulus_quorum_duration_seconds_sum{operation="get",outcome="ok"}'), "0.002");
    assert.equal(page.get('annulus_quorum_duration_seconds_count{operation="put",outcome="timed_out"}'), "1");
    assert.equal(page.get('annulus_hints_waiting_by_target{target="sessions-0"}'), "3");
    assert.equal(page.get('annulus_http_errors_total{error_code="timed_out"}'), "2");
    assert.equal(page.get('process_cpu_time_seconds_total{cpu_mode="user"}'), "1.5");
  });

  it("says of which system the replicas are that are asked, as the conventions want it, for success and failure", async () => {
    const figures = new Figures();
    figures.observe("db.client.operation.duration{db.operation.name=read}", 2);
    figures.observe("db.client.operation.duration{db.operation.name=read,error.type=timed_out}", 4);
    const page = await samples(figures);
    const name = "db_client_operation_duration_seconds_count";
    assert.equal(page.get(`${name}{db_system_name="annulus",db_operation_name="read"}`), "1");
    assert.equal(page.get(`${name}{db_system_name="annulus",db_operation_name="read",error_type="timed_out"}`), "1");
  });

  it("shows the other figures and reports the error when reading one throws", async () => {
    const figures = new Figures();
    const errors: unknown[] = [];
    const failure = new Error("closed");
    figures.gauge("annulus.broken", () => {
      throw failure;
    });
    figures.gauge("annulus.whole", () => 1);
    const page = await samples(figures, errors);
    assert.equal(page.get("annulus_whole"), "1");
    assert.equal(page.has("annulus_broken"), false);
    assert.deepEqual(errors, [failure]);
  });

  it("tells of the process: memory, processor time as a counter, event loop", async () => {
    const figures = new Figures();
    const close = registerProcessFigures(figures);
    const page = await samples(figures);
    close();
    assert.ok(Number(page.get("process_memory_usage_bytes")) > 10_000_000);
    assert.ok(Number(page.get('process_cpu_time_seconds_total{cpu_mode="user"}')) > 0);
    assert.ok(Number(page.get("nodejs_eventloop_delay_p99_seconds")) >= 0);
  });

  it("takes no name that Prometheus would have to bend, and no name for two kinds", () => {
    const figures = new Figures();
    assert.throws(() => figures.count("write-hedges"));
    assert.throws(() => figures.observe("annulus.Write", 1));
    figures.count("annulus.twice");
    assert.throws(() => figures.gauge("annulus.twice", () => 1));
    assert.throws(() => figures.observe("annulus.twice", 1));
    assert.throws(() => figures.observe("annulus.twice{kind=other}", 1));
    assert.throws(() => figures.count('annulus.quoted{kind="x"}'));
  });
});

describe("the catalogue of figures", () => {
  /** Names in calls of the telemetry port; a template's variable part counts as `*`. */
  const CALL = /\b(?:count|observe|gauge|total)\(\s*["`]([a-z0-9]+\.[^"`]+)["`]/g;
  const NAMED = /[`"]((?:annulus|db|http|v8js)\.[a-z0-9_.]+)\{[a-z]/g;

  function namesInSources(): Set<string> {
    const folders = ["../../node/", "../../operator/"].map((path) => new URL(path, import.meta.url));
    const texts = folders.flatMap((folder) =>
      readdirSync(folder, { recursive: true, encoding: "utf8" })
        .filter((file) => file.endsWith(".ts") && !file.endsWith("catalogue.ts"))
        .map((file) => readFileSync(new URL(file, folder), "utf8")),
    );
    const found = texts.flatMap((text) => [...text.matchAll(CALL), ...text.matchAll(NAMED)]);
    return new Set(found.map(([, name = ""]) => name.replace(/\$\{.*\}/, "*").replace(/\{.*/, "")));
  }

  it("explains every figure that a node or the operator keeps", () => {
    const names = namesInSources();
    assert.ok(names.size > 30, "the search finds the calls");
    const unexplained = [...names].filter((name) => name !== "annulus.store.*" && describeFigure(name) === undefined);
    assert.deepEqual(unexplained, []);
  });

  it("stays bounded: what one node of a cluster of 60 members in 3 zones can come to", () => {
    const sizes = { members: 60, zones: 3 };
    const series = Object.values(CATALOGUE).map(({ kind, unit, attributes }) => {
      const values = Object.values(attributes).map((many) => (typeof many === "number" ? many : sizes[many]));
      const combinations = values.reduce((product, many) => product * many, 1);
      return combinations * (kind === "distribution" ? seriesOfDistribution(unit) : 1);
    });
    const total = series.reduce((sum, many) => sum + many, 0);
    process.stdout.write(`time series of one node of 60: at most ${total}\n`);
    assert.ok(total < 5_000, `${total} time series`);
  });

  it("is the table of docs/operations.md", () => {
    const page = readFileSync(new URL("../../docs/operations.md", import.meta.url), "utf8");
    const table = /<!-- figures: begin -->\n([\s\S]*)<!-- figures: end -->/.exec(page)?.[1];
    assert.equal(table, figuresTable());
  });
});
