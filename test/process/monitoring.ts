/** The dashboard and the alert rules of the chart, as tests look at them. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import { checkoutDirectory } from "../bench/processes.ts";

export const RULES_FILE = join(checkoutDirectory(), "charts/annulus/files/alerts.yaml");
const DASHBOARD_FILE = join(checkoutDirectory(), "charts/annulus/files/dashboard.json");

export type Alert = { readonly alert: string; readonly expr: string };
type Panel = { readonly title: string; readonly targets?: readonly { readonly expr: string }[] };

/** Every alert of the rules. */
export function alerts(): readonly Alert[] {
  const { groups } = parse(readFileSync(RULES_FILE, "utf8")) as { groups: readonly { rules: readonly Alert[] }[] };
  return groups.flatMap(({ rules }) => rules);
}

/** Every expression of the dashboard's panels, with Grafana's variables replaced as Grafana would. */
export function panelExpressions(): readonly { readonly title: string; readonly expression: string }[] {
  const { panels } = JSON.parse(readFileSync(DASHBOARD_FILE, "utf8")) as { panels: readonly Panel[] };
  return panels.flatMap(({ title, targets = [] }) =>
    targets.map(({ expr }) => ({
      title,
      expression: expr.replaceAll("$__rate_interval", "1m").replaceAll("$job", ".*"),
    })),
  );
}

const WORDS = new Set([
  "and",
  "or",
  "unless",
  "by",
  "without",
  "on",
  "ignoring",
  "group_left",
  "group_right",
  "offset",
  "bool",
]);

/**
 * The names of the metrics in an expression: words that are neither in braces, brackets or quotes, nor labels of an
 * aggregation, nor functions, nor operators.
 */
export function metricsIn(expression: string): readonly string[] {
  const bare = expression
    .replace(/"(?:[^"\\]|\\.)*"/g, "")
    .replace(/\{[^}]*\}/g, "")
    .replace(/\[[^\]]*\]/g, "")
    .replace(/\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)/g, " ");
  const words = [...bare.matchAll(/[a-zA-Z_:][\w:]*(?!\s*\(|[\w:])/g)].map(([word]) => word);
  return words.filter((word) => !WORDS.has(word) && !/^[a-z]+$/.test(word));
}
