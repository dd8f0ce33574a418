/** The table of `annulus top`: two looks at a cluster, and what happened between them. Pure. */
import { newest } from "../../core/watch/diagnose.ts";
import { loadBetween } from "../../core/watch/load.ts";
import type { Look, NodeView } from "../../core/watch/look.ts";
import { alignTable } from "../table.ts";

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
      return [name, zone, state, health, phiText(phi), ...figures, String(hints.get(name) ?? 0)];
    });
  const change =
    transition === undefined || transition === null
      ? ""
      : `\nchange ${transition.id} (${transition.kind}): ${transition.phase}, ${transition.movedPartitions} of ${transition.totalPartitions} partitions\n`;
  const title = `cluster ${id}, ring epoch ${ringEpoch}, as ${view.cluster.node} sees it\n\n`;
  const silent = now.silent.map(({ url, why }) => `\n${url}: ${why}\n`).join("");
  const unasked = unaskedText(
    now,
    rows.map(([name = ""]) => name),
  );
  return `${title}${alignTable([HEAD, ...rows])}${change}${silent}${unasked}`;
}

/** Silence says no more beyond that; it grows for as long as it lasts. */
const PHI_SHOWN_MAX = 99.9;

function phiText(phi: number | undefined): string {
  if (phi === undefined) return UNKNOWN;
  return phi > PHI_SHOWN_MAX ? `>${Math.floor(PHI_SHOWN_MAX)}` : phi.toFixed(1);
}

/** Why there are dashes: load is what a node says of itself, on its own admin port. */
function unaskedText({ views, silent }: Look, members: readonly string[]): string {
  const unasked = members.filter((name) => !views.some(({ cluster }) => cluster.node === name));
  if (unasked.length <= silent.length) return "";
  const ports = unasked.length === 1 ? "its admin port" : "their admin ports";
  return `\n${UNKNOWN}  not measured: ${unasked.join(", ")}. Name ${ports} too, with --admin-url or ANNULUS_ADMIN_URL\n`;
}

/** Reads and writes a second, p50 and p99, between two looks at one node; dashes where there are no two. */
function figuresOf(past: NodeView | undefined, own: NodeView | undefined, seconds: number): readonly string[] {
  if (past === undefined || own === undefined || seconds <= 0) return [UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN];
  const { readsPerSecond, writesPerSecond, p50Ms, p99Ms } = loadBetween(past.metrics, own.metrics, seconds);
  const quantiles = [p50Ms, p99Ms].map((ms) => ms?.toFixed(1) ?? UNKNOWN);
  return [readsPerSecond.toFixed(0), writesPerSecond.toFixed(0), ...quantiles];
}
