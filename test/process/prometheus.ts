/** Debian's Prometheus, scraping real nodes, and its tool that checks metrics and rules. */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ClusterNode } from "../bench/cluster.ts";
import { freePorts, sleep } from "../bench/processes.ts";

const POLL_MS = 200;
const START_WITHIN_MS = 30_000;

/** What Prometheus knows of one target. */
export type Target = { readonly health: string; readonly lastError: string; readonly scrapeUrl: string };
type Sample = { readonly metric: Readonly<Record<string, string>>; readonly value: readonly [number, string] };

export type Prometheus = {
  targets(): Promise<readonly Target[]>;
  /** Evaluates an expression now. */
  query(expression: string): Promise<readonly Sample[]>;
  stop(): Promise<void>;
};

/** Runs `promtool`; gives everything that it printed, empty when it found nothing to say. */
export function promtool(args: readonly string[], input?: string): { readonly status: number | null; text: string } {
  const { status, stdout, stderr, error } = spawnSync("promtool", args, { input, encoding: "utf8" });
  assert.equal(error, undefined, "promtool runs: apt-get install prometheus");
  return { status, text: `${stdout}${stderr}`.trim() };
}

/**
 * Starts a Prometheus that scrapes the admin ports of nodes.
 *
 * @param intervalS Whole seconds between two scrapes of a node.
 * @param rules Files of rules to be evaluated as often.
 */
export async function startPrometheus(
  nodes: readonly ClusterNode[],
  intervalS: number,
  rules: readonly string[] = [],
): Promise<Prometheus> {
  const directory = mkdtempSync(join(tmpdir(), "annulus-prometheus-"));
  const [port = 0] = await freePorts(1);
  const targets = nodes.map(({ host, adminPort }) => `${host}:${adminPort}`);
  const settings = {
    global: { scrape_interval: `${intervalS}s`, evaluation_interval: `${intervalS}s` },
    rule_files: rules,
    scrape_configs: [{ job_name: "annulus", static_configs: [{ targets }] }],
  };
  // JSON is YAML.
  writeFileSync(join(directory, "prometheus.yml"), JSON.stringify(settings));
  const child = spawn(
    "prometheus",
    [
      `--config.file=${join(directory, "prometheus.yml")}`,
      `--storage.tsdb.path=${join(directory, "data")}`,
      `--web.listen-address=127.0.0.1:${port}`,
      "--log.level=error",
    ],
    { stdio: "inherit" },
  );
  const ended = new Promise<void>((resolve) => {
    child.once("exit", () => resolve());
    child.once("error", () => resolve());
  });
  const url = `http://127.0.0.1:${port}`;
  const untilMs = performance.now() + START_WITHIN_MS;
  while (!(await isReady(url))) {
    assert(child.exitCode === null && performance.now() < untilMs, "Prometheus starts: apt-get install prometheus");
    await sleep(POLL_MS);
  }
  return {
    async targets() {
      const { activeTargets } = (await answerOf(`${url}/api/v1/targets`)) as { activeTargets: Target[] };
      return activeTargets;
    },
    async query(expression) {
      const answer = await answerOf(`${url}/api/v1/query?query=${encodeURIComponent(expression)}`);
      return (answer as { result: Sample[] }).result;
    },
    async stop() {
      child.kill("SIGTERM");
      await ended;
      rmSync(directory, { recursive: true });
    },
  };
}

async function isReady(url: string): Promise<boolean> {
  return fetch(`${url}/-/ready`).then(
    ({ ok }) => ok,
    () => false,
  );
}

async function answerOf(url: string): Promise<unknown> {
  const { status, data, error } = (await (await fetch(url)).json()) as {
    status: string;
    data: unknown;
    error?: string;
  };
  assert.equal(status, "success", error);
  return data;
}
