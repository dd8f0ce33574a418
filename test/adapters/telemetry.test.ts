import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { describe, it } from "@jest/globals";
import { describeFigure, figuresTable } from "../../node/adapters/telemetry/catalogue.ts";
import { Figures } from "../../node/adapters/telemetry/figures.ts";
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
    for (const value of [0.05, 0.1, 3, 20_000]) figures.observe("annulus.write.duration_ms", value);
    const page = await samples(figures);
    assert.equal(page.get("annulus_write_hedges_total"), "5");
    assert.equal(page.get("annulus_queue_depth"), "7");
    assert.equal(page.get("annulus_write_duration_ms_count"), "4");
    assert.equal(page.get("annulus_write_duration_ms_sum"), String(0.05 + 0.1 + 3 + 20_000));
    assert.equal(page.get('annulus_write_duration_ms_bucket{le="0.1"}'), "2");
    assert.equal(page.get('annulus_write_duration_ms_bucket{le="2"}'), "2");
    assert.equal(page.get('annulus_write_duration_ms_bucket{le="3"}'), "3");
    assert.equal(page.get('annulus_write_duration_ms_bucket{le="10000"}'), "3");
    assert.equal(page.get('annulus_write_duration_ms_bucket{le="+Inf"}'), "4");
    assert.equal(page.get('target_info{service_name="annulus"}'), "1");
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
    assert.ok(Number(page.get("annulus_process_resident_bytes")) > 10_000_000);
    assert.ok(Number(page.get("annulus_process_cpu_seconds_total")) > 0);
    assert.ok(Number(page.get("annulus_process_event_loop_delay_p99_ms")) >= 0);
  });

  it("takes no name that Prometheus would have to bend, and no name for two kinds", () => {
    const figures = new Figures();
    assert.throws(() => figures.count("write-hedges"));
    assert.throws(() => figures.observe("annulus.Write", 1));
    figures.count("annulus.twice");
    assert.throws(() => figures.gauge("annulus.twice", () => 1));
    assert.throws(() => figures.observe("annulus.twice", 1));
  });
});

describe("the catalogue of figures", () => {
  /** Names in calls of the telemetry port; a template's variable part counts as `*`. */
  const CALL = /\b(?:count|observe|gauge|total)\(\s*["`](annulus\.[^"`]+)["`]/g;
  const NAMED = /"(annulus\.(?:[a-z0-9_]+\.)*[a-z0-9_]+_ms)"/g;

  function namesInSources(): Set<string> {
    const folders = ["../../node/", "../../operator/"].map((path) => new URL(path, import.meta.url));
    const texts = folders.flatMap((folder) =>
      readdirSync(folder, { recursive: true, encoding: "utf8" })
        .filter((file) => file.endsWith(".ts") && !file.endsWith("catalogue.ts"))
        .map((file) => readFileSync(new URL(file, folder), "utf8")),
    );
    const found = texts.flatMap((text) => [...text.matchAll(CALL), ...text.matchAll(NAMED)]);
    return new Set(found.map(([, name = ""]) => name.replace(/\$\{.*\}/, "*")));
  }

  it("explains every figure that a node or the operator keeps", () => {
    const names = namesInSources();
    assert.ok(names.size > 30, "the search finds the calls");
    const unexplained = [...names].filter((name) => name !== "annulus.store.*" && describeFigure(name) === undefined);
    assert.deepEqual(unexplained, []);
  });

  it("is the table of docs/operations.md", () => {
    const page = readFileSync(new URL("../../docs/operations.md", import.meta.url), "utf8");
    const table = /<!-- figures: begin -->\n([\s\S]*)<!-- figures: end -->/.exec(page)?.[1];
    assert.equal(table, figuresTable());
  });
});
