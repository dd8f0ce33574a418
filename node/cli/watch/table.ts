/** The table of `annulus top`: two looks at a cluster, and what happened between them. Pure. */
import { alignTable } from "../table.ts";
import { newest } from "./diagnose.ts";
import type { Look, NodeView } from "./look.ts";
import { bucketsOf, quantile, type Sample, sumOf } from "./metrics-text.ts";

const REQUESTS = "http_server_request_duration_seconds";
const HEAD = ["MEMBER", "ZONE", "STATE", "HEALTH", "PHI", "READS/S", "WRITES/S", "P50 MS", "P99 MS", "HINTS"];
const UNKNOWN = "-";

/** The members as the node with the newest ring sees them; figures of those that were asked themselves. */
export function topTable(before: Look | undefined, now: Look): string {
  const view = newest(now.views);
  if (view === undefined) return `no node answers:\n${now.silent.map(({ url, why }) => `  ${url}: ${why}\n`).join("")}`;
  const { id, ringEpoch, members, transition } = view.cluster;
  const hints = new Map<string, number>();
  for (const { cluster } of now.views) {
    for (const { target, count } of cluster.hints.waiting) hints.set(target, (hints.get(target) ?? 0) + count);
  }
  const rows = members
    .filter(({ state }) => state !== "left")
    .map(({ name, zone, state, health, phi }) => {
      const own = now.views.find(({ cluster }) => cluster.node === name);
      const past = before?.views.find(({ cluster }) => cluster.node === name);
      const figures = figuresOf(past, own, before === undefined ? 0 : (now.atMs - before.atMs) / 1000);
      return [name, zone, state, health, phi?.toFixed(1) ?? UNKNOWN, ...figures, String(hints.get(name) ?? 0)];
    });
  const change =
    transition === undefined || transition === null
      ? ""
      : `\nchange ${transition.id} (${transition.kind}): ${transition.phase}, ${transition.movedPartitions} of ${transition.totalPartitions} partitions\n`;
  const title = `cluster ${id}, ring epoch ${ringEpoch}, as ${view.cluster.node} sees it\n\n`;
  const silent = now.silent.map(({ url, why }) => `\n${url}: ${why}\n`).join("");
  return `${title}${alignTable([HEAD, ...rows])}${change}${silent}`;
}

/** Reads and writes a second, p50 and p99, between two looks at one node; dashes where there are no two. */
function figuresOf(past: NodeView | undefined, own: NodeView | undefined, seconds: number): readonly string[] {
  if (past === undefined || own === undefined || seconds <= 0) return [UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN];
  const isRead = (labels: Sample["labels"]) => /^(GET|HEAD)$/.test(labels.http_request_method ?? "");
  const isWrite = (labels: Sample["labels"]) => /^(PUT|DELETE)$/.test(labels.http_request_method ?? "");
  const rate = (fits: (labels: Sample["labels"]) => boolean) => {
    const counted = (view: NodeView) => sumOf(view.metrics, `${REQUESTS}_count`, fits) ?? 0;
    // A node that was started again counts from nothing.
    return (Math.max(0, counted(own) - counted(past)) / seconds).toFixed(0);
  };
  const buckets = (view: NodeView) => bucketsOf(view.metrics, REQUESTS, (labels) => isRead(labels) || isWrite(labels));
  const at = (share: number) => {
    const found = quantile(buckets(past), buckets(own), share);
    return found === undefined ? UNKNOWN : (found * 1000).toFixed(1);
  };
  return [rate(isRead), rate(isWrite), at(0.5), at(0.99)];
}
