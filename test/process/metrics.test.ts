/** The metrics of three real nodes, as a real Prometheus reads them. */
import assert from "node:assert/strict";
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { CATALOGUE } from "../../node/adapters/telemetry/catalogue.ts";
import { shownCatalogue } from "../../node/adapters/telemetry/metric-names.ts";
import { type ClusterNode, LocalCluster } from "../bench/cluster.ts";
import { sleep } from "../bench/processes.ts";
import { ask } from "./http.ts";
import { type Prometheus, promtool, startPrometheus } from "./prometheus.ts";

/** A minute of scrapes. */
const SCRAPES = 60;
const INTERVAL_S = 1;
const PATIENCE_MS = 180_000;
const PATIENT_POLL_MS = 500;

let cluster: LocalCluster;
let prometheus: Prometheus;

beforeAll(async () => {
  cluster = await LocalCluster.start();
  prometheus = await startPrometheus(cluster.nodes, INTERVAL_S);
}, 60_000);
afterAll(async () => {
  await prometheus.stop();
  expect(await cluster.stop()).toEqual([]);
}, 60_000);

/** Reads, writes and deletes through every node, and what ends in errors. */
async function useAll(nodes: readonly ClusterNode[], round: number): Promise<void> {
  for (const node of nodes) {
    await ask(node, "PUT", `key-${round}`, { body: "value" });
    await ask(node, "GET", `key-${round}`);
    await ask(node, "DELETE", `key-${round}`);
    await ask(node, "GET", `never-${round}`);
    await ask(node, "GET", "bad?r=99");
  }
}

const pageOf = async ({ host, adminPort }: ClusterNode): Promise<string> =>
  (await fetch(`http://${host}:${adminPort}/metrics`)).text();

describe("the metrics of a cluster", () => {
  it(
    "are scraped for a minute without an error, and count what clients did",
    async () => {
      const untilMs = performance.now() + PATIENCE_MS;
      for (let round = 0; ; round++) {
        await useAll(cluster.nodes, round);
        const counts = await prometheus.query('count_over_time(up{job="annulus"}[5m])');
        if (counts.length === 3 && counts.every(({ value }) => Number(value[1]) >= SCRAPES)) break;
        assert(performance.now() < untilMs, "every node is scraped");
        await sleep(PATIENT_POLL_MS);
      }
      const targets = await prometheus.targets();
      expect(targets.map(({ health, lastError }) => ({ health, lastError }))).toEqual(
        Array(3).fill({ health: "up", lastError: "" }),
      );
      const failed = await prometheus.query('min_over_time(up{job="annulus"}[5m]) < 1');
      expect(failed).toEqual([]);
      const answers = await prometheus.query(
        "sum by (http_request_method, http_response_status_code) (http_server_request_duration_seconds_count)",
      );
      const seen = answers.map(({ metric }) => `${metric.http_request_method} ${metric.http_response_status_code}`);
      expect(seen).toEqual(expect.arrayContaining(["DELETE 204", "GET 200", "GET 400", "GET 404", "PUT 204"]));
      const [busiest] = await prometheus.query('max(count by (instance) ({job="annulus"}))');
      process.stdout.write(`time series of one of three nodes: ${busiest?.value[1]}\n`);
      expect(Number(busiest?.value[1])).toBeLessThan(2_000);
    },
    PATIENCE_MS + 60_000,
  );

  it("are what promtool would have them be", async () => {
    await useAll(cluster.nodes, 0);
    for (const node of cluster.nodes) {
      expect(promtool(["check", "metrics"], await pageOf(node))).toEqual({ status: 0, text: "" });
    }
  });

  it("are all in the catalogue, with its labels and no others", async () => {
    const known = new Map(
      shownCatalogue().map(({ shown, attributes }) => [
        shown,
        new Set(Object.keys(attributes).map((name) => name.replaceAll(".", "_"))),
      ]),
    );
    const strays: string[] = [];
    for (const [, name = "", labels = ""] of (await pageOf(cluster.nodes[0] as ClusterNode)).matchAll(
      /^([a-z]\w*)(?:\{(.*)\})? \S+$/gm,
    )) {
      if (name === "target_info") continue;
      const allowed = known.get(name) ?? known.get(name.replace(/_(bucket|sum|count)$/, ""));
      const used = [...labels.matchAll(/(\w+)="/g)].map(([, label = ""]) => label).filter((label) => label !== "le");
      if (allowed === undefined || used.some((label) => !allowed.has(label))) strays.push(`${name}{${used.join()}}`);
    }
    expect(strays).toEqual([]);
    expect(Object.keys(CATALOGUE).length).toBeGreaterThan(100);
  });
});
