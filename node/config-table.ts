/**
 * The table of all settings, as `annulus node --settings` prints it and docs/configuration.md holds it.
 *
 * Made from the schema alone, so that a setting cannot be documented otherwise than it is checked.
 */
import { z } from "zod";
import { Settings } from "./config.ts";

/** The table of all settings in Markdown, one row a setting. */
export function settingsTable(): string {
  const rows = Object.entries<z.ZodType>(Settings.shape).map(([name, schema]) => {
    const about = describe(schema);
    const growth = about.growth === undefined ? "" : ` Larger: ${about.growth}.`;
    const expected = about.unit === undefined ? about.expected : `${about.expected}, ${about.unit}`;
    return `| \`${name}\` | ${presetOf(schema)} | ${expected} | ${about.meaning}${growth} |`;
  });
  return ["| variable | default | value | meaning |", "| --- | --- | --- | --- |", ...rows, ""].join("\n");
}

/** What was said of a setting: a default wrapped around a schema hides the inner description. */
function describe(schema: z.ZodType): Record<string, unknown> {
  const about = schema.meta();
  if (about !== undefined) return about;
  const isWrapped = schema instanceof z.ZodDefault || schema instanceof z.ZodOptional;
  return isWrapped ? describe(schema.unwrap() as z.ZodType) : {};
}

function presetOf(schema: z.ZodType): string {
  const parsed = schema.safeParse(undefined);
  if (!parsed.success) return "required";
  const { data } = parsed;
  if (data === undefined) return "see right";
  return Array.isArray(data) ? "none" : `\`${String(data)}\``;
}
