/** The chart's files without Helm: a template with its directives taken out, as far as it is YAML then. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseAllDocuments } from "yaml";

const CHART = join(import.meta.dirname, "..", "..", "charts", "annulus");

/** The text of a file of the chart. */
export function chartText(...path: readonly string[]): string {
  return readFileSync(join(CHART, ...path), "utf8");
}

/** The documents of a template; what Helm would fill in is an x. */
export function plainTemplate(name: string): unknown[] {
  const lines = chartText("templates", name).split("\n");
  const kept = lines
    .filter((line) => !/^\s*\{\{.*\}\}\s*$/.test(line))
    .map((line) => line.replace(/\{\{[^}]*\}\}/g, "x"));
  return parseAllDocuments(kept.join("\n")).map((document) => document.toJS() as unknown);
}
