/**
 * The kinds of settings that the schema is made of: whole numbers, words, texts of a form, structured texts.
 *
 * Each carries what a person is told of it (`meta`), for messages and for the table of the documentation.
 */
import { z } from "zod";
import type { Reading } from "./config-values.ts";

/** What a person is told of a setting besides its bounds. */
type Explanation = { readonly unit?: string; readonly meaning: string; readonly growth?: string };

/** A whole number, written in decimal digits only: no sign, exponent or suffix that might be read two ways. */
export function whole(bounds: { min: number; max: number; preset: number }, explanation: Explanation) {
  return wholeWithoutPreset(bounds, explanation).default(bounds.preset);
}

/** As `whole`, for a setting that may be left out. */
export function wholeWithoutPreset(bounds: { min: number; max: number }, explanation: Explanation) {
  const expected = `a whole number from ${bounds.min} to ${bounds.max}`;
  const isValid = (text: string) => /^\d{1,15}$/.test(text) && Number(text) >= bounds.min && Number(text) <= bounds.max;
  return z
    .string()
    .refine(isValid, { error: ({ input }) => `expected ${expected}, found "${String(input)}"` })
    .transform(Number)
    .meta({ ...explanation, expected });
}

/** One of a few words. */
export function oneOf<const T extends readonly [string, ...string[]]>(
  values: T,
  preset: T[number],
  explanation: Explanation,
) {
  const expected = values.map((value) => `\`${value}\``).join(" or ");
  return z
    .enum(values, { error: ({ input }) => `expected ${expected}, found "${String(input)}"` })
    .default(preset as never)
    .meta({ ...explanation, expected });
}

/** Text of a form; required unless given a default. */
export function matching(pattern: RegExp, expected: string, explanation: Explanation) {
  return z
    .string({ error: `expected ${expected}; it has no default` })
    .regex(pattern, { error: ({ input }) => `expected ${expected}, found "${String(input)}"` })
    .meta({ ...explanation, expected });
}

/** Text with a structure that `read` knows. */
export function structured<T>(read: (text: string) => Reading<T>, expected: string, explanation: Explanation) {
  return z
    .string()
    .transform((text, context): T => {
      const reading = read(text);
      if (reading.ok) return reading.value;
      context.addIssue({ code: "custom", message: reading.problem, input: text });
      return z.NEVER;
    })
    .meta({ ...explanation, expected });
}
