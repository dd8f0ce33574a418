/** Every metric that a panel or an alert names is exported by real nodes, and real Prometheus understands all of them. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { LocalCluster } from "../bench/cluster.ts";
import { sleep } from "../bench/processes.ts";
import { ask } from "./http.ts";
import { alerts, metricsIn, panelExpressions, RULES_FILE } from "./monitoring.ts";
import { type Prometheus, promtool, startPrometheus } from "./prometheus.ts";

const PATIENCE_MS = 60_000;
const POLL_MS = 500;
/** Of a node whose ports have certificates, and of the operator: these nodes have nothing to say of either. */
const OF_OTHERS = ["annulus_tls_expires_seconds", "annulus_operator_backups_failing"];

let cluster: LocalCluster;
let prometheus: Prometheus;

beforeAll(async () => {
  cluster = await LocalCluster.start();
  prometheus = await startPrometheus(cluster.nodes, 1, [RULES_FILE]);
}, 60_000);
afterAll(async () => {
  await prometheus.stop();
  expect(await cluster.stop()).toEqual([]);
}, 60_000);

describe("the dashboard and the alert rules", () => {
  it("find their names by reading expressions as Prometheus does", () => {
    expect(
      metricsIn('sum by (a_b) (rate(x_total{c_d=~"e_f"}[5m])) / max without (g_h) (y_bytes) and z_seconds > 0.5'),
    ).toEqual(["x_total", "y_bytes", "z_seconds"]);
  });

  it("are correct for promtool", () => {
    const { status, text } = promtool(["check", "rules", RULES_FILE]);
    expect(text).toContain(`SUCCESS: ${alerts().length} rules found`);
    expect(status).toBe(0);
  });

  it(
    "name only metrics that a node exports",
    async () => {
      const expressions = [
        ...alerts().map(({ expr }) => expr),
        ...panelExpressions().map(({ expression }) => expression),
      ];
      const named = new Set(expressions.flatMap(metricsIn));
      expect(named.size).toBeGreaterThan(40);
      for (const name of OF_OTHERS) named.delete(name);
      // One member goes, so that hints wait for it; then everything that is kept by an attribute has been seen once.
      const [first, second, third] = cluster.nodes;
      assert(first !== undefined && second !== undefined && third !== undefined);
      await cluster.killNode(third);
      const untilMs = performance.now() + PATIENCE_MS;
      for (let round = 0; ; round++) {
        for (const node of [first, second]) {
          await ask(node, "PUT", `key-${round}`, { body: "value" });
          await ask(node, "GET", `key-${round}`);
          await ask(node, "GET", `key-${round}?r=99`);
        }
        const found = await prometheus.query('group by (__name__) ({job="annulus"})');
        const exported = new Set(found.map(({ metric }) => metric.__name__ ?? ""));
        const missing = [...named].filter((name) => !exported.has(name));
        if (missing.length === 0) break;
        assert(performance.now() < untilMs, `not exported: ${missing.join(", ")}`);
        await sleep(POLL_MS);
      }
    },
    PATIENCE_MS + 10_000,
  );

  it("are evaluated by Prometheus without an error", async () => {
    for (const { expression } of panelExpressions()) await prometheus.query(expression);
    for (const { expr } of alerts()) await prometheus.query(expr);
  });

  it("warn of what they are for, and of nothing in a healthy store", () => {
    const directory = mkdtempSync(join(tmpdir(), "annulus-alerts-"));
    try {
      const file = join(directory, "test.yml");
      writeFileSync(file, JSON.stringify({ rule_files: [RULES_FILE], evaluation_interval: "1m", tests: scenarios() }));
      expect(promtool(["test", "rules", file])).toEqual({ status: 0, text: expect.stringContaining("SUCCESS") });
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});

type Series = Readonly<Record<string, string>>;

/** Two hours of a store, a sample a minute. */
const HEALTHY: Series = {
  'annulus_hints_waiting_by_target{job="s",instance="n1",target="n2"}': "0x120",
  'annulus_members_down{job="s",instance="n1"}': "0x120",
  'annulus_quorum_duration_seconds_count{job="s",instance="n1",operation="get",outcome="ok"}': "0+600x120",
  'annulus_quorum_duration_seconds_count{job="s",instance="n1",operation="get",outcome="timed_out"}': "0x120",
  'annulus_store_free_bytes{job="s",instance="n1"}': "800x120",
  'annulus_store_disk_bytes{job="s",instance="n1"}': "1000x120",
  'annulus_store_takes_writes{job="s",instance="n1"}': "1x120",
  'annulus_ring_transition{job="s",instance="n1"}': "0x120",
  'annulus_ring_epoch{job="s",instance="n1"}': "7x120",
  'annulus_transfer_bytes_total{job="s",instance="n1"}': "0x120",
  'annulus_ring_partitions_crowded{job="s",instance="n1"}': "0x120",
  'annulus_tls_expires_seconds{job="s",instance="n1",port="peer"}': "900000x120",
  'annulus_operator_backups_failing{job="operator",instance="o1"}': "0x120",
  'up{job="s",instance="n1"}': "1x120",
  // Whatever else Prometheus scrapes is none of these rules' affair.
  'up{job="other",instance="o1"}': "0x120",
};

/** Nobody is left to tell of the others: every series of the store ends, and scrapes of it fail. */
const ALL_AWAY: Series = {
  ...Object.fromEntries(Object.entries(HEALTHY).map(([name, values]) => [name, values.replace(/x120$/, "x60")])),
  'up{job="s",instance="n1"}': "1x60 0x60",
  'up{job="other",instance="o1"}': "0x120",
};

/** What goes wrong with the healthy store for each alert. */
const WRONG: Readonly<Record<string, Series>> = {
  AnnulusHintsWaiting: { 'annulus_hints_waiting_by_target{job="s",instance="n1",target="n2"}': "5x120" },
  AnnulusReplicaDown: { 'annulus_members_down{job="s",instance="n1"}': "1x120" },
  AnnulusNodeUnheard: ALL_AWAY,
  AnnulusQuorumFailures: {
    'annulus_quorum_duration_seconds_count{job="s",instance="n1",operation="get",outcome="timed_out"}': "0+60x120",
  },
  AnnulusDiskFilling: { 'annulus_store_free_bytes{job="s",instance="n1"}': "20x120" },
  AnnulusWritesRefused: { 'annulus_store_takes_writes{job="s",instance="n1"}': "0x120" },
  AnnulusTransitionStalled: { 'annulus_ring_transition{job="s",instance="n1"}': "1x120" },
  AnnulusZonesUnbalanced: { 'annulus_ring_partitions_crowded{job="s",instance="n1"}': "3x120" },
  AnnulusCertificateEnds: { 'annulus_tls_expires_seconds{job="s",instance="n1",port="peer"}': "90000x120" },
  AnnulusBackupFailing: { 'annulus_operator_backups_failing{job="operator",instance="o1"}': "2x120" },
};

/** For `promtool test rules`: every alert is silent over the healthy store, and alone sounds over its own trouble. */
function scenarios() {
  const names = alerts().map(({ alert }) => alert);
  expect(Object.keys(WRONG)).toEqual(names);
  const scenario = (series: Series, sounding: string | undefined) => ({
    interval: "1m",
    input_series: Object.entries({ ...HEALTHY, ...series }).map(([name, values]) => ({ series: name, values })),
    promql_expr_test: names.map((alert) => ({
      expr: `count(ALERTS{alertname="${alert}",alertstate="firing"})`,
      eval_time: "90m",
      exp_samples: alert === sounding ? [{ labels: "{}", value: 1 }] : [],
    })),
  });
  return [scenario({}, undefined), ...Object.entries(WRONG).map(([alert, series]) => scenario(series, alert))];
}
