/** Turns a bench run into a table for people and into JSON for programs. */
import { cpus, release, totalmem } from "node:os";
import type { SideFigures } from "./client-library.ts";
import { clientErrors, renderClient } from "./client-report.ts";
import type { LevelFigures } from "./limit-level.ts";
import type { BareFigures, Figures, WorkloadFigures } from "./measure.ts";
import { table } from "./table.ts";

export type SweepReport = {
  readonly name: string;
  readonly operations: number;
  readonly seconds: number;
  readonly errors: number;
  readonly complaints: readonly string[];
};

export type BenchRun = {
  readonly startedAt: string;
  readonly machine: { cores: number; model: string; memoryGiB: number; kernel: string; node: string };
  readonly settings: { seed: number; keys: number; seconds: number; warmUpSeconds: number };
  readonly bare: readonly BareFigures[];
  readonly level: readonly (LevelFigures & { valueBytes: number })[];
  readonly sweeps: readonly SweepReport[];
  readonly workloads: readonly WorkloadFigures[];
  /** The client library and plain round robin; none where they were not measured. */
  readonly client: readonly SideFigures[];
};

export function machineFacts(): BenchRun["machine"] {
  const processors = cpus();
  return {
    cores: processors.length,
    model: processors[0]?.model.trim() ?? "unknown",
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    node: process.version,
  };
}

/**
 * Operations per server CPU-second as a share of what bare `node:http` does with as many connections: the median of
 * its runs, which lie before, between and after the workloads. Undefined when it was not measured.
 */
export function shareOfBare(run: BenchRun, figures: WorkloadFigures): number | undefined {
  const bare = bareMedian(run.bare, "node", figures.workload.connections);
  return bare === undefined ? undefined : figures.operationsPerCpuSecond / bare;
}

function bareMedian(runs: readonly BareFigures[], server: string, connections: number): number | undefined {
  const rates = runs
    .filter((bare) => bare.server === server && bare.connections === connections)
    .map((bare) => bare.operationsPerCpuSecond)
    .sort((a, b) => a - b);
  const middle = Math.floor(rates.length / 2);
  const upper = rates[middle];
  if (upper === undefined || rates.length % 2 === 1) return upper;
  return (upper + (rates[middle - 1] ?? upper)) / 2;
}

/** Errors, stale and wrong answers of a whole run; 0 is the only good number. */
export function failureCount(run: BenchRun): number {
  const measured = [...run.bare, ...run.sweeps, ...run.workloads];
  return measured.reduce((sum, { errors }) => sum + errors, clientErrors(run.client));
}

const GENERAL_HEADER = [
  "ops/s",
  "p50 ms",
  "p99 ms",
  "p99.9 ms",
  "CPU s/1000",
  "ops/CPU-s",
  "RSS MiB",
  "anon. MiB",
  "gen. cores",
];

function generalCells(figures: Figures): string[] {
  return [
    figures.operationsPerSecond.toFixed(0),
    figures.p50Ms.toFixed(2),
    figures.p99Ms.toFixed(2),
    figures.p999Ms.toFixed(2),
    (1000 / figures.operationsPerCpuSecond).toFixed(3),
    figures.operationsPerCpuSecond.toFixed(0),
    (figures.residentBytesMax / 2 ** 20).toFixed(0),
    (figures.anonymousBytesMax / 2 ** 20).toFixed(0),
    figures.generatorCores.toFixed(2),
  ];
}

/** The whole run as text: Markdown tables that are aligned, so that they read well as they are. */
export function renderRun(run: BenchRun): string {
  const { machine, settings } = run;
  const parts = [
    `${run.startedAt}, Node ${machine.node}, ${machine.cores} cores (${machine.model}), ${machine.memoryGiB} GiB, Linux ${machine.kernel}`,
    `seed ${settings.seed}, ${settings.keys} keys of each size, ${settings.warmUpSeconds} s warm-up + ${settings.seconds} s measured each`,
  ];
  if (run.bare.length > 0) parts.push(`Limits: bare HTTP servers, one process\n\n${bareTable(run.bare)}`);
  if (run.level.length > 0) parts.push(`Limits: raw classic-level, one process, no network\n\n${levelTable(run)}`);
  if (run.sweeps.length > 0) parts.push(`Every key once, 64 connections\n\n${sweepTable(run.sweeps)}`);
  if (run.workloads.length > 0) parts.push(`Three nodes, N=3 R=2 W=2, durability os\n\n${workloadTable(run)}`);
  if (run.client.length > 0) parts.push(renderClient(run.client));
  const failures = failureCount(run);
  parts.push(failures === 0 ? "0 errors, nothing stale, nothing wrong." : `${failures} errors in all.`);
  return `${parts.join("\n\n")}\n`;
}

function bareTable(runs: readonly BareFigures[]): string {
  const rows = runs.map((bare) => [
    `${bare.server === "node" ? "node:http" : "Express 5"} ${bare.connections}c`,
    ...generalCells(bare),
  ]);
  return table(["server", ...GENERAL_HEADER], rows);
}

function levelTable(run: BenchRun): string {
  const rows = run.level.map(({ name, valueBytes, operations, seconds, cpuSeconds }) => [
    `${name}, ${valueBytes} B`,
    (operations / seconds).toFixed(0),
    ((cpuSeconds / operations) * 1000).toFixed(3),
    (operations / cpuSeconds).toFixed(0),
  ]);
  return table(["operation", "ops/s", "CPU s/1000", "ops/CPU-s"], rows);
}

function sweepTable(sweeps: readonly SweepReport[]): string {
  const rows = sweeps.map(({ name, operations, seconds, errors }) => [
    name,
    String(operations),
    seconds.toFixed(1),
    (operations / seconds).toFixed(0),
    String(errors),
  ]);
  return table(["sweep", "operations", "seconds", "ops/s", "errors"], rows);
}

function workloadTable(run: BenchRun): string {
  const rows = run.workloads.map((figures) => {
    const share = shareOfBare(run, figures);
    const { goalShare } = figures.workload;
    return [
      figures.workload.name,
      ...generalCells(figures),
      share === undefined ? "" : `${(share * 100).toFixed(1)} %`,
      goalShare === undefined ? "" : `≥ ${(goalShare * 100).toFixed(1)} %`,
      String(figures.errors),
      String(figures.stale + figures.wrong),
      String(figures.siblings),
    ];
  });
  const header = ["workload", ...GENERAL_HEADER, "of node:http", "goal", "errors", "stale", "siblings"];
  return table(header, rows);
}
